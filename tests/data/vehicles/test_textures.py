"""Backgrounds are distinct, the same at every size, and independent of how many there are."""

import numpy as np
import pytest

from diffusegae.data.vehicles.textures import texture, texture_stack


@pytest.mark.parametrize("seed", [0, 1])
def test_no_two_of_111_backgrounds_look_alike(seed: int) -> None:
    """The closest pair differs by more than 16 grey levels (RMS) at 32 px."""
    flat = texture_stack(111, 32, seed).reshape(111, -1).astype(np.float64)
    squares = (flat**2).mean(axis=1)
    distance = squares[:, None] + squares[None] - 2 * flat @ flat.T / flat.shape[1]
    np.fill_diagonal(distance, np.inf)
    assert np.sqrt(distance.min()) > 15


@pytest.mark.parametrize("background", range(9))
def test_a_background_is_the_same_picture_at_any_size(background: int) -> None:
    small = texture(background, 32, seed=0).astype(np.float64)
    large = texture(background, 128, seed=0).astype(np.float64)
    reduced = large.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - reduced).mean() < 3.0


def test_more_backgrounds_change_nothing_about_the_first_ones() -> None:
    np.testing.assert_array_equal(texture_stack(12, 32, 4)[:5], texture_stack(5, 32, 4))
    np.testing.assert_array_equal(texture_stack(5, 32, 4)[3], texture(3, 32, 4))


def test_another_seed_gives_other_backgrounds() -> None:
    assert (texture_stack(5, 32, 0) != texture_stack(5, 32, 1)).mean(axis=(1, 2, 3)).min() > 0.5
