"""A layer's pieces, cut from its sheet and placed on the canvas, and the composition of a picture from them."""

import io
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from diffusegae import storage
from diffusegae.data.heroes.definitions import REMEDY, Cut, read_animation, read_file
from diffusegae.data.records import SourceError

CANVAS = 64  # pixels of a picture at the art's own size
ANCHOR = (29, 53)  # between the hero's feet; so all of them but long weapons is on the canvas


class Piece(NamedTuple):
    """An RGBA picture, and where its left upper corner is on the canvas."""

    pixels: Image.Image
    left: int
    top: int


# The caches belong to the process and hold the stance alone, a few percent of the sheets.
@lru_cache(maxsize=512)
def load_layer(folder: str, body: str, name: str) -> Mapping[tuple[int, int], Piece]:
    """Return the piece of each frame and direction of a layer; SourceError if a file is missing or damaged."""
    animation = read_animation(folder, f"animations/avatar/{body}/{name}.txt")
    sheet = read_sheet(folder, animation.image)
    return {key: place(cut_out(sheet, cut), cut, *ANCHOR) for key, cut in animation.cuts.items()}


def read_sheet(folder: str, path: str) -> Image.Image:
    """Return a sheet as RGBA; SourceError if it is missing or damaged."""
    content = read_file(folder, path)
    try:
        return Image.open(io.BytesIO(content)).convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise SourceError(f"{storage.join(folder, path)}: not a readable image ({error}); {REMEDY}") from error


def cut_out(sheet: Image.Image, cut: Cut) -> Image.Image:
    """Return the rectangle of a sheet; what lies outside of the sheet is clear."""
    return sheet.crop((cut.x, cut.y, cut.x + cut.width, cut.y + cut.height))


def place(pixels: Image.Image, cut: Cut, x: int, y: int) -> Piece:
    """Put the offset of a cut on a point of the canvas."""
    return Piece(pixels, x - cut.offset_x, y - cut.offset_y)


def compose(ground: Image.Image, pieces: Iterable[Piece]) -> Image.Image:
    """Lay pieces over an opaque ground by their alpha, the lowest first; what reaches over the edge is cut off."""
    canvas = ground.copy()
    for piece in pieces:
        canvas.paste(piece.pixels, (piece.left, piece.top), piece.pixels)
    return canvas
