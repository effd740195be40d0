"""Layers: pieces where the offsets say, laid over each other by their alpha."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusegae.data.heroes.layers import CANVAS, Piece, compose, load_layer
from diffusegae.data.records import SourceError
from tests.data.heroes.art import colour_of, write_art, write_layer


def flat(colour: tuple[int, ...], size: tuple[int, int]) -> Image.Image:
    return Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour)


def test_a_piece_lies_where_anchor_and_offset_say(tmp_path: Path) -> None:
    write_layer(tmp_path, "male", "dagger", "main", frames=2)
    piece = load_layer(str(tmp_path), "male", "dagger")[1, 3]
    # The anchor is (29, 53); the offset of frame 1 is (14 - 1, 40).
    assert (piece.left, piece.top, piece.pixels.size) == (16, 13, (4, 30))
    pixels = np.asarray(compose(flat((9, 9, 9), (CANVAS, CANVAS)), [piece]))
    drawn = (pixels == colour_of("male/dagger")).all(axis=2)
    assert drawn[13:43, 16:20].all()
    assert drawn.sum() == 4 * 30
    assert (pixels[~drawn] == 9).all()


def test_each_frame_and_direction_is_cut_from_its_own_place(tmp_path: Path) -> None:
    write_art(tmp_path)
    path = tmp_path / "images" / "avatar" / "male" / "dagger.png"
    sheet = np.array(Image.open(path))
    sheet[30:60, 8:12] = (1, 2, 3, 255)  # frame 1, direction 2
    Image.fromarray(sheet).save(path)
    pieces = load_layer(str(tmp_path), "male", "dagger")
    marked = [key for key, piece in pieces.items() if (np.asarray(piece.pixels) == (1, 2, 3, 255)).all()]
    assert marked == [(1, 2)]


def test_layers_are_laid_over_by_their_alpha() -> None:
    ground = flat((100, 0, 200), (4, 4))
    half, full = flat((200, 200, 0, 51), (2, 2)), flat((7, 8, 9, 255), (1, 1))
    pixels = np.asarray(compose(ground, [Piece(half, 1, 1), Piece(full, 2, 2)]))
    assert pixels[1, 1].tolist() == [120, 40, 160]  # a fifth of the layer
    assert pixels[2, 2].tolist() == [7, 8, 9]
    assert pixels[0, 0].tolist() == [100, 0, 200]
    assert np.asarray(ground)[1, 1].tolist() == [100, 0, 200]


def test_what_reaches_over_the_edge_is_cut_off() -> None:
    pixels = np.asarray(compose(flat((0, 0, 0), (4, 4)), [Piece(flat((5, 5, 5, 255), (3, 3)), -2, 3)]))
    assert np.argwhere(pixels[..., 0]).tolist() == [[3, 0]]


@pytest.mark.parametrize(("content", "message"), [(b"no image", "not a readable image"), (None, "no such file")])
def test_a_sheet_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    write_layer(tmp_path, "male", "dagger", "main")
    sheet = tmp_path / "images" / "avatar" / "male" / "dagger.png"
    sheet.unlink()
    if content:
        sheet.write_bytes(content)
    with pytest.raises(SourceError, match=f"avatar/male/dagger.png: {message}"):
        load_layer(str(tmp_path), "male", "dagger")


def test_a_cut_off_sheet_is_named(tmp_path: Path) -> None:
    write_layer(tmp_path, "male", "dagger", "main")
    sheet = tmp_path / "images" / "avatar" / "male" / "dagger.png"
    sheet.write_bytes(sheet.read_bytes()[:-40])
    with pytest.raises(SourceError, match=r"dagger\.png: not a readable image .*make heroes"):
        load_layer(str(tmp_path), "male", "dagger")
