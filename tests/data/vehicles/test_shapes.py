"""Every kind faces +x, stands on the ground, and has instances that differ."""

import numpy as np
import pytest

from diffusegae.data.vehicles.livery import LAMP, TAIL, draw_livery
from diffusegae.data.vehicles.shapes import KINDS, build_vehicle
from diffusegae.data.vehicles.solids import Array, Mesh

_EVERY_KIND = pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)


def _painted(mesh: Mesh, colour: tuple[float, float, float]) -> Array:
    return np.asarray(mesh.corners[np.all(mesh.colours == np.array(colour), axis=1)])


def test_there_are_twenty_kinds() -> None:
    assert len(set(KINDS)) == len(KINDS) == 20


@_EVERY_KIND
def test_lamps_lead_and_the_red_tail_follows(kind: int) -> None:
    for instance in range(4):
        mesh = build_vehicle(kind, instance, seed=0)
        middle = (mesh.corners[..., 0].min() + mesh.corners[..., 0].max()) / 2
        assert _painted(mesh, LAMP)[..., 0].min() > middle
        assert _painted(mesh, TAIL)[..., 0].max() < middle


@_EVERY_KIND
def test_it_stands_on_the_ground(kind: int) -> None:
    for instance in range(4):
        assert abs(build_vehicle(kind, instance, seed=1).corners[..., 2].min()) < 0.03


@_EVERY_KIND
def test_an_instance_is_a_function_of_its_number_and_the_seed(kind: int) -> None:
    first, again = build_vehicle(kind, 3, seed=5), build_vehicle(kind, 3, seed=5)
    np.testing.assert_array_equal(first.corners, again.corners)
    np.testing.assert_array_equal(first.colours, again.colours)
    other = build_vehicle(kind, 4, seed=5)
    lengths = [np.ptp(mesh.corners[..., 0]) for mesh in (first, other)]
    assert lengths[0] != lengths[1]


@_EVERY_KIND
def test_ten_instances_wear_ten_paints_and_none_is_red(kind: int) -> None:
    bodies = np.array([draw_livery(kind, instance, seed=0).body for instance in range(10)])
    apart = np.abs(bodies[:, None] - bodies[None]).sum(axis=-1) + np.eye(10)
    assert apart.min() > 0.2
    assert np.abs(bodies - np.array(TAIL)).sum(axis=1).min() > 0.4
