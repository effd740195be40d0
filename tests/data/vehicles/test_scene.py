"""Layers: how a vehicle fills its frame, and exact compositing."""

import numpy as np
import pytest

from diffusegae.data.vehicles.scene import Layer, View, composite, draw_layer, draw_view
from diffusegae.data.vehicles.shapes import KINDS, build_vehicle

_SIDE = View(azimuth=90.0)


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
@pytest.mark.parametrize("azimuth", [45.0, 90.0, 180.0])
def test_a_vehicle_fills_its_frame_and_stays_inside(kind: int, azimuth: float) -> None:
    ink = draw_layer(build_vehicle(kind, 0, seed=0), View(azimuth), 64).ink.sum(axis=-1) > 0
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    width, height = (np.ptp(columns) + 1) / 64, (np.ptp(rows) + 1) / 64
    assert max(width / 0.86, height / 0.78) >= 0.95
    assert width <= 0.90
    assert height <= 0.82
    assert ink[0].sum() + ink[-1].sum() + ink[:, 0].sum() + ink[:, -1].sum() == 0


def test_at_ninety_degrees_the_lamps_are_on_the_right_and_the_tail_on_the_left() -> None:
    layer = draw_layer(build_vehicle(2, 0, seed=0), _SIDE, 64)
    red, green = layer.ink[..., 0].astype(np.float64), layer.ink[..., 1].astype(np.float64)
    tail = np.flatnonzero(((red > 100 * 256) & (green < 40 * 256)).any(axis=0))
    assert tail.size > 0
    assert tail.max() < 20
    mirrored = draw_layer(build_vehicle(2, 0, seed=0), View(azimuth=270.0), 64)
    red, green = mirrored.ink[..., 0].astype(np.float64), mirrored.ink[..., 1].astype(np.float64)
    assert np.flatnonzero(((red > 100 * 256) & (green < 40 * 256)).any(axis=0)).min() > 44


def test_composite_is_the_rounded_blend() -> None:
    random = np.random.default_rng(0)
    backgrounds = random.integers(0, 256, size=(40, 32, 32, 3), dtype=np.uint8)
    keep = np.repeat(random.integers(0, 257, size=(32, 32, 1)), 3, axis=-1).astype(np.uint16)
    ink = ((256 - keep) * random.uniform(0, 255, size=(32, 32, 3))).astype(np.uint16)
    expected = np.floor((backgrounds * keep.astype(np.float64) + ink) / 256 + 0.5)
    np.testing.assert_array_equal(composite(backgrounds, Layer(ink, keep)), expected.astype(np.uint8))


def test_white_on_white_does_not_overflow() -> None:
    """Ink and background together reach the top of 16 bits and no further."""
    white = np.full((1, 64, 64, 3), 255, dtype=np.uint8)
    layer = draw_layer(build_vehicle(9, 0, seed=0), _SIDE, 64)
    assert (layer.ink.astype(np.int64) + 255 * layer.keep.astype(np.int64) + 128 < 2**16).all()
    assert (composite(white, layer)[0][layer.keep[..., 0] == 256] == 255).all()


def test_jitter_scales_how_far_a_view_strays() -> None:
    calm = draw_view(90.0, 0.0, np.random.default_rng(1))
    assert calm == _SIDE
    stray = [draw_view(90.0, jitter, np.random.default_rng(1)).azimuth - 90.0 for jitter in (0.5, 1.0)]
    assert stray[1] == pytest.approx(2 * stray[0])
    assert 0 < abs(stray[1]) <= 3.0
