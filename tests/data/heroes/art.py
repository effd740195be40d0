"""Small layers of art in the game's format: for each part of a hero a rectangle, in a colour by the layer's name."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

DIRECTIONS = 8
ORDER = {turn: "off,feet,legs,hands,chest,head,main" if turn in (2, 3, 4) else "main,feet,legs,hands,chest,head,off"
         for turn in range(DIRECTIONS)}  # fmt: skip
# Part: width, height, offset from the rectangle's left upper corner to the anchor.
SHAPES: Mapping[str, tuple[int, int, int, int]] = {
    "feet": (12, 4, 6, 2),
    "legs": (8, 16, 4, 18),
    "hands": (20, 3, 10, 26),
    "chest": (12, 14, 6, 32),
    "head": (6, 8, 3, 40),
    "main": (4, 30, 14, 40),
    "off": (10, 12, -2, 32),
}
LAYERS: Mapping[str, str] = {
    "default_chest": "chest", "default_hands": "hands", "cloth_shirt": "chest", "cloth_gloves": "hands",
    "default_legs": "legs", "default_feet": "feet", "cloth_pants": "legs", "cloth_sandals": "feet",
    "plate_helm": "head", "dagger": "main", "longsword": "main", "buckler": "off",
}  # fmt: skip
HAIR = {"male": "head_short", "female": "head_long"}
FRAME_SHIFT = 1  # pixels to the right per frame


def colour_of(name: str) -> tuple[int, int, int]:
    """Return the colour of a layer or tile; no channel is 0, as nothing drawn is."""
    number = zlib.crc32(name.encode())
    return 1 + number % 255, 1 + number // 256 % 255, 1 + number // 65536 % 255


def write_art(folder: Path, frames: int = 4, alpha: int = 255, terrains: Sequence[str] = ("grassland", "cave")) -> Path:
    """Write a folder `fantasycore` of two bodies and a few layers, and return it."""
    for body, hair in HAIR.items():
        for name, part in {**LAYERS, hair: "head"}.items():
            write_layer(folder, body, name, part, frames, alpha)
    for terrain in terrains:
        write_tileset(folder, terrain)
    _write(folder / "engine" / "hero_layers.txt", ["# direction, parts", *(f"layer={d},{p}" for d, p in ORDER.items())])
    return folder


def write_layer(folder: Path, body: str, name: str, part: str, frames: int = 4, alpha: int = 255) -> None:
    """Write a layer's sheet, a rectangle for each frame and direction, and its animation."""
    width, height, x, y = SHAPES[part]
    sheet = np.zeros((frames * height, DIRECTIONS * width, 4), np.uint8)
    sheet[:] = (*colour_of(f"{body}/{name}"), alpha)
    image = f"images/avatar/{body}/{name}.png"
    _save(folder / image, sheet)
    lines = ["", f"image={image}", "", "[stance]", f"frames={frames}", "duration=800ms"]
    for frame in range(frames):
        for turn in range(DIRECTIONS):
            cut = (turn * width, frame * height, width, height, x - frame * FRAME_SHIFT, y)
            lines.append("frame=" + ",".join(map(str, (frame, turn, *cut))))
    lines += ["", "[run]", "frame=0,0,0,0,1,1,0,0"]
    _write(folder / "animations" / "avatar" / body / f"{name}.txt", lines)


def write_tileset(folder: Path, terrain: str, numbers: Sequence[int] = (16, 17, 32, 33)) -> None:
    """Write a tileset of flat diamonds, each in a colour of its own, and a wall."""
    across, down = np.meshgrid(np.arange(64) + 0.5, np.arange(32) + 0.5)
    inside = np.abs(across - 32) / 32 + np.abs(down - 16) / 16 <= 1
    sheet = np.zeros((32 * len(numbers) + 96, 64, 4), np.uint8)
    lines = [f"img=images/tilesets/{terrain}.png", ""]
    for place, number in enumerate(numbers):
        sheet[32 * place : 32 * place + 32][inside] = (*colour_of(f"{terrain}{number}"), 255)
        lines.append(f"tile={number},0,{32 * place},64,32,32,16")
    sheet[32 * len(numbers) :] = 255
    lines.append(f"tile=18,0,{32 * len(numbers)},64,96,32,80")
    _save(folder / "images" / "tilesets" / f"{terrain}.png", sheet)
    _write(folder / "tilesetdefs" / f"tileset_{terrain}.txt", lines)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
