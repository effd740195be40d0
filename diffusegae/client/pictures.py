"""Pictures on their way in, in whatever form the caller has them, and on their way out."""

import base64
import binascii
import io
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .errors import AnswerError, InputError

Pixels = NDArray[np.uint8]  # [height, width, 3], RGB
SUFFIXES = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg"),
    "image/webp": (".webp",),
    "image/apng": (".apng", ".png"),
    "image/gif": (".gif",),
}

PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # what PNG holds as it is


@dataclass(frozen=True, eq=False)
class Picture:
    """An encoded picture from the service, or the animation that `animate` asked for.

    Attributes:
        data: the bytes of the file, as the service sent it.
        media_type: such as image/png.
        model: name/version of the model that made it; empty for the estimates of a running request.
    """

    data: bytes = field(repr=False)
    media_type: str
    model: str = ""

    @cached_property
    def pixels(self) -> Pixels:
        """RGB pixels, uint8 [height, width, 3], decoded once; of an animation, its first frame."""
        return np.asarray(self.image.convert("RGB"))

    @property
    def image(self) -> Image.Image:
        """A new Pillow image; an animation's has its frames.

        Raises:
            AnswerError: what the service sent does not decode.
        """
        try:
            opened = Image.open(io.BytesIO(self.data))
            opened.load()
        except (OSError, ValueError, SyntaxError) as error:
            raise AnswerError(f"the service sent {self.media_type} that does not decode ({error})") from error
        return opened

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file as the service sent it, and return its path.

        Raises:
            InputError: the name ends as another format's would.
            OSError: it cannot be written.
        """
        target = Path(path)
        expected = SUFFIXES.get(self.media_type, ())
        if target.suffix and expected and target.suffix.lower() not in expected:
            remedy = f"end the name in {' or '.join(expected)}, or ask the service for another format"
            raise InputError(f"{target.name}: the picture is {self.media_type}; {remedy}")
        target.write_bytes(self.data)
        return target


# A path, encoded bytes (PNG, JPEG or WebP), uint8 RGB pixels [height, width, 3], a Pillow image, or an earlier answer.
PictureLike = str | os.PathLike[str] | bytes | Pixels | Image.Image | Picture


def encoded(picture: object, where: str) -> bytes:
    """Return a `PictureLike` as the bytes of a file; `where` names it in errors.

    Files and bytes go as they are, the service checks them; pixels and Pillow images go as PNG, upright, and what is
    transparent in them stays so, for the model has a background of its own.

    Raises:
        InputError: no such file, or nothing that can be a picture.
    """
    if isinstance(picture, Picture):
        return picture.data
    if isinstance(picture, bytes) and picture:
        return picture
    if isinstance(picture, str | os.PathLike):
        return _from_file(Path(picture), where)
    if isinstance(picture, np.ndarray):
        return _from_pixels(picture, where)
    if isinstance(picture, Image.Image):
        upright = ImageOps.exif_transpose(picture)
        return _as_png(upright if upright.mode in PNG_MODES else upright.convert("RGB"))
    kind = "no bytes are" if isinstance(picture, bytes) else f"a {type(picture).__name__} is"
    raise InputError(
        f"{where}: {kind} no picture; give a path, the bytes of a file, uint8 pixels"
        " [height, width, 3] or a Pillow image"
    )


def as_base64(data: bytes) -> str:
    """Return bytes as JSON carries them."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """Return the bytes that JSON carried; AnswerError if they are not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise AnswerError(f"the service sent something that is not base64 ({error})") from error


def _from_file(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{where}: {path} cannot be read ({reason}); give the path of a picture") from error


def _from_pixels(pixels: NDArray[np.generic], where: str) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise InputError(
            f"{where}: {pixels.dtype} pixels {list(pixels.shape)}; expected uint8 RGB pixels [height, width, 3]"
        )
    return _as_png(Image.fromarray(np.ascontiguousarray(pixels)))


def _as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
