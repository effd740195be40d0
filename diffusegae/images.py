"""Pixels: uint8 HWC at rest, float32 [-1, 1] NCHW inside; encoded bytes and grids of pictures.

These are the only functions that change an image's range, layout or encoding.
"""

import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Encoding = Literal["png", "jpeg", "webp"]
ALLOWED_FORMATS = ("PNG", "JPEG", "WEBP")


class ImageError(ValueError):
    """Bytes that are not a picture in an allowed format."""


def decode_image(data: bytes, size: int | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Decode PNG, JPEG or WebP bytes to RGB, resized to a square of `size` pixels if given (centre crop, then Lanczos).

    Raises:
        ImageError: the bytes do not decode, or are of another format.
    """
    try:
        with Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(
            f"{len(data)} bytes that do not decode as {', '.join(ALLOWED_FORMATS)} ({error}); re-export the picture"
        ) from error
    if size is not None and image.size != (size, size):
        image = _centre_square(image).resize((size, size), Image.Resampling.LANCZOS)
    return np.array(image)


def encode_image(pixels: UInt8[np.ndarray, "height width 3"], encoding: Encoding = "png", quality: int = 92) -> bytes:
    """Encode RGB pixels; png is lossless, `quality` concerns jpeg and webp."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if encoding == "png":
        image.save(buffer, format="PNG", compress_level=1)
    else:
        image.save(buffer, format=encoding.upper(), quality=quality)
    return buffer.getvalue()


def to_tensor(pixels: UInt8[np.ndarray, "*batch height width 3"]) -> Float[Tensor, "*batch 3 height width"]:
    """Turn uint8 HWC pixels into float32 [-1, 1] CHW.

    In numpy, on one thread: a feed does this beside training, where torch would wake a second team of threads.
    """
    values = np.ascontiguousarray(np.moveaxis(pixels, -1, -3)).astype(np.float32)
    values /= 127.5
    values -= 1.0
    return torch.from_numpy(values)


def to_device(
    pixels: UInt8[np.ndarray, "*batch height width 3"], device: torch.device
) -> Float[Tensor, "*batch 3 height width"]:
    """Turn uint8 HWC pixels into float32 [-1, 1] CHW on a device; a GPU is sent the pixels, a quarter of the bytes."""
    if device.type != "cuda":
        return to_tensor(pixels).to(device)
    sent = torch.from_numpy(pixels).pin_memory().to(device, non_blocking=True)
    return normalise(sent)


def normalise(
    pixels: UInt8[Tensor, "*batch height width 3"], channels_last: bool = False
) -> Float[Tensor, "*batch 3 height width"]:
    """Turn uint8 HWC pixels into float32 [-1, 1] CHW where they are, to the bit as `to_tensor` does.

    With `channels_last` the pixels stay as they lie in memory, and only the shape says CHW.
    """
    planes = pixels.movedim(-1, -3)
    if not channels_last:
        planes = planes.contiguous()
    # On a GPU, division by a Python number is multiplication by its rounded inverse.
    return planes.float().div_(torch.full((), 127.5, device=pixels.device)).sub_(1.0)


def to_pixels(images: Float[Tensor, "*batch 3 height width"]) -> UInt8[np.ndarray, "*batch height width 3"]:
    """Turn [-1, 1] CHW images into uint8 HWC pixels, rounding to the nearest level."""
    levels = images.detach().float().add(1.0).mul(127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).movedim(-3, -1).cpu().numpy()


def to_unit(images: Float[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 height width"]:
    """Map [-1, 1] to [0, 1], the range of the paper's SSIM and MSE, clamping what lies outside."""
    return images.add(1.0).mul(0.5).clamp(0.0, 1.0)


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
        with Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS) as image:
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
    """Write a title and one caption per column above a grid made by `make_grid`."""
    font = ImageFont.load_default(size=11)
    band = 18 + (18 if title else 0)
    canvas = Image.new("RGB", (grid.shape[1], grid.shape[0] + band), "white")
    canvas.paste(Image.fromarray(grid), (0, band))
    draw = ImageDraw.Draw(canvas)
    if title:
        draw.text((gap, 2), title, fill="black", font=font)
    pitch = (grid.shape[1] - gap) / max(len(columns), 1)
    for index, caption in enumerate(columns):
        draw.text((gap + index * pitch, band - 16), caption, fill="#444", font=font)
    return np.array(canvas)


def _centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    if image.size == (side, side):
        return image
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
