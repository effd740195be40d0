"""3D Shapes: an object in a room by six factors, every combination once, in one HDF5 file.

Layout (github.com/google-deepmind/3d-shapes, 3dshapes.h5): `images` uint8 [480000, 64, 64, 3], `labels` float64
[480000, 6]: floor, wall and object hue, scale, shape (0 to 3: cube, cylinder, sphere, capsule), orientation in degrees.
Read by h5py (the extra `sets`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from diffusegae import storage
from diffusegae.data.containers import require_there
from diffusegae.data.records import SourceError
from diffusegae.data.sources.arrays import (
    BLOCK_ROWS,
    ArrayConfig,
    Block,
    Pixels,
    RowNumbers,
    Rows,
    consecutive,
    name_values,
)
from diffusegae.data.sources.state import archive_state

_IMAGES, _LABELS = "images", "labels"
_SHAPES = ("cube", "cylinder", "sphere", "capsule")
_FACTORS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
_CHUNK_CACHE_BYTES = 1 << 25


class Shapes3dConfig(ArrayConfig):
    """3D Shapes (3dshapes.h5): hues of floor, wall and object, scale, shape, orientation."""

    kind: Literal["shapes3d"] = "shapes3d"
    uri: str = Field(min_length=1, description="The file 3dshapes.h5.")
    addresses: ClassVar[tuple[str, ...]] = ("uri",)
    factors: ClassVar[tuple[str, ...]] = _FACTORS

    def named_values(self) -> Mapping[str, Sequence[str]]:
        """Return the values of columns whose values have names, in their own order."""
        return {"shape": _SHAPES}

    def state(self) -> str:
        """Return a hash of the file's size and ends."""
        return archive_state(self.uri)

    def arrays(self) -> Mapping[str, Rows]:
        """Open the pictures; SourceError if they are missing, damaged or of another layout."""
        require_there(self.uri)
        with _opened(self.uri) as file:
            shapes = {name: tuple(file[name].shape) for name in (_IMAGES, _LABELS) if name in file}
        images, labels = shapes.get(_IMAGES, ()), shapes.get(_LABELS, ())
        if len(images) != 4 or images[3] != 3 or labels != (images[0], len(_FACTORS)):
            raise SourceError(
                f"{self.uri}: it holds {shapes}, expected {_IMAGES} [n, height, width, 3] and {_LABELS}"
                f" [n, {len(_FACTORS)}]; is it 3dshapes.h5?"
            )
        return {_IMAGES: HdfRows(storage.resolve(self.uri), _IMAGES, images[0])}

    def blocks(self) -> Iterator[Block]:
        """Yield the labels of all rows."""
        with _opened(self.uri) as file:
            for first in range(0, len(file[_LABELS]), BLOCK_ROWS):
                values = file[_LABELS][first : first + BLOCK_ROWS]
                labels = {name: pa.array([f"{v:.4g}" for v in values[:, i]]) for i, name in enumerate(_FACTORS)}
                shape = values[:, _FACTORS.index("shape")].astype(np.int64)
                yield Block(_IMAGES, first, labels | {"shape": name_values(self.uri, _SHAPES, shape)})


@dataclass(frozen=True)
class HdfRows:
    """Rows of an array of bytes in an HDF5 file."""

    uri: str
    name: str
    num_rows: int

    def read(self, rows: RowNumbers) -> Iterator[Pixels]:
        """Yield rows, those that lie side by side at once."""
        with _opened(self.uri) as file:
            for run in consecutive(rows):
                yield np.asarray(file[self.name][int(run[0]) : int(run[-1]) + 1], np.uint8)


@contextmanager
def _opened(uri: str) -> Iterator[Any]:
    """Open an HDF5 file for reading; SourceError without h5py, or if it is damaged, here or later."""
    try:
        import h5py  # here, as only this set needs it
    except ImportError as error:
        raise SourceError("data.source.kind=shapes3d reads HDF5 by h5py: pip install 'diffusegae[sets]'") from error
    try:
        with storage.open_input(uri) as file, h5py.File(file, "r", rdcc_nbytes=_CHUNK_CACHE_BYTES) as opened:
            yield opened
    except (OSError, RuntimeError, KeyError) as error:
        if isinstance(error, storage.StorageError):
            raise
        raise SourceError(f"{uri}: not a whole HDF5 file ({error}); copy or download it again") from error
