"""Grounds: flat tiles where the isometric grid says, by layout and seed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusegae.data.heroes.ground import draw_ground
from diffusegae.data.heroes.layers import CANVAS
from diffusegae.data.records import SourceError
from tests.data.heroes.art import colour_of, write_tileset

BARE, PAVED = (16, 17), (32, 33)


def colours(pixels: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in pixels.reshape(-1, 3).tolist()}


def drawn(folder: Path, layout: int, seed: int = 0) -> np.ndarray:
    return np.asarray(draw_ground(str(folder), "cave", layout, seed))


@pytest.mark.parametrize(("layout", "numbers"), [(0, BARE), (1, PAVED), (2, BARE + PAVED), (3, BARE + PAVED)])
def test_a_layout_is_of_its_own_tiles_and_covers_all(tmp_path: Path, layout: int, numbers: tuple[int, ...]) -> None:
    write_tileset(tmp_path, "cave")
    pixels = drawn(tmp_path, layout)
    assert pixels.shape == (CANVAS, CANVAS, 3)
    assert colours(pixels) <= {colour_of(f"cave{number}") for number in numbers}
    assert len(colours(pixels)) > 1


def test_tiles_have_their_middle_half_tiles_from_the_anchor(tmp_path: Path) -> None:
    write_tileset(tmp_path, "cave", numbers=(16,))
    path = tmp_path / "images" / "tilesets" / "cave.png"
    sheet = np.array(Image.open(path))
    sheet[16, 32] = (1, 2, 3, 255)  # the offset of a tile
    Image.fromarray(sheet).save(path)
    marks = np.argwhere((drawn(tmp_path, 0) == (1, 2, 3)).all(axis=2))
    # The anchor is (29, 53); rows of tiles are 16 pixels apart, every other one moved by 32.
    assert marks.tolist() == [[5, 61], [21, 29], [37, 61], [53, 29]]


def test_a_ground_is_the_same_by_seed_and_layout_alone(tmp_path: Path) -> None:
    write_tileset(tmp_path / "a", "cave")
    write_tileset(tmp_path / "b", "cave")
    assert np.array_equal(drawn(tmp_path / "a", 2), drawn(tmp_path / "b", 2))
    assert not np.array_equal(drawn(tmp_path / "a", 2), drawn(tmp_path / "a", 3))
    assert any(not np.array_equal(drawn(tmp_path / "a", 2), drawn(tmp_path / "a", 2, seed)) for seed in (1, 2))


def test_a_terrain_of_other_numbers_uses_what_is_flat(tmp_path: Path) -> None:
    write_tileset(tmp_path, "cave", numbers=(60, 61))
    assert colours(drawn(tmp_path, 1)) <= {colour_of("cave60"), colour_of("cave61")}


def test_a_terrain_without_flat_tiles_is_refused(tmp_path: Path) -> None:
    write_tileset(tmp_path, "cave", numbers=())
    with pytest.raises(SourceError, match=r"tileset_cave.txt: no flat tile of 64 × 32 pixels"):
        drawn(tmp_path, 0)
