"""Heroes: drawn art in layers, from Debian's package flare-game, so that the truth of every edit is known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Integer, UInt8
from pydantic import Field, field_validator

from diffusegae import storage
from diffusegae.data.heroes import HERO_COLUMNS, HeroWorld, open_world
from diffusegae.data.records import Skipped, SourceError, SourceImage
from diffusegae.data.sources.source import Opening, SourceConfig
from diffusegae.data.splits import Combinations
from diffusegae.schema import AttributeSpec


class HeroesConfig(SourceConfig):
    """Heroes of the game Flare: a sample of all combinations of body, clothes, arms, direction and ground."""

    kind: Literal["heroes"] = "heroes"
    folder: str = Field(
        "/usr/share/games/flare/mods/fantasycore",
        min_length=1,
        description="The folder fantasycore of Debian's package flare-game (`make heroes`).",
    )
    num_images: int = Field(12_000, gt=0, description="Images, each of another combination.")
    num_layouts: int = Field(2, gt=0, description="Grounds per terrain: bare, paved, and mixed ones from the third on.")
    seed: int = Field(0, ge=0, description="Seed of the combinations and the grounds.")
    values: dict[str, tuple[str, ...]] = Field(
        {}, description="Column to the values used of it; a column that is not named has all that the folder has."
    )
    addresses: ClassVar[tuple[str, ...]] = ("folder",)

    @field_validator("values")
    @classmethod
    def _check_values(cls, values: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for column, names in values.items():
            if column not in HERO_COLUMNS or not names:
                expected = "at least one value" if column in HERO_COLUMNS else f"one of: {', '.join(HERO_COLUMNS)}"
                raise ValueError(f"{column!r}: {list(names)}; expected {expected}")
        return values

    def columns(self, attributes: Mapping[str, AttributeSpec]) -> tuple[str, ...]:
        """Return all columns, whatever the attributes read."""
        del attributes
        return HERO_COLUMNS

    def world(self, image_size: int) -> HeroWorld:
        """Return the world in pictures of a size; SourceError if the art is missing or damaged."""
        return open_world(storage.resolve(self.folder), image_size, self.seed, self.num_layouts, self.values)

    def open(self, opening: Opening) -> "HeroSource":
        """Open the source; SourceError if the art is missing or damaged, or has too few combinations."""
        world = self.world(opening.image_size)
        if self.num_images > world.num_combinations:
            raise SourceError(
                f"data.source.num_images is {self.num_images}, but {world.folder} has {world.num_combinations}"
                " combinations of the values used; ask for fewer images, or for more in data.source.values"
            )
        return HeroSource(world, self.num_images, self.seed, opening.shard_rows)

    def renderer(self, image_size: int, columns: Sequence[str]) -> "HeroRenderer | None":
        """Open what renders any hero; None where labels don't say all that shows, or the art has a single frame."""
        world = self.world(image_size)
        varied = {column for column, values in world.vocabularies.items() if len(values) > 1}
        return HeroRenderer(world) if varied <= set(columns) and world.num_frames > 1 else None


@dataclass(frozen=True)
class HeroSource:
    """A sample of heroes, no two alike; a unit is a share of it."""

    world: HeroWorld
    num_images: int
    seed: int
    shard_rows: int

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Label column to its values, in the world's own order."""
        return self.world.vocabularies

    @property
    def fingerprint(self) -> str:
        """The sample and its world in words, the art's hash with them."""
        return repr(self)

    @property
    def num_units(self) -> int:
        """Number of units."""
        return -(-self.num_images // self.shard_rows)

    @cached_property
    def labels(self) -> Integer[np.ndarray, "n columns"]:
        """The labels of all images: distinct combinations, drawn uniformly, so each value is about equally frequent."""
        random = np.random.default_rng(self.seed)
        return self.world.labels(random.choice(self.world.num_combinations, self.num_images, replace=False))

    def combinations(self, columns: Sequence[str]) -> Combinations:
        """Return the combinations of the sample's labels in some columns."""
        own = self.labels[:, [HERO_COLUMNS.index(name) for name in columns]]
        distinct, counts = np.unique(own, axis=0, return_counts=True)
        labels = {name: distinct[:, place].astype(np.int32) for place, name in enumerate(columns)}
        return Combinations({name: self.vocabularies[name] for name in columns}, labels, counts)

    def read(self, unit: int) -> Iterator[SourceImage | Skipped]:
        """Render the images of a unit."""
        for row in self.labels[unit :: self.num_units]:
            key = self.world.key(row)
            yield SourceImage(key, key, self.world.names(row), self.world.render(row[None], [0])[0])


@dataclass(frozen=True)
class HeroRenderer:
    """Renders heroes by their labels, each in the frame of its stance that the draw says."""

    world: HeroWorld

    def render(
        self, labels: Mapping[str, Integer[np.ndarray, " n"]], draws: Sequence[int] | Integer[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Render labels, given by column as indices into the vocabularies; the same draw gives the same picture.

        Draw 0 is the picture of the data set itself, to the bit; every other one is a picture that it lacks.
        """
        own = [labels.get(column, np.zeros(len(draws), np.int64)) for column in HERO_COLUMNS]
        return self.world.render(np.stack(own, axis=1), draws)
