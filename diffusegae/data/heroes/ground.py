"""Grounds: the flat isometric tiles of a terrain, laid by seed."""

from functools import lru_cache

import numpy as np
from PIL import Image

from diffusegae import storage
from diffusegae.data.heroes.definitions import REMEDY, Cut, Tileset, read_tileset
from diffusegae.data.heroes.layers import ANCHOR, CANVAS, compose, cut_out, place, read_sheet
from diffusegae.data.records import SourceError

TERRAINS = ("grassland", "cave", "dungeon", "snowplains")
_HALF_WIDTH, _HALF_HEIGHT = 32, 16  # of a tile
_PLAIN, _PAVED = range(16, 32), range(32, 48)  # numbers of floor tiles: bare ground; paths, rails, slabs
_REACH = 5  # tiles to each side that cover the canvas


def tileset_path(terrain: str) -> str:
    """Return where the tiles of a terrain are described, relative to the game's folder."""
    return f"tilesetdefs/tileset_{terrain}.txt"


@lru_cache(maxsize=256)
def draw_ground(folder: str, terrain: str, layout: int, seed: int) -> Image.Image:
    """Return a canvas full of ground, RGB: layout 0 of bare ground, 1 paved, all others mixed of both.

    Tile (i, j) has its middle at (i − j, i + j) half tiles from the anchor. SourceError if a file is missing, damaged
    or without floor tiles.
    """
    path = tileset_path(terrain)
    tileset = read_tileset(folder, path)
    numbers = _choose_tiles(tileset, layout)
    if not numbers:
        raise SourceError(f"{storage.join(folder, path)}: no flat tile of 64 × 32 pixels; {REMEDY}")
    sheet = read_sheet(folder, tileset.image)
    random = np.random.default_rng([seed, layout, *terrain.encode()])
    sides = range(-_REACH, _REACH + 1)
    pieces = []
    for i in sides:
        for j in sides:
            cut = tileset.cuts[numbers[random.integers(len(numbers))]]
            x, y = ANCHOR[0] + (i - j) * _HALF_WIDTH, ANCHOR[1] + (i + j) * _HALF_HEIGHT
            pieces.append(place(cut_out(sheet, cut), cut, x, y))
    return compose(Image.new("RGB", (CANVAS, CANVAS)), pieces)


def _choose_tiles(tileset: Tileset, layout: int) -> list[int]:
    flat = [number for number, cut in sorted(tileset.cuts.items()) if _is_flat(cut)]
    wanted = [_PLAIN, _PAVED][layout : layout + 1] or [_PLAIN, _PAVED]
    return [number for number in flat if any(number in numbers for numbers in wanted)] or flat


def _is_flat(cut: Cut) -> bool:
    return cut[2:] == (2 * _HALF_WIDTH, 2 * _HALF_HEIGHT, _HALF_WIDTH, _HALF_HEIGHT)
