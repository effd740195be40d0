"""The game's text files: what is read of them, and what of a damaged one is said."""

from pathlib import Path

import pytest

from diffusegae.data.heroes.definitions import Cut, read_animation, read_layer_order, read_tileset
from diffusegae.data.records import SourceError

STANCE = "\n".join(f"frame=0,{turn},{10 * turn},20,8,9,-3,40" for turn in range(8))


def write(folder: Path, path: str, text: str) -> str:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(text.encode())
    return str(folder)


def test_an_animation_is_its_sheet_and_the_stance(tmp_path: Path) -> None:
    lines = [
        "",
        "image=images/a.png # a sheet",
        "[run]",
        "frame=7,0,1,2,3,4,5,6",
        "[stance]",
        "frames=1",
        STANCE,
        "[die]",
    ]
    text = "\r\n".join(lines)
    animation = read_animation(write(tmp_path, "a.txt", text), "a.txt")
    assert animation.image == "images/a.png"
    assert animation.cuts == {(0, turn): Cut(10 * turn, 20, 8, 9, -3, 40) for turn in range(8)}


def test_a_tileset_is_its_sheet_and_tiles(tmp_path: Path) -> None:
    tileset = read_tileset(write(tmp_path, "t.txt", "img=images/t.png\ntile=16,1,2,64,32,32,16\n"), "t.txt")
    assert (tileset.image, dict(tileset.cuts)) == ("images/t.png", {16: Cut(1, 2, 64, 32, 32, 16)})


def test_the_order_of_layers_is_by_direction(tmp_path: Path) -> None:
    lines = [f"layer={turn},main,chest" for turn in reversed(range(1, 8))] + ["layer=0,chest,main"]
    folder = write(tmp_path, "engine/hero_layers.txt", "# order\n" + "\n".join(lines))
    assert read_layer_order(folder) == (("chest", "main"), *[("main", "chest")] * 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[stance]\n{STANCE}", r"a\.txt: no line image="),
        ("image=a.png\n[run]\n" + STANCE, r"no frame 0 in direction 0"),
        (f"image=a.png\n[stance]\n{STANCE}\nframe=1,0,1,1,1,1,1,1", r"no frame 1 in direction 1"),
        ("image=a.png\n[stance]\nframe=0,0,x,1,1,1,1,1", r"a\.txt, line 3: frame='0,0,x,1,1,1,1,1', expected 8 whole"),
        ("image=a.png\n[stance]\nframe=0,0,1", "expected 8 whole numbers; install the art again"),
    ],
)
def test_a_damaged_animation_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_animation(write(tmp_path, "a.txt", text), "a.txt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"b\.txt: no such file; install the art again \(make heroes\), or set data"):
        read_animation(str(tmp_path), "b.txt")


def test_an_order_without_a_direction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no line layer=1,"):
        read_layer_order(write(tmp_path, "engine/hero_layers.txt", "layer=0,main"))


def test_a_tileset_without_a_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no line img="):
        read_tileset(write(tmp_path, "t.txt", "tile=16,1,2,64,32,32,16"), "t.txt")
