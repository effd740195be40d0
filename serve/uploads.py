"""Pictures that clients send, from bytes to pixels: the one place where bytes of strangers are decoded."""

import io
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from diffusegae.images import ALLOWED_FORMATS

from .problems import Problem
from .tasks import Pixels

FORMATS = ", ".join(ALLOWED_FORMATS)
# A picture takes up to 16 bytes of memory per pixel while it is decoded, so few large ones are decoded side by side.
LARGE_PIXELS, MAX_LARGE = 2_000_000, 2
LARGE = threading.BoundedSemaphore(MAX_LARGE)
# Every scan of a progressive JPEG is a pass over all its pixels, and a small file can hold many thousands. Encoders
# make about ten; in the coded data of a picture these two bytes can be nothing else.
JPEG, START_OF_SCAN, MAX_SCANS = b"\xff\xd8", b"\xff\xda", 64
# What turns a picture the way its camera was held (Exif 2.3, tag 0x0112).
TURNS: Mapping[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_picture(where: str, data: bytes, size: int, max_pixels: int) -> Pixels:
    """Decode a picture (of an animation, its first frame), upright, to a square of `size` pixels.

    Raises:
        Problem: 413 if its header announces more than `max_pixels`, 422 if it does not decode; `where` names the field.
    """
    try:
        with Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS) as opened:
            width, height = opened.size
            if width * height > max_pixels:
                raise _too_large(where, f"{width} x {height} pixels", max_pixels)
            if data.startswith(JPEG) and data.count(START_OF_SCAN) > MAX_SCANS:
                detail = f"{where}: a JPEG of more than {MAX_SCANS} scans; save it again as an ordinary one"
                raise Problem(422, "Not a picture", detail)
            turn = _turn(opened)
            with LARGE if width * height > LARGE_PIXELS else nullcontext():
                square = _squared(opened, size)
        return np.array(square if turn is None else square.transpose(turn))
    except Problem:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(where, "far too many pixels", max_pixels) from error
    except Exception as error:  # whatever Pillow's decoders raise at hostile bytes, and that is nearly everything
        remedy = f"send a whole picture in one of these formats, at most {max_pixels:,} pixels large"
        detail = f"{where}: {len(data)} bytes that do not decode as {FORMATS}; {remedy}"
        raise Problem(422, "Not a picture", detail) from error


def _squared(opened: Image.Image, size: int) -> Image.Image:
    """Return the square in the centre, as `diffusegae.images.decode_image` does, with as few copies as can be."""
    opened.load()
    if opened.mode.startswith("I;16"):  # which Pillow would cut off at 255
        opened = Image.fromarray((np.asarray(opened) >> 8).astype(np.uint8))
    image = opened if opened.mode == "RGB" else opened.convert("RGB")
    side = min(image.size)
    if image.size != (side, side):
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    return image if side == size else image.resize((size, size), Image.Resampling.LANCZOS)


def _turn(opened: Image.Image) -> Image.Transpose | None:
    """Return what turns a picture upright; damaged Exif data says nothing, as in every viewer."""
    try:
        return TURNS.get(opened.getexif().get(ExifTags.Base.Orientation))
    except Exception:
        return None


def _too_large(where: str, found: str, max_pixels: int) -> Problem:
    detail = f"{where}: {found}; at most {max_pixels:,} pixels are allowed, send a smaller picture"
    return Problem(413, "Picture too large", detail)
