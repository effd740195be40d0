"""Glyphs: letters of drawn strokes on paper, in any combination of letter, size, ink, paper and style."""

from diffusegae.data.glyphs.world import GLYPH_COLUMNS, GlyphWorld

__all__ = ["GLYPH_COLUMNS", "GlyphWorld"]
