"""Prints: three numbers by which a stored picture is known again, as it is, and after light changes.

`copy` is a hash of the stored bytes: equal where the pixels are. `outline` is a difference hash: which of two halves is
brighter, in 8 x 8 cells. `colours` are the mean colours of the four quarters. Compression, a change of size or of a few
levels of light moves few bits of the outline and no colour by more than a step; another picture moves one or the other.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, UInt8, UInt64
from PIL import Image

from diffusegae import storage

_WIDTH, _HEIGHT = 16, 8  # two halves of each of 8 x 8 cells
_LUMA = np.array([77, 150, 29], np.int32)  # of 256
_MARGIN = 2 * 256  # by which a half must be brighter: noise of even ground says nothing
_STEP_BITS, _MEANS = 5, 12  # of 256 levels 32 steps; three channels of four quarters

Numbers = UInt64[np.ndarray, "_"]
Rows = npt.NDArray[np.integer] | slice


@dataclass(frozen=True)
class Prints:
    """The prints of some rows: 24 bytes for each."""

    copy: Numbers
    outline: Numbers
    colours: Numbers

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.copy)

    def take(self, rows: Rows | Bool[np.ndarray, "_"]) -> "Prints":
        """Return the prints of some rows."""
        return Prints(self.copy[rows], self.outline[rows], self.colours[rows])

    def to_bytes(self) -> bytes:
        """Return all of it as an `.npy` file."""
        file = io.BytesIO()
        np.save(file, np.stack([self.copy, self.outline, self.colours]))
        return file.getvalue()

    @classmethod
    def join(cls, contents: Sequence[bytes]) -> "Prints":
        """Return what several files of `to_bytes` hold, one after the other."""
        parts = [np.load(io.BytesIO(content), allow_pickle=False) for content in contents]
        return cls(*(np.concatenate([part[kind] for part in parts]) for kind in range(3)))


def reduce_picture(picture: Image.Image) -> Image.Image:
    """Return all that the prints of an RGB picture need of its pixels: 384 bytes."""
    width, height = picture.size
    if width % _WIDTH or height % _HEIGHT:
        return picture.resize((_WIDTH, _HEIGHT), Image.Resampling.BOX)
    return picture.reduce((width // _WIDTH, height // _HEIGHT))  # the same means, in half of the time


def make_prints(encoded: Sequence[bytes], reduced: Sequence[Image.Image]) -> Prints:
    """Return the prints of pictures, given as they are stored and as `reduce_picture` gives them."""
    copies = b"".join(hashlib.blake2b(data, digest_size=8).digest() for data in encoded)
    column = Image.new("RGB", (_WIDTH, _HEIGHT * len(reduced)))  # one array of it costs less than one of each
    for place, picture in enumerate(reduced):
        column.paste(picture, (0, _HEIGHT * place))
    pixels: UInt8[np.ndarray, "n height width 3"] = np.asarray(column).reshape(-1, _HEIGHT, _WIDTH, 3)
    light = pixels.astype(np.int32) @ _LUMA
    brighter = (light[..., 1::2] - light[..., 0::2]) > _MARGIN
    outline = np.packbits(brighter.reshape(len(pixels), 64), axis=1).view(">u8")[:, 0]
    quarters = pixels.reshape(-1, 2, _HEIGHT // 2, 2, _WIDTH // 2, 3).mean(axis=(2, 4)).reshape(len(pixels), _MEANS)
    steps = quarters.astype(np.uint64) >> np.uint64(8 - _STEP_BITS)
    colours = (steps << (_STEP_BITS * np.arange(_MEANS, dtype=np.uint64))).sum(axis=1, dtype=np.uint64)
    return Prints(np.frombuffer(copies, "<u8").astype(np.uint64), outline.astype(np.uint64), colours)


def same_colours(some: Numbers, others: Numbers) -> Bool[np.ndarray, "_"]:
    """Tell of which pairs no colour differs by more than a step (8 of 256 levels)."""
    alike, mask = np.ones(len(some), bool), np.uint64((1 << _STEP_BITS) - 1)
    for mean in range(_MEANS):
        shift = np.uint64(_STEP_BITS * mean)
        one, other = ((colours >> shift & mask).astype(np.int8) for colours in (some, others))
        alike &= np.abs(one - other) <= 1
    return alike


def prints_uri(records_uri: str, unit: int) -> str:
    """Return where ingest keeps the prints of a unit until it is done."""
    return storage.join(records_uri, f"{unit:05d}.npy")
