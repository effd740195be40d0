"""The world of heroes: values, layers in the order of the direction, frames by draw, sizes."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffusegae.data.heroes import HERO_COLUMNS, HeroWorld, open_world
from diffusegae.data.records import SourceError
from tests.data.heroes.art import colour_of, write_art

SIZE = 64


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_art(tmp_path_factory.mktemp("fantasycore"))


def world_of(folder: Path, size: int = SIZE, **wanted: list[str]) -> HeroWorld:
    return open_world(str(folder), size, seed=0, num_layouts=2, wanted=wanted)


def labels_of(world: HeroWorld, **values: str) -> np.ndarray:
    """Return one row of labels, the first value of every column that is not given."""
    own = [world.vocabularies[name].index(values.get(name, world.vocabularies[name][0])) for name in HERO_COLUMNS]
    return np.array([own])


def test_values_are_those_of_the_folder_in_the_wardrobes_order(art: Path) -> None:
    vocabularies = world_of(art).vocabularies
    assert tuple(vocabularies) == HERO_COLUMNS
    assert vocabularies | {"direction": ()} == {
        "body": ("male", "female"),
        "chest": ("default_chest", "cloth_shirt"),
        "legs": ("default_legs", "cloth_pants"),
        "head": ("hair", "plate_helm"),
        "main_hand": ("dagger", "longsword"),
        "off_hand": ("none", "buckler"),
        "direction": (),
        "ground": ("grassland_0", "grassland_1", "cave_0", "cave_1"),
    }
    assert len(vocabularies["direction"]) == 8
    assert world_of(art).num_combinations == 2**6 * 8 * 4


def test_values_can_be_restricted(art: Path) -> None:
    world = world_of(art, ground=["cave_1", "grassland_0"], direction=["south"], body=["female"])
    assert world.vocabularies["ground"] == ("grassland_0", "cave_1")
    assert world.vocabularies["direction"] == ("south",)
    pixels = world.render(labels_of(world, head="plate_helm"), [0])[0]
    assert (pixels == colour_of("female/plate_helm")).all(axis=2).any()


def test_a_hero_wears_what_the_labels_say(art: Path) -> None:
    world = world_of(art)
    row = labels_of(world, body="female", chest="cloth_shirt", legs="cloth_pants", off_hand="none")
    pixels = world.render(row, [0])[0]
    seen = {tuple(colour) for colour in pixels.reshape(-1, 3).tolist()}
    worn = ("cloth_shirt", "cloth_gloves", "cloth_pants", "cloth_sandals", "head_long", "dagger")
    assert {colour_of(f"female/{name}") for name in worn} <= seen
    assert colour_of("female/buckler") not in seen
    assert colour_of("male/cloth_shirt") not in seen


@pytest.mark.parametrize(("direction", "on_top"), [("west", "buckler"), ("north", "default_chest")])
def test_layers_lie_in_the_order_of_the_direction(art: Path, direction: str, on_top: str) -> None:
    world = world_of(art)
    row = labels_of(world, direction=direction, off_hand="buckler")
    frame = int(world.frames(row, [0])[0])
    # The chest covers x 23 to 35, y 21 to 35, the buckler x 31 to 41, y 21 to 33; both move a pixel per frame.
    assert world.render(row, [0])[0, 25, 33 + frame].tolist() == list(colour_of(f"male/{on_top}"))
    assert world.render(row, [0])[0, 25, 37 + frame].tolist() == list(colour_of("male/buckler"))
    assert world.render(row, [0])[0, 25, 24 + frame].tolist() == list(colour_of("male/default_chest"))


def test_other_draws_show_other_frames(art: Path) -> None:
    world = world_of(art)
    rows = world.labels(np.arange(world.num_combinations))
    frames = np.stack([world.frames(rows, np.full(len(rows), draw)) for draw in range(8)])
    assert (frames[1:] != frames[0]).all()
    assert (frames[1:-1] != frames[2:]).all()
    assert np.bincount(frames[0]).min() > 0.2 * len(rows)
    assert set(frames[:, 0].tolist()) == {0, 1, 2, 3}


def test_frames_shift_the_hero_and_leave_the_ground(art: Path) -> None:
    world = world_of(art)
    row = labels_of(world)
    (own, other), (first, second) = world.frames(row.repeat(2, 0), [0, 1]), world.render(row.repeat(2, 0), [0, 1])
    left = [np.flatnonzero((p == colour_of("male/dagger")).all(axis=2).any(axis=0))[0] for p in (first, second)]
    assert left[1] - left[0] == other - own
    assert np.array_equal(first[:8], second[:8])  # above the hero


def test_a_smaller_picture_is_the_mean_of_the_larger(art: Path) -> None:
    large, small = world_of(art), world_of(art, size=32)
    row = labels_of(large)
    native, half = large.render(row, [0])[0].astype(float), small.render(row, [0])[0].astype(float)
    means = native.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert half.shape == (32, 32, 3)
    assert abs(half.mean() - native.mean()) < 0.5
    # Nearer to the mean over four pixels than what skips three of them.
    assert np.abs(half - means).mean() < 0.5 * np.abs(native[::2, ::2] - means).mean()
    assert world_of(art, size=128).render(row, [0]).shape == (1, 128, 128, 3)


def test_the_art_hash_tells_other_art(art: Path, tmp_path: Path) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    shutil.copytree(art, same)
    write_art(other, alpha=254)
    assert world_of(same).art == world_of(art).art
    assert world_of(other).art != world_of(art).art
    assert replace(world_of(same), folder="") == replace(world_of(art), folder="")


def test_layers_of_fewer_frames_bound_the_frames(tmp_path: Path) -> None:
    write_art(tmp_path, frames=1)
    assert world_of(tmp_path).num_frames == 1


def test_an_empty_folder_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"no heroes there .*`make heroes` or Debian's package flare-game, or set data"
    ):
        world_of(tmp_path / "nothing")


def test_an_unknown_value_lists_those_there(art: Path) -> None:
    with pytest.raises(
        SourceError, match=r"no head 'crown', which data.source.values.head names; there are: hair, plate"
    ):
        world_of(art, head=["hair", "crown"])


def test_a_damaged_file_is_found_at_once(tmp_path: Path) -> None:
    write_art(tmp_path)
    (tmp_path / "images" / "avatar" / "female" / "buckler.png").write_bytes(b"")
    with pytest.raises(SourceError, match=r"female/buckler.png: not a readable image"):
        world_of(tmp_path)


def test_a_folder_without_grounds_is_refused(tmp_path: Path) -> None:
    write_art(tmp_path, terrains=())
    with pytest.raises(SourceError, match="no ground; there are: none"):
        world_of(tmp_path)
