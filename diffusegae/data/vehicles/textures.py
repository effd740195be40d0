"""Procedural backgrounds: two-tone textures of nine families, a pure function of (background, size, seed)."""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from diffusegae.data.vehicles.samples import average, to_levels
from diffusegae.data.vehicles.solids import Array

# A Kronecker sequence by the golden ratio and square roots of primes spreads any number of backgrounds over hue,
# lightness, saturation and the step between a texture's two hues.
_STEPS = np.sqrt([1.25, 2.0, 3.0, 5.0]) - (0.5, 1.0, 1.0, 2.0)
_SAMPLES = 2


@dataclass(frozen=True)
class _Grain:
    """Hold what a family needs: frame coordinates in [0, 1], the scale of the pattern (0, 1, 2) and a generator."""

    x: Array
    y: Array
    scale: int
    random: np.random.Generator

    def cells(self, coarse: int) -> int:
        return round(coarse * (0.75, 1.0, 1.3)[self.scale])

    def turned(self) -> tuple[Array, Array]:
        """Return the coordinates about the centre, turned by a random angle."""
        angle = self.random.uniform(0.0, np.pi)
        x, y = self.x - 0.5, self.y - 0.5
        return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _lattice(grain: _Grain, columns: int, rows: int) -> Array:
    """Interpolate random values on a lattice smoothly: the same picture at any size."""
    values = grain.random.random((rows + 2, columns + 2))
    x, y = grain.x * columns, grain.y * rows
    column, row = x.astype(np.int64), y.astype(np.int64)
    u, v = x - column, y - row
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    top = values[row, column] * (1 - u) + values[row, column + 1] * u
    bottom = values[row + 1, column] * (1 - u) + values[row + 1, column + 1] * u
    return np.asarray(top * (1 - v) + bottom * v)


def _noise(grain: _Grain) -> Array:
    cells = grain.cells(3)
    field = sum(_lattice(grain, cells * 2**octave, cells * 2**octave) / 2**octave for octave in range(3))
    return np.clip((np.asarray(field) / 1.75 - 0.5) * 2.4 + 0.5, 0.0, 1.0)


def _streaks(grain: _Grain) -> Array:
    across, along = grain.cells(9), 2
    columns, rows = (across, along) if grain.random.random() < 0.5 else (along, across)
    return np.clip((_lattice(grain, columns, rows) - 0.5) * 1.6 + 0.5, 0.0, 1.0)


def _bricks(grain: _Grain) -> Array:
    rows = grain.cells(4)
    y = grain.y * rows
    row = np.floor(y)
    x = grain.x * rows / 2 + 0.5 * (row % 2)
    tone = grain.random.random((rows + 1, rows + 2))[row.astype(np.int64), np.floor(x).astype(np.int64)]
    mortar = np.maximum(np.abs(y % 1 - 0.5), np.abs(x % 1 - 0.5) * 1.0 + 0.04) > 0.41
    return np.where(mortar, 1.0, 0.35 * tone)


def _checks(grain: _Grain) -> Array:
    cells = grain.cells(4)
    return (np.floor(grain.x * cells) + np.floor(grain.y * cells)) % 2


def _gradient(grain: _Grain) -> Array:
    x, y = grain.turned()
    if grain.scale == 0:
        return np.clip(x * 0.9 + 0.5, 0.0, 1.0)
    if grain.scale == 1:
        return np.clip(1.0 - 2.2 * np.abs(x), 0.0, 1.0)
    return np.clip(1.7 * np.hypot(x, y), 0.0, 1.0)


def _dots(grain: _Grain) -> Array:
    cells = grain.cells(4)
    y = grain.y * cells
    x = grain.x * cells + 0.5 * (np.floor(y) % 2)
    return ((x % 1 - 0.5) ** 2 + (y % 1 - 0.5) ** 2 < 0.30**2).astype(np.float64)


def _waves(grain: _Grain) -> Array:
    cells = grain.cells(4)
    phase = grain.random.uniform(0, 2 * np.pi)
    bend = 0.08 * np.sin(2 * np.pi * 2 * grain.x + phase)
    return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * cells * (grain.y + bend)))


def _stripes(grain: _Grain) -> Array:
    x, _ = grain.turned()
    return (np.floor(x * grain.cells(5) + 100) % 2).astype(np.float64)


def _rings(grain: _Grain) -> Array:
    centre = grain.random.uniform(0.1, 0.9, size=2)
    distance = np.hypot(grain.x - centre[0], grain.y - centre[1])
    return np.asarray(0.5 + 0.5 * np.cos(2 * np.pi * grain.cells(3) * distance))


_FAMILIES: tuple[Callable[[_Grain], Array], ...] = (
    _noise, _checks, _streaks, _dots, _gradient, _bricks, _waves, _stripes, _rings,
)  # fmt: skip


def texture(background: int, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """Draw background `background` as [size, size, 3]; it looks the same at every size."""
    random = np.random.default_rng([seed, 21, background])
    offset = np.random.default_rng([seed, 22]).random(len(_STEPS))
    place = (offset + background * _STEPS) % 1.0
    sampled = size * _SAMPLES
    y, x = np.mgrid[0:sampled, 0:sampled] + 0.5
    scale = (background // len(_FAMILIES)) % 3
    grain = _Grain(x / sampled, y / sampled, scale, random)
    field = _FAMILIES[background % len(_FAMILIES)](grain)
    low, high = _tones(place)
    picture = low + (high - low) * field[..., None]
    return to_levels(average(picture, _SAMPLES))


@lru_cache(maxsize=4)
def texture_stack(
    backgrounds: int, size: int, seed: int, draw: Callable[[int, int, int], npt.NDArray[np.uint8]] = texture
) -> npt.NDArray[np.uint8]:
    """Draw the first `backgrounds` backgrounds as one read-only array [backgrounds, size, size, 3]."""
    stack = np.stack([draw(background, size, seed) for background in range(backgrounds)])
    stack.flags.writeable = False
    return stack


def _tones(place: Array) -> tuple[Array, Array]:
    """Return a texture's two colours: one lighter than the other, hues a step apart."""
    hue, lightness, saturation, apart = (float(value) for value in place)
    value = 0.14 + 0.60 * lightness
    chroma = 0.20 + 0.50 * saturation
    low = colorsys.hsv_to_rgb(hue, chroma, value)
    high = colorsys.hsv_to_rgb((hue + 0.30 * (apart - 0.5)) % 1.0, 0.8 * chroma, value + 0.24)
    return np.array(low), np.array(high)
