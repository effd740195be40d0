"""The letters A to Z as strokes: polylines in a box one wide and one high, y down."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

Polyline = list[tuple[float, float]]
_STEP = 15  # degrees between the points of an arc
_WIDTH = 0.74  # of a letter, of its height


def _arc(x: float, y: float, half_width: float, half_height: float, start: int, end: int) -> Polyline:
    """Return an elliptic arc about (x, y), from one angle to another in degrees: 0 is right, 90 below."""
    angles = np.deg2rad(np.linspace(start, end, 1 + abs(end - start) // _STEP)).tolist()
    return [(x + half_width * np.cos(angle), y + half_height * np.sin(angle)) for angle in angles]


_LETTERS: dict[str, list[Polyline]] = {
    "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.62), (0.8, 0.62)]],
    "B": [[(0.55, 0), (0, 0), (0, 1), (0.6, 1)], _arc(0.55, 0.24, 0.38, 0.24, -90, 90), [(0, 0.48), (0.6, 0.48)],
          _arc(0.6, 0.74, 0.4, 0.26, -90, 90)],
    "C": [_arc(0.5, 0.5, 0.5, 0.5, 315, 45)],
    "D": [[(0.45, 0), (0, 0), (0, 1), (0.45, 1)], _arc(0.45, 0.5, 0.55, 0.5, -90, 90)],
    "E": [[(1, 0), (0, 0), (0, 1), (1, 1)], [(0, 0.5), (0.8, 0.5)]],
    "F": [[(1, 0), (0, 0), (0, 1)], [(0, 0.5), (0.8, 0.5)]],
    "G": [[*_arc(0.5, 0.5, 0.5, 0.5, 315, 0), (0.5, 0.5)]],
    "H": [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(0, 0.5), (1, 0.5)]],
    "I": [[(0.5, 0), (0.5, 1)], [(0.2, 0), (0.8, 0)], [(0.2, 1), (0.8, 1)]],
    "J": [[(0.85, 0), *_arc(0.45, 0.64, 0.4, 0.36, 0, 165)]],
    "K": [[(0, 0), (0, 1)], [(1, 0), (0, 0.58)], [(0.36, 0.4), (1, 1)]],
    "L": [[(0, 0), (0, 1), (0.9, 1)]],
    "M": [[(0, 1), (0, 0), (0.5, 0.62), (1, 0), (1, 1)]],
    "N": [[(0, 1), (0, 0), (1, 1), (1, 0)]],
    "O": [_arc(0.5, 0.5, 0.5, 0.5, 0, 360)],
    "P": [[(0.55, 0), (0, 0), (0, 1)], _arc(0.55, 0.27, 0.43, 0.27, -90, 90), [(0, 0.54), (0.55, 0.54)]],
    "Q": [_arc(0.5, 0.5, 0.5, 0.5, 0, 360), [(0.6, 0.66), (1, 1)]],
    "R": [[(0.55, 0), (0, 0), (0, 1)], _arc(0.55, 0.27, 0.43, 0.27, -90, 90), [(0, 0.54), (0.55, 0.54), (1, 1)]],
    "S": [[*_arc(0.5, 0.25, 0.45, 0.25, -30, -270), *_arc(0.5, 0.75, 0.47, 0.25, -90, 150)]],
    "T": [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 1)]],
    "U": [[(0, 0), *_arc(0.5, 0.6, 0.5, 0.4, 180, 0), (1, 0)]],
    "V": [[(0, 0), (0.5, 1), (1, 0)]],
    "W": [[(0, 0), (0.25, 1), (0.5, 0.35), (0.75, 1), (1, 0)]],
    "X": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "Y": [[(0, 0), (0.5, 0.5), (1, 0)], [(0.5, 0.5), (0.5, 1)]],
    "Z": [[(0, 0), (1, 0), (0, 1), (1, 1)]],
}  # fmt: skip
LETTERS = tuple(_LETTERS)


def strokes(letter: str) -> Float[np.ndarray, "segments 2 2"]:
    """Return a letter's segments, end by end, centred and one high."""
    segments = [pair for line in _LETTERS[letter] for pair in pairwise(line)]
    return (np.array(segments, np.float64) - 0.5) * (_WIDTH, 1.0)
