"""Heroes: drawn art in layers, from Debian's package flare-game, so that the truth of every edit is known."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from diffusegae import storage
from diffusegae.data.heroes import HERO_COLUMNS, HeroWorld, open_world
from diffusegae.data.sources.sampled import SampledConfig, SampledRenderer


class HeroesConfig(SampledConfig):
    """Heroes of the game Flare: a sample of all combinations of body, clothes, arms, direction and ground."""

    kind: Literal["heroes"] = "heroes"
    folder: str = Field(
        "/usr/share/games/flare/mods/fantasycore",
        min_length=1,
        description="The folder fantasycore of Debian's package flare-game (`make heroes`).",
    )
    num_layouts: int = Field(2, gt=0, description="Grounds per terrain: bare, paved, and mixed ones from the third on.")
    values: dict[str, tuple[str, ...]] = Field(
        {}, description="Column to the values used of it; a column that is not named has all that the folder has."
    )
    addresses: ClassVar[tuple[str, ...]] = ("folder",)
    own_columns: ClassVar[tuple[str, ...]] = HERO_COLUMNS

    @field_validator("values")
    @classmethod
    def _check_values(cls, values: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for column, names in values.items():
            if column not in HERO_COLUMNS or not names:
                expected = "at least one value" if column in HERO_COLUMNS else f"one of: {', '.join(HERO_COLUMNS)}"
                raise ValueError(f"{column!r}: {list(names)}; expected {expected}")
        return values

    def world(self, image_size: int) -> HeroWorld:
        """Return the world in pictures of a size; SourceError if the art is missing or damaged."""
        return open_world(storage.resolve(self.folder), image_size, self.seed, self.num_layouts, self.values)

    def renderer(self, image_size: int, columns: Sequence[str]) -> SampledRenderer | None:
        """Open what renders any hero; None where labels don't say all that shows, or the art has a single frame."""
        world = self.world(image_size)
        varied = {column for column, values in world.vocabularies.items() if len(values) > 1}
        return SampledRenderer(world) if varied <= set(columns) and world.num_frames > 1 else None
