"""What is painted on a body: stripes, checks, spots or camouflage of an instance, by the place on it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from diffusegae.data.vehicles.livery import draw_livery, draw_paint
from diffusegae.data.vehicles.solids import Colour

_Points = Float[np.ndarray, "points 3"]
_Mask = Bool[np.ndarray, " points"]


@dataclass(frozen=True)
class _Pattern:
    """Hold what a family needs: places on the body in periods of the pattern, and a generator."""

    places: _Points
    random: np.random.Generator


def _bands(pattern: _Pattern) -> _Mask:
    return np.asarray(np.floor(pattern.places[:, 0]) % 2 == 0)


def _layers(pattern: _Pattern) -> _Mask:
    return np.asarray(np.floor(1.6 * pattern.places[:, 2]) % 2 == 0)


def _diagonals(pattern: _Pattern) -> _Mask:
    return np.asarray(np.floor(pattern.places[:, 0] + pattern.places[:, 2] + 0.5 * pattern.places[:, 1]) % 2 == 0)


def _checks(pattern: _Pattern) -> _Mask:
    return np.asarray(np.floor(pattern.places).sum(axis=1) % 2 == 0)


def _spots(pattern: _Pattern) -> _Mask:
    return np.asarray(((pattern.places % 1 - 0.5) ** 2).sum(axis=1) < 0.36**2)


def _camouflage(pattern: _Pattern) -> _Mask:
    waves = pattern.random.normal(size=(6, 3)) * 2.2
    phases = pattern.random.uniform(0, 2 * np.pi, 6)
    return np.asarray(np.sin(pattern.places @ waves.T + phases).sum(axis=1) > 0.4)


_FAMILIES: tuple[Callable[[_Pattern], _Mask], ...] = (_bands, _spots, _diagonals, _camouflage, _layers, _checks)
_PERIODS = (0.34, 0.46, 0.60)  # in the world's units; a vehicle is two to three of them long


@dataclass(frozen=True)
class Skin:
    """The second paint of an instance's body, and where it is: the same arguments give the same skin."""

    kind: int
    instance: int
    seed: int

    def paint(
        self, colours: Float[np.ndarray, "points 3"], places: Float[np.ndarray, "points 3"]
    ) -> Float[np.ndarray, "points 3"]:
        """Return the colours in [0, 1] of points at places along the body's axes, its first paint patterned."""
        random = np.random.default_rng([self.seed, 13, self.kind, self.instance])
        body = draw_livery(self.kind, self.instance, self.seed).body
        second = _contrasting(body, random)
        family = _FAMILIES[(self.kind + self.instance) % len(_FAMILIES)]
        shift, period = random.random(3), _PERIODS[int(random.integers(len(_PERIODS)))]
        is_second = family(_Pattern(places / period + shift, random)) & (colours == body).all(axis=1)
        return np.where(is_second[:, None], np.array(second), colours)


def _contrasting(body: Colour, random: np.random.Generator) -> Colour:
    """Draw the paint that is farthest from the body's among three."""
    return max(
        (draw_paint(random) for _ in range(3)),
        key=lambda paint: sum(abs(a - b) for a, b in zip(paint, body, strict=True)),
    )
