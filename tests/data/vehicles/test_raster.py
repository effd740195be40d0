"""The rasteriser against brute force and closed forms."""

import numpy as np
import pytest

from diffusegae.data.vehicles.raster import coverage, front_facing, rasterise
from diffusegae.data.vehicles.solids import Array


def _front(corners: Array) -> Array:
    """Wind every triangle towards the viewer."""
    return np.where(front_facing(corners)[:, None, None], corners, corners[:, ::-1])


def _inside(triangle: Array, size: int) -> Array:
    """Test every pixel centre against the three edges, one by one."""
    y, x = np.mgrid[0:size, 0:size] + 0.5
    sides = [
        (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
        for a, b in zip(triangle, np.roll(triangle, -1, axis=0), strict=True)
    ]
    return np.asarray(np.all(np.array(sides) <= 0, axis=0))


@pytest.mark.parametrize("seed", range(5))
def test_coverage_equals_brute_force(seed: int) -> None:
    triangles = _front(np.random.default_rng(seed).uniform(-8, 40, size=(6, 3, 2)))
    expected = np.any([_inside(triangle, 32) for triangle in triangles], axis=0)
    np.testing.assert_array_equal(coverage(triangles, 32), expected)


def test_two_triangles_cover_a_square_without_a_gap() -> None:
    square = np.array([[[2, 2], [13, 2], [13, 13]], [[2, 2], [13, 13], [2, 13]]], dtype=np.float64)
    expected = np.zeros((16, 16), dtype=np.bool_)
    expected[2:13, 2:13] = True
    np.testing.assert_array_equal(coverage(_front(square), 16), expected)


def test_nearer_triangle_wins_pixel_by_pixel() -> None:
    """Two planes that cross: the seen one is the nearer one at every pixel."""
    corners = np.array([[-20.0, -20.0], [60.0, -20.0], [-20.0, 60.0]])
    pair = _front(np.stack([corners, corners]))
    slopes = np.stack([0.01 * pair[0, :, 0], 0.01 * (31.0 - pair[1, :, 0])])
    fragments = rasterise(pair, slopes, 32)
    covered = fragments.pixels % 32 + fragments.pixels // 32 < 38
    column = fragments.pixels[covered] % 32
    np.testing.assert_array_equal(fragments.triangles[covered] == 0, column + 0.5 > 15.5)


def test_weights_rebuild_the_pixel_centres() -> None:
    triangles = _front(np.random.default_rng(3).uniform(0, 24, size=(4, 3, 2)))
    fragments = rasterise(triangles, np.ones((4, 3)), 24)
    rebuilt = np.einsum("pc,pci->pi", fragments.weights, triangles[fragments.triangles])
    centres = np.stack([fragments.pixels % 24, fragments.pixels // 24], axis=1) + 0.5
    np.testing.assert_allclose(rebuilt, centres, atol=1e-9)


def test_what_lies_outside_the_picture_is_not_drawn() -> None:
    away = _front(np.array([[[40.0, 40.0], [60.0, 40.0], [40.0, 60.0]], [[-9.0, 3.0], [-2.0, 3.0], [-9.0, 9.0]]]))
    assert rasterise(away, np.ones((2, 3)), 16).pixels.size == 0
