"""Skins: a second paint on the body alone, of an instance, the same from every side."""

import numpy as np
import pytest

from diffusegae.data.vehicles.livery import draw_livery
from diffusegae.data.vehicles.shapes import KINDS
from diffusegae.data.vehicles.skins import Skin

PLACES = np.random.default_rng(0).uniform((-1, -0.5, 0), (1, 0.5, 1), (4000, 3))


def painted(kind: int, instance: int, seed: int = 0) -> np.ndarray:
    body = np.array(draw_livery(kind, instance, seed).body)
    return Skin(kind, instance, seed).paint(np.tile(body, (4000, 1)), PLACES)


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_a_body_shows_two_paints(kind: int) -> None:
    tones, counts = np.unique(painted(kind, 1), axis=0, return_counts=True)
    assert len(tones) == 2
    assert counts.min() > 0.1 * 4000
    assert np.abs(tones[0] - tones[1]).sum() > 0.4


def test_what_is_no_body_keeps_its_colour() -> None:
    glass = np.tile([0.10, 0.13, 0.20], (4000, 1))
    assert np.array_equal(Skin(0, 0, 0).paint(glass, PLACES), glass)


def test_a_skin_is_the_instances_own() -> None:
    assert np.array_equal(painted(3, 2), painted(3, 2))
    assert not np.array_equal(painted(3, 2), painted(3, 1))
    assert not np.array_equal(painted(3, 2), painted(3, 2, seed=1))
