"""The styles in which a letter is drawn: how wide its pen is, how it leans, and what a picture gets of it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Style:
    """A way of drawing; lengths are shares of the letter's height."""

    pen: float  # half the width of a stroke
    slant: float = 0.0  # how far the top lies to the right
    breadth: float = 1.0  # of the letter, of its usual one
    effect: Literal["", "hollow", "shadow"] = ""


STYLES: dict[str, Style] = {
    "plain": Style(0.06),
    "bold": Style(0.115),
    "slanted": Style(0.06, slant=0.42),
    "narrow": Style(0.06, breadth=0.6),
    "hollow": Style(0.125, effect="hollow"),
    "shadow": Style(0.07, effect="shadow"),
}
HOLLOW = 0.055  # how wide the line about a hollow stroke is
SHADOW = (0.11, 0.11, 0.5)  # how far right and down a shadow lies, and how much of it is ink
