"""Glyphs: drawn letters, a world whose attributes are shapes as much as colours; rendered, without a download."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from diffusegae.data.glyphs import GLYPH_COLUMNS, GlyphWorld
from diffusegae.data.sources.sampled import SampledConfig, SampledRenderer


class GlyphsConfig(SampledConfig):
    """Drawn letters: a sample of all combinations of letter, size, ink, paper and style."""

    kind: Literal["glyphs"] = "glyphs"
    jitter: float = Field(1.0, ge=0, description="Scale of what differs within a combination: place, turn, pen, shade.")
    own_columns: ClassVar[tuple[str, ...]] = GLYPH_COLUMNS

    def world(self, image_size: int) -> GlyphWorld:
        """Return the world in pictures of a size."""
        return GlyphWorld(image_size, self.seed, self.jitter)

    def renderer(self, image_size: int, columns: Sequence[str]) -> SampledRenderer | None:
        """Open what renders any glyph; None without jitter to draw anew, or where labels don't say all that shows."""
        says_all = set(columns) >= set(GLYPH_COLUMNS) and self.jitter > 0
        return SampledRenderer(self.world(image_size)) if says_all else None
