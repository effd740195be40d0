"""Cluttered backgrounds: leaves of all sizes over ground and sky, as in the dead leaves model of photographs.

Opaque shapes, equally many in each octave of size, lie on each other, small ones above; each has a tone of the
picture's palette and a grain of its own, and light falls unevenly over all of it. A pure function of (background, size,
seed), the same picture at every size.
"""

import colorsys

import numpy as np
import numpy.typing as npt

from diffusegae.data.vehicles.samples import average, to_levels
from diffusegae.data.vehicles.solids import Array

_SAMPLES = 2
_LEAVES, _SMALLEST, _LARGEST = 110, 0.02, 0.5  # radii are shares of the frame
_NORMS = (2, np.inf, 1)  # of which a leaf is the unit circle: an ellipse, a rectangle, a rhombus
_TONES = 5


def clutter(background: int, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """Draw background `background` as [size, size, 3]."""
    random = np.random.default_rng([seed, 23, background])
    sampled = size * _SAMPLES
    y, x = (np.mgrid[0:sampled, 0:sampled] + 0.5) / sampled
    palette = _palette(random)
    picture = _ground_and_sky(y, palette, random)
    for radius in np.sort(_SMALLEST * (_LARGEST / _SMALLEST) ** random.random(_LEAVES))[::-1]:
        _lay_leaf(picture, x, y, radius, palette, random)
    picture *= 0.72 + 0.56 * _noise(x, y, 1.5, random)[..., None]
    return to_levels(average(picture, _SAMPLES))


def _palette(random: np.random.Generator) -> Array:
    """Draw tones about one or two hues, light and dark, as a scene has them."""
    hue, other = random.random(2)
    tones = []
    for number in range(_TONES):
        near = hue if number % 3 else other
        hsv = (near + random.normal(0, 0.05), random.uniform(0.08, 0.62), random.uniform(0.18, 0.92))
        tones.append(colorsys.hsv_to_rgb(hsv[0] % 1.0, hsv[1], hsv[2]))
    return np.array(tones)


def _ground_and_sky(y: Array, palette: Array, random: np.random.Generator) -> Array:
    """Return two gradients that meet at a horizon."""
    horizon = random.uniform(0.2, 0.6)
    above, below = palette[0] + 0.3 * (1.0 - palette[0]), 0.8 * palette[1]
    sky = above * (0.8 + 0.4 * y[..., None])
    ground = below * (0.75 + 0.5 * (y[..., None] - horizon))
    return np.asarray(np.where(y[..., None] < horizon, sky, ground))


def _lay_leaf(picture: Array, x: Array, y: Array, radius: float, palette: Array, random: np.random.Generator) -> None:
    """Cover a part of a picture by a round, square or pointed leaf, tinted and grained."""
    centre, angle, flat = random.random(2), random.uniform(0, np.pi), random.uniform(0.35, 1.0)
    norm, tone = _NORMS[random.integers(len(_NORMS))], palette[random.integers(_TONES)] * random.uniform(0.7, 1.25)
    cycles, strength = random.uniform(4.0, 16.0), random.uniform(0.0, 0.5)
    waves, phases = random.normal(size=(3, 2)) * cycles * 2 * np.pi, random.uniform(0, 2 * np.pi, 3)
    across, down = x - centre[0], y - centre[1]
    u = (across * np.cos(angle) + down * np.sin(angle)) / radius
    v = (down * np.cos(angle) - across * np.sin(angle)) / (radius * flat)
    inside = np.linalg.norm(np.stack([u, v]).reshape(2, -1), norm, axis=0).reshape(u.shape) < 1.0
    places = np.stack([across[inside], down[inside]], axis=-1)
    grain = np.sin(places @ waves.T + phases).mean(axis=-1)
    shading = 1.0 + strength * grain + 0.12 * v[inside]
    picture[inside] = tone * shading[:, None]


def _noise(x: Array, y: Array, cells: float, random: np.random.Generator) -> Array:
    """Return smooth noise in [0, 1] of some waves with amplitudes that fall with frequency."""
    total = np.zeros_like(x)
    for octave in range(3):
        waves = random.normal(size=(4, 2)) * cells * 2**octave * np.pi
        phases = random.uniform(0, 2 * np.pi, 4)
        total += np.sin(np.stack([x, y], axis=-1) @ waves.T + phases).sum(axis=-1) / 2**octave
    return np.asarray(np.clip(0.5 + total / 8, 0.0, 1.0))
