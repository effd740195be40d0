"""The world of glyphs: which values there are, and the picture of any combination of them.

What labels leave open is drawn anew for every picture: where the letter stands, how far it is turned, how heavy the
hand is, and the shades of ink and paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Integer, UInt8

from diffusegae.data.combined import CombinedWorld
from diffusegae.data.glyphs.letters import LETTERS, strokes
from diffusegae.data.glyphs.styles import HOLLOW, SHADOW, STYLES, Style
from diffusegae.data.splits import hash_keys

Colour = tuple[float, float, float]
# Every ink is dark enough on every paper: of a relative luminance below .17, and above .62.
INKS: dict[str, Colour] = {
    "black": (0.09, 0.09, 0.11), "red": (0.72, 0.08, 0.10), "green": (0.02, 0.42, 0.16), "blue": (0.10, 0.18, 0.75),
    "purple": (0.45, 0.06, 0.55), "brown": (0.44, 0.24, 0.06), "teal": (0.00, 0.38, 0.42), "wine": (0.50, 0.02, 0.28),
}  # fmt: skip
PAPERS: dict[str, Colour] = {
    "white": (0.98, 0.98, 0.97), "cream": (0.99, 0.93, 0.70), "rose": (1.00, 0.82, 0.86), "mint": (0.74, 0.97, 0.82),
    "sky": (0.74, 0.90, 1.00), "lilac": (0.88, 0.82, 1.00), "sand": (0.90, 0.83, 0.68), "lime": (0.86, 0.97, 0.55),
}  # fmt: skip
SIZES: dict[str, float] = {"small": 0.44, "medium": 0.56, "large": 0.68, "huge": 0.80}  # height of the letter
GLYPH_COLUMNS = ("letter", "size", "ink", "paper", "style")
_VALUES = (LETTERS, tuple(SIZES), tuple(INKS), tuple(PAPERS), tuple(STYLES))
_SHIFT, _TURN, _PEN, _SHADE = 0.035, 4.0, 0.08, 0.025  # largest: shares of the frame, degrees, share, levels of 1


@dataclass(frozen=True)
class _Hand:
    """What a picture draws anew."""

    shift: Float[np.ndarray, "2"]
    turn: float  # in radians
    pen: float  # a factor
    shades: Float[np.ndarray, "2 3"]  # added to paper and ink

    @classmethod
    def draw(cls, random: np.random.Generator, jitter: float) -> "_Hand":
        return cls(
            jitter * _SHIFT * random.uniform(-1, 1, 2),
            float(jitter * np.deg2rad(_TURN) * random.uniform(-1, 1)),
            float(1 + jitter * _PEN * random.uniform(-1, 1)),
            jitter * _SHADE * random.uniform(-1, 1, (2, 3)),
        )


@dataclass(frozen=True)
class GlyphWorld(CombinedWorld):
    """Every letter in every size, ink, paper and style, in pictures of `size` pixels."""

    size: int
    seed: int = 0
    jitter: float = 1.0  # scale of what is drawn anew

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Label column to its values."""
        return dict(zip(GLYPH_COLUMNS, _VALUES, strict=True))

    def render(
        self, labels: Integer[np.ndarray, "n columns"], draws: Sequence[int] | Integer[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Render combinations, given as indices into the values of GLYPH_COLUMNS; a draw is a hand of its own."""
        pixels = np.empty((len(labels), self.size, self.size, 3), np.uint8)
        keys = hash_keys(self.key(row) for row in labels).tolist()
        for row, (key, draw) in enumerate(zip(keys, np.asarray(draws).tolist(), strict=True)):
            hand = _Hand.draw(np.random.default_rng([self.seed, 31, key, draw]), self.jitter)
            pixels[row] = np.rint(255 * self._draw(self.names(labels[row]), hand))
        return pixels

    def _draw(self, names: dict[str, str], hand: _Hand) -> Float[np.ndarray, "size size 3"]:
        style, height = STYLES[names["style"]], SIZES[names["size"]] * self.size
        paper, ink = np.clip(np.array([PAPERS[names["paper"]], INKS[names["ink"]]]) + hand.shades, 0.0, 1.0)
        segments = self._place(strokes(names["letter"]), style, height, hand)
        pen = hand.pen * style.pen * height
        picture = np.broadcast_to(paper, (self.size, self.size, 3))
        if style.effect == "shadow":
            right, down, strength = SHADOW
            below = self._distance(segments + np.array([right, down]) * height)
            picture = _mix(picture, ink, strength * _coverage(below, pen))
        distance = self._distance(segments)
        picture = _mix(picture, ink, _coverage(distance, pen))
        if style.effect == "hollow":
            picture = _mix(picture, paper, _coverage(distance, pen - max(1.0, HOLLOW * height)))
        return picture

    def _place(
        self, segments: Float[np.ndarray, "segments 2 2"], style: Style, height: float, hand: _Hand
    ) -> Float[np.ndarray, "segments 2 2"]:
        """Return segments in pixels: made narrow, slanted, turned about the centre, and moved."""
        x, y = style.breadth * segments[..., 0] - style.slant * segments[..., 1], segments[..., 1]
        cos, sin = np.cos(hand.turn), np.sin(hand.turn)
        placed = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1) * height
        return placed + (0.5 + hand.shift) * self.size

    def _distance(self, segments: Float[np.ndarray, "segments 2 2"]) -> Float[np.ndarray, "size size"]:
        """Return how far the centre of each pixel is from the nearest stroke, in pixels."""
        start, along = segments[:, 0], segments[:, 1] - segments[:, 0]
        points = self._points[:, :, None] - start
        share = np.clip((points * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9), 0.0, 1.0)
        return np.asarray(np.linalg.norm(points - share[..., None] * along, axis=-1).min(axis=-1))

    @cached_property
    def _points(self) -> Float[np.ndarray, "size size 2"]:
        y, x = np.mgrid[0 : self.size, 0 : self.size] + 0.5
        return np.stack([x, y], axis=-1)


def _coverage(distance: Float[np.ndarray, "size size"], pen: float) -> Float[np.ndarray, "size size 1"]:
    """Return which share of each pixel a stroke covers, to first order."""
    return np.clip(pen - distance + 0.5, 0.0, 1.0)[..., None]


def _mix(
    under: Float[np.ndarray, "size size 3"], colour: Float[np.ndarray, "3"], share: Float[np.ndarray, "size size 1"]
) -> Float[np.ndarray, "size size 3"]:
    return np.asarray(under + share * (colour - under))
