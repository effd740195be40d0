"""What an instance draws by seed: its paints and the knobs of its proportions."""

import colorsys
from dataclasses import dataclass

import numpy as np

from diffusegae.data.vehicles.solids import Colour

# What tells front from back on every vehicle: lamps are never a body colour, and no body comes near the red of a tail.
LAMP: Colour = (1.0, 0.96, 0.58)
TAIL: Colour = (0.93, 0.05, 0.07)
WINDSCREEN: Colour = (0.76, 0.94, 1.0)
GLASS: Colour = (0.10, 0.13, 0.20)
RUBBER: Colour = (0.09, 0.09, 0.10)
METAL: Colour = (0.72, 0.74, 0.78)
DARK: Colour = (0.20, 0.20, 0.23)

# (hue in turns, saturation, value): saturated where backgrounds are muted, and at least 25 degrees from the tail's red.
_PAINTS = (
    (0.600, 0.92, 0.95),
    (0.085, 0.97, 1.00),
    (0.370, 0.90, 0.70),
    (0.780, 0.75, 0.82),
    (0.500, 0.95, 0.82),
    (0.880, 0.75, 0.98),
    (0.250, 0.90, 0.85),
    (0.700, 0.72, 1.00),
    (0.110, 0.95, 0.66),
    (0.440, 0.95, 0.50),
)
_TRIMS = ((0.00, 0.00, 0.97), (0.08, 0.38, 1.00), (0.62, 0.06, 0.72), (0.78, 0.22, 0.98), (0.38, 0.25, 0.92))


@dataclass(frozen=True)
class Livery:
    """Hold an instance's two paints and the generator its proportions are drawn from."""

    body: Colour
    trim: Colour
    random: np.random.Generator

    def between(self, low: float, high: float) -> float:
        """Draw a proportion."""
        return float(self.random.uniform(low, high))

    def count(self, low: int, high: int) -> int:
        """Draw a whole number between two bounds, both included."""
        return int(self.random.integers(low, high + 1))

    def paint(self) -> Colour:
        """Draw any paint, for a load."""
        return draw_paint(self.random)


def draw_paint(random: np.random.Generator) -> Colour:
    """Draw any of the paints."""
    return _rgb(*_PAINTS[int(random.integers(len(_PAINTS)))])


def draw_livery(kind: int, instance: int, seed: int) -> Livery:
    """Draw the paints of an instance: neighbours in number never share a body paint, and shades vary within one."""
    order = np.random.default_rng([seed, 11]).permutation(len(_PAINTS))
    random = np.random.default_rng([seed, 12, kind, instance])
    # Seven is coprime to the ten paints: two instances of a kind meet again only after all ten.
    hue, saturation, value = _PAINTS[order[(kind + 7 * instance) % len(_PAINTS)]]
    shade = random.uniform(-1.0, 1.0, size=3) * (0.012, 0.04, 0.05)
    body = _rgb(hue + shade[0], min(saturation + shade[1], 1.0), min(value + shade[2], 1.0))
    trim = _rgb(*_TRIMS[int(random.integers(len(_TRIMS)))])
    return Livery(body, trim, random)


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
