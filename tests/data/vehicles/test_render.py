"""The public world: pure rendering, names, limits, and attributes that a simple reader can tell."""

import pickle

import numpy as np
import pytest

from diffusegae.data.vehicles import KINDS, Look, VehicleWorld
from diffusegae.data.vehicles.render import _foreground, _mesh
from diffusegae.data.vehicles.scene import draw_layer, draw_view
from diffusegae.data.vehicles.textures import texture_stack

LOOKS: tuple[Look, ...] = ("hard", "toy")
_WORLD = VehicleWorld(num_kinds=3, num_instances=2, num_backgrounds=7, seed=3)


def test_render_equals_the_slice_of_its_layer() -> None:
    layer = _WORLD.render_layer(2, 1, 4)
    assert layer.shape == (7, 32, 32, 3)
    assert layer.dtype == np.uint8
    for background in range(7):
        np.testing.assert_array_equal(_WORLD.render(2, 1, background, 4), layer[background])


def test_rendering_is_pure_and_survives_pickling() -> None:
    before = _WORLD.render_layer(1, 0, 2)
    _foreground.cache_clear()
    _mesh.cache_clear()
    texture_stack.cache_clear()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(_WORLD)).render_layer(1, 0, 2), before)


def test_a_draw_moves_camera_and_light_and_nothing_else() -> None:
    still = VehicleWorld(num_kinds=3, num_instances=2, num_backgrounds=7, seed=3, jitter=0.0)
    np.testing.assert_array_equal(still.render(2, 1, 5, 3, draw=4), still.render(2, 1, 5, 3))
    pictures = [_WORLD.render(2, 1, 5, 3, draw=draw).tobytes() for draw in (0, 1, 2, 2**32 - 1, 1)]
    assert pictures[0] == _WORLD.render(2, 1, 5, 3).tobytes()
    assert pictures[1] == pictures[4]
    assert len(set(pictures)) == 4
    # Draw 0 is the picture that data sets hold since before there were draws.
    view = draw_view(_WORLD.pose_degrees(3), 1.0, np.random.default_rng([3, 31, 2, 1, 180_000]))
    np.testing.assert_array_equal(_foreground(_WORLD, 2, 1, 3, 0).ink, draw_layer(_mesh(2, 1, 3), view, 32).ink)


def test_the_hard_look_is_of_the_same_vehicles_seen_from_further_off_the_usual_view() -> None:
    hard, toy = (VehicleWorld(num_kinds=20, num_instances=2, num_backgrounds=3, seed=3, look=look) for look in LOOKS)

    def spread(world: VehicleWorld) -> float:
        shapes = np.stack([_foreground(world, 4, 1, 2, draw).keep[..., 0] == 0 for draw in range(12)])
        return float(np.stack(shapes).std(axis=0).mean())

    assert spread(hard) > 2 * spread(toy)
    still = [VehicleWorld(num_kinds=20, seed=3, num_backgrounds=3, jitter=0.0, look=look) for look in LOOKS]
    silhouettes = [_foreground(world, 15, 1, 2, 0).keep for world in still]
    np.testing.assert_array_equal(*silhouettes)  # without jitter the skin and the background alone differ
    inks = [_foreground(world, 15, 1, 2, 0).ink for world in still]
    assert (inks[0] != inks[1]).any(axis=-1).mean() > 0.05


def test_counts_of_a_world_do_not_change_a_picture() -> None:
    larger = VehicleWorld(num_kinds=12, num_instances=9, num_backgrounds=20, seed=3)
    np.testing.assert_array_equal(larger.render(2, 1, 5, 3), _WORLD.render(2, 1, 5, 3))


def test_away_from_vehicle_and_shadow_the_background_is_untouched() -> None:
    backgrounds = texture_stack(7, 32, 3)
    for kind, instance, pose in ((0, 0, 0), (1, 1, 3), (2, 0, 5)):
        untouched = (_foreground(_WORLD, kind, instance, pose, 0).keep == 256).all(axis=-1)
        assert untouched.mean() > 0.15
        layer = _WORLD.render_layer(kind, instance, pose)
        np.testing.assert_array_equal(layer[:, untouched], backgrounds[:, untouched])


def test_layers_come_in_order_and_count_the_images() -> None:
    layers = list(_WORLD.layers())
    assert layers == sorted(set(layers))
    assert len(layers) * _WORLD.num_backgrounds == _WORLD.num_images == 3 * 2 * 6 * 7


def test_names_are_those_of_ilab() -> None:
    assert _WORLD.kind_name(0) == "car"
    assert _WORLD.instance_name(0, 3) == "car-i0003"
    assert _WORLD.background_name(7) == "b0007"
    assert [_WORLD.pose_name(pose) for pose in range(6)] == ["r01", "r02", "r03", "r04", "r06", "r07"]
    assert [_WORLD.pose_degrees(pose) for pose in range(6)] == [45, 90, 135, 180, 270, 315]


def test_other_numbers_of_poses_are_evenly_spaced() -> None:
    world = VehicleWorld(num_poses=8)
    assert [world.pose_name(pose) for pose in (0, 7)] == ["r00", "r07"]
    assert world.pose_degrees(3) == 135
    six = VehicleWorld(num_poses=6)
    np.testing.assert_array_equal(world.render(4, 1, 9, 6), six.render(4, 1, 9, 4))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_kinds", 1),
        ("num_kinds", 21),
        ("num_instances", 0),
        ("num_backgrounds", 1),
        ("num_poses", 17),
        ("size", 31),
        ("size", 257),
        ("seed", -1),
        ("jitter", -0.1),
    ],
)
def test_what_is_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} = {value} is out of range: expected .* to .*change it"):
        VehicleWorld(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [48, 100, 256])
def test_any_size_shows_the_same_scene(size: int) -> None:
    picture = VehicleWorld(num_backgrounds=2, size=size).render(6, 0, 1, 0)
    assert picture.shape == (size, size, 3)
    index = np.arange(16) * size // 16 + size // 32
    reference = VehicleWorld(num_backgrounds=2, size=128).render(6, 0, 1, 0)[4::8, 4::8]
    assert np.median(np.abs(picture[np.ix_(index, index)].astype(int) - reference)) < 12


def test_kind_and_pose_are_told_by_a_linear_reader_on_unseen_backgrounds() -> None:
    """Ridge regression on raw 32 px pixels, fitted on 24 backgrounds and asked about 8 others."""
    world = VehicleWorld(num_kinds=len(KINDS), num_instances=1, num_backgrounds=32)
    labels = np.repeat(list(world.layers()), 32, axis=0)
    is_train = np.tile(np.arange(32) < 24, len(labels) // 32)
    pictures = np.concatenate([world.render_layer(*layer) for layer in world.layers()])
    pixels = pictures.reshape(len(labels), -1).astype(np.float64) / 255
    kernel = pixels @ pixels[is_train].T
    for column, count in ((0, world.num_kinds), (2, world.num_poses)):
        targets = np.eye(count)[labels[is_train, column]] - 1 / count
        weights = np.linalg.solve(kernel[is_train] + 5 * np.eye(is_train.sum()), targets)
        told = (kernel[~is_train] @ weights).argmax(axis=1)
        assert (told == labels[~is_train, column]).mean() > 0.97
