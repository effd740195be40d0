"""Pictures: the one way in which any picture is decoded, encoded bytes, and grids of pictures, all uint8 HWC RGB."""

import io
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageColor, ImageDraw, ImageFont, UnidentifiedImageError

from diffusegae.formats import DAMAGED, FORMATS, TOO_LARGE, ImageError, require_format
from diffusegae.srgb import Colour, to_srgb, upright

Encoding = Literal["png", "jpeg", "webp"]
Resize = Literal["crop", "pad", "stretch"]
MAX_PIXELS = 178_956_970  # where Pillow itself refuses
# Every scan of a progressive JPEG is a pass over all its pixels, and a small file can hold many thousands. Encoders
# make about ten; in the coded data of a picture these two bytes can be nothing else.
_START_OF_SCAN, _MAX_SCANS = b"\xff\xda", 64
# A JPEG of many more pixels than are wanted is decoded at 1/2, 1/4 or 1/8 of its size, but never at less than this many
# times the wanted one, so that Lanczos still does the last step.
_DRAFT_GAP = 3


@dataclass(frozen=True)
class Framing:
    """How a picture becomes a square: what happens to its shape, and over which colour what is transparent is laid.

    `crop` takes the square in the centre, `pad` keeps all of it and fills up with `background`, `stretch` ignores the
    shape. `background` is any opaque colour that CSS knows: a name, #rrggbb, rgb(…).
    """

    resize: Resize = "crop"
    background: str = "white"

    @property
    def colour(self) -> Colour:
        """The background as RGB; ValueError if it is no opaque colour."""
        return parse_colour(self.background)

    def enlarges(self, shape: tuple[int, int], size: int) -> bool:
        """Tell whether a picture of a width and height has fewer pixels than a square of `size` shows of it."""
        return (max(shape) if self.resize == "pad" else min(shape)) < size


@cache
def parse_colour(name: str) -> Colour:
    """Return a colour as RGB levels; ValueError if it is none or not opaque."""
    levels = ImageColor.getrgb(name)
    if len(levels) != 3:
        raise ValueError(f"{name!r} is not opaque")
    return levels


def decode_image(
    data: bytes,
    size: int | None = None,
    framing: Framing = Framing(),
) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a file to upright RGB pixels (of an animation, its first frame), a square of `size` pixels if given.

    Raises:
        ImageError: the bytes do not decode, are of a format that is not read, or of too many pixels.
    """
    with open_image(data) as opened:
        return np.array(to_picture(opened, size, framing))


@contextmanager
def open_image(data: bytes, formats: tuple[str, ...] = FORMATS, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a file by its header, so that its size is known before it is decoded inside the `with`.

    Raises:
        ImageError: the bytes do not decode, are not of `formats`, or of more than `max_pixels`.
    """
    found = require_format(data, formats)
    try:
        with Image.open(io.BytesIO(data), formats=(found,)) as opened:
            width, height = opened.size
            if width * height > max_pixels:
                raise ImageError(TOO_LARGE, f"{width} x {height} pixels; expected at most {max_pixels:,}")
            if found == "JPEG" and data.count(_START_OF_SCAN) > _MAX_SCANS:
                raise ImageError(DAMAGED, f"a JPEG of more than {_MAX_SCANS} scans; save it again as an ordinary one")
            yield opened
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(TOO_LARGE, f"far too many pixels; expected at most {max_pixels:,}") from error
    except Exception as error:  # whatever Pillow's decoders raise at damaged bytes, and that is nearly everything
        said = "its header is damaged" if isinstance(error, UnidentifiedImageError) else str(error)
        detail = f"{len(data)} bytes that do not decode as {found} ({said}); re-export the picture"
        raise ImageError(DAMAGED, detail) from error


def to_picture(opened: Image.Image, size: int | None = None, framing: Framing = Framing()) -> Image.Image:
    """Decode an opened file to an upright RGB picture, a square of `size` pixels if given."""
    if size is not None and min(opened.size) >= 2 * _DRAFT_GAP * size:
        opened.draft(None, (_DRAFT_GAP * size, _DRAFT_GAP * size))  # of JPEG alone
    opened.load()
    image = upright(opened)
    if size is not None and framing.resize == "crop":
        image = _centre_square(image)
    image = to_srgb(image, framing.colour)
    return image if size is None else fit(image, size, framing)


def fit(image: Image.Image, size: int, framing: Framing) -> Image.Image:
    """Return an RGB picture as a square of `size` pixels (Lanczos)."""
    if image.size == (size, size):
        return image.copy()  # not an open file any more, which Pillow asks again and again whether it has changed
    if framing.resize == "crop":
        image = _centre_square(image)
    if framing.resize != "pad":
        return image.resize((size, size), Image.Resampling.LANCZOS)
    longest = max(image.size)
    width, height = (max(1, round(side * size / longest)) for side in image.size)
    square = Image.new("RGB", (size, size), framing.colour)
    inside = image.resize((width, height), Image.Resampling.LANCZOS)
    square.paste(inside, ((size - width) // 2, (size - height) // 2))
    return square


def encode_image(
    picture: UInt8[np.ndarray, "height width 3"] | Image.Image, encoding: Encoding = "png", quality: int = 92
) -> bytes:
    """Encode RGB pixels; png is lossless, `quality` concerns jpeg and webp."""
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    if encoding == "png":
        image.save(buffer, format="PNG", compress_level=1)
    else:
        image.save(buffer, format=encoding.upper(), quality=quality)
    return buffer.getvalue()


def decode_batch(encoded: Sequence[bytes], size: int, threads: int = 1) -> UInt8[np.ndarray, "batch height width 3"]:
    """Decode images that are known to be good and of one size into one array, a part of it in each thread."""
    pixels = np.empty((len(encoded), size, size, 3), np.uint8)

    def decode(part: int) -> None:
        for row in range(part * len(encoded) // threads, (part + 1) * len(encoded) // threads):
            _decode_into(pixels[row], encoded[row])

    others = [_decoders(threads - 1).submit(decode, part) for part in range(1, threads)]
    decode(0)
    for other in others:
        other.result()
    return pixels


@cache
def _decoders(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="decode")


def _decode_into(square: UInt8[np.ndarray, "size size 3"], data: bytes) -> None:
    """Decode a good image to its place; a JPEG without Pillow, which holds the GIL for half of its time."""
    if not data.startswith(b"\xff\xd8"):
        with Image.open(io.BytesIO(data), formats=("PNG", "WEBP")) as image:
            square[:] = np.asarray(image)
        return
    from simplejpeg import decode_jpeg  # here: where no JPEG is stored it need not be installed

    decoded = decode_jpeg(data, buffer=square)
    if decoded.shape != square.shape:
        raise ValueError(f"a JPEG of {decoded.shape} among pictures of {square.shape}; ingest the images again")


def make_grid(
    pixels: UInt8[np.ndarray, "count height width 3"], columns: int, scale: int = 1, gap: int = 2
) -> UInt8[np.ndarray, "grid_height grid_width 3"]:
    """Lay pictures out in rows of `columns` on white, each enlarged `scale` times without smoothing."""
    pictures = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width, _ = pictures.shape
    rows = math.ceil(count / columns)
    grid = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        grid[top : top + height, left : left + width] = picture
    return grid


def label_grid(
    grid: UInt8[np.ndarray, "height width 3"], columns: Sequence[str], title: str = "", gap: int = 2
) -> UInt8[np.ndarray, "labelled_height width 3"]:
    """Write a title, in as many lines as it takes, and one caption per column above a grid made by `make_grid`."""
    font = ImageFont.load_default(size=11)
    lines = _wrap(title, grid.shape[1] - 2 * gap, font)
    band = 18 * (len(lines) + 1)
    canvas = Image.new("RGB", (grid.shape[1], grid.shape[0] + band), "white")
    canvas.paste(Image.fromarray(grid), (0, band))
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        draw.text((gap, 2 + 18 * number), line, fill="black", font=font)
    pitch = (grid.shape[1] - gap) / max(len(columns), 1)
    for index, caption in enumerate(columns):
        draw.text((gap + index * pitch, band - 16), caption, fill="#444", font=font)
    return np.array(canvas)


def _wrap(text: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> list[str]:
    """Break text between words into lines of at most `width` pixels; a longer word stays whole."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    if image.size == (side, side):
        return image
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
