"""Cluttered backgrounds: pure, the same at every size, of many scales, and no two alike."""

from itertools import pairwise

import numpy as np

from diffusegae.data.vehicles.clutter import clutter
from diffusegae.data.vehicles.textures import texture


def test_a_background_depends_on_its_number_and_seed_alone() -> None:
    assert np.array_equal(clutter(3, 32, 0), clutter(3, 32, 0))
    assert not np.array_equal(clutter(3, 32, 0), clutter(4, 32, 0))
    assert not np.array_equal(clutter(3, 32, 0), clutter(3, 32, 1))


def test_it_looks_the_same_at_every_size() -> None:
    for number in range(5):
        large = clutter(number, 128, 0).reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
        assert np.abs(large - clutter(number, 32, 0)).mean() < 6


def test_power_falls_with_frequency_as_in_photographs() -> None:
    """By an exponent of 2 to 3: about 2 for photographs on average (Field, 1987), 3 for sharp edges alone."""
    grey = np.stack([clutter(number, 128, 0).mean(axis=-1) for number in range(8)])
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(grey * np.outer(np.hanning(128), np.hanning(128)))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    bands = np.geomspace(3 / 128, 0.3, 9)
    levels = [np.log(power[:, (frequency >= low) & (frequency < high)].mean()) for low, high in pairwise(bands)]
    slope = np.polyfit(np.log(np.sqrt(bands[:-1] * bands[1:])), levels, 1)[0]
    assert -3 < slope < -2


def test_it_has_more_edges_than_a_texture() -> None:
    def edges(pictures: np.ndarray) -> float:
        return float((np.abs(np.diff(pictures.astype(np.float64), axis=2)).max(axis=-1) > 40).mean())

    textures = np.stack([texture(number, 64, 0) for number in range(18)])
    assert edges(np.stack([clutter(number, 64, 0) for number in range(18)])) > 2 * edges(textures)
