"""Pictures that clients send, from bytes to pixels: the one place where bytes of strangers are decoded."""

import threading
from contextlib import nullcontext

import numpy as np
from jaxtyping import UInt8

from diffusegae.formats import TOO_LARGE, ImageError, format_of
from diffusegae.images import Framing, open_image, to_picture
from serve.problems import Problem

Pixels = UInt8[np.ndarray, "size size 3"]
# Fewer than ingest reads: the decoders of these three are the ones that strangers' bytes have tried the longest.
FORMATS = ("PNG", "JPEG", "WEBP")
# A picture takes up to 16 bytes of memory per pixel while it is decoded, so few large ones are decoded side by side.
LARGE_PIXELS, MAX_LARGE = 2_000_000, 2
LARGE = threading.BoundedSemaphore(MAX_LARGE)


def read_picture(where: str, data: bytes, size: int, framing: Framing, max_pixels: int) -> Pixels:
    """Decode a picture as ingest does, to a square of `size` pixels.

    Raises:
        Problem: 413 if its header announces more than `max_pixels`, 422 if it does not decode; `where` names the field.
    """
    try:
        with (
            open_image(data, FORMATS, max_pixels) as opened,
            LARGE if opened.width * opened.height > LARGE_PIXELS else nullcontext(),
        ):
            return np.array(to_picture(opened, size, framing))
    except (ImageError, MemoryError) as error:
        if isinstance(error, ImageError) and error.reason == TOO_LARGE:
            detail = f"{where}: {error}; send a smaller picture"
            raise Problem(413, "Picture too large", detail) from error
        raise Problem(422, "Not a picture", _refusal(where, data, max_pixels)) from error


def _refusal(where: str, data: bytes, max_pixels: int) -> str:
    """Describe the upload and what is expected, without the decoder's words: they may hold what the client sent."""
    found, known = format_of(data), ", ".join(FORMATS)
    came = f"{len(data)} bytes that do not decode as {known}" if found in ("", *FORMATS) else f"a {found} file"
    return f"{where}: {came}; send a whole picture as one of {known}, at most {max_pixels:,} pixels large"
