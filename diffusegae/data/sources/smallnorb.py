"""SmallNORB: 50 toys in five categories, in grey, by two cameras, from 9 heights and 18 sides in 6 lights.

Layout (cs.nyu.edu/~ylclab/data/norb-v1.0-small; read so by tensorflow_datasets' smallnorb.py and disentanglement_lib's
norb.py): three binary matrices for training and three for testing. A matrix is little endian: a magic number (bytes
0x1E3D4C55, int32 0x1E3D4C54), the number of dimensions, the sizes (three at least), the data. `-dat` is uint8
[24300, 2, 96, 96], `-cat` int32 [24300], `-info` int32 [24300, 4]: instance, elevation (30 + 5 k degrees), azimuth (in
tens of degrees), lighting.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from diffusegae import storage
from diffusegae.data.records import SourceError
from diffusegae.data.sources.arrays import ArrayConfig, Block, FileRows, Pixels, Rows, name_values, numbered
from diffusegae.data.sources.state import archive_state, combined

_SETS = {
    "training": "smallnorb-5x46789x9x18x6x2x96x96-training",
    "testing": "smallnorb-5x01235x9x18x6x2x96x96-testing",
}
_PARTS = ("dat", "cat", "info")
_MAGIC = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}
_CATEGORIES = ("animal", "human", "airplane", "truck", "car")


class SmallnorbConfig(ArrayConfig):
    """SmallNORB (smallnorb-*-{dat,cat,info}.mat): category, instance, elevation, azimuth, lighting."""

    kind: Literal["smallnorb"] = "smallnorb"
    uri: str = Field(min_length=1, description="Folder of the .mat files of the training set, the testing set or both.")
    camera: Literal["left", "right"] = Field("left", description="Which picture of each pair.")
    addresses: ClassVar[tuple[str, ...]] = ("uri",)
    factors: ClassVar[tuple[str, ...]] = ("category", "instance", "elevation", "azimuth", "lighting")

    def named_values(self) -> Mapping[str, Sequence[str]]:
        """Return the values of columns whose values have names, in their own order."""
        return {"category": _CATEGORIES}

    def state(self) -> str:
        """Return a hash of the sizes and ends of the pictures' files."""
        return combined(*(archive_state(_uri(self.uri, name, "dat")) for name in self.arrays()))

    def arrays(self) -> Mapping[str, Rows]:
        """Open the pairs of pictures; SourceError if files are missing, damaged or of another layout."""
        found = {name: opened for name in _SETS if (opened := self._open(name))}
        if not found:
            raise SourceError(
                f"{self.uri}: it holds no {_SETS['training']}-dat.mat; set data.source.uri to the folder of the files,"
                " after gunzip"
            )
        return {name: FileRows(dat.uri, dat.offset, dat.shape[0], dat.shape[1:]) for name, dat in found.items()}

    def blocks(self) -> Iterator[Block]:
        """Yield the labels of each set."""
        for name in self.arrays():
            category = name_values(self.uri, _CATEGORIES, _matrix(self.uri, name, "cat").load())
            instance, elevation, azimuth, lighting = _matrix(self.uri, name, "info").load().T
            labels = {
                "category": category,
                # Instance 4 of the cars is another toy than instance 4 of the trucks.
                "instance": pc.binary_join_element_wise(category, name_values(self.uri, numbered(10), instance), "-"),
                "elevation": pa.array((30 + 5 * elevation).astype(str)),
                "azimuth": pa.array((10 * azimuth).astype(str)),
                "lighting": pa.array(lighting.astype(str)),
            }
            yield Block(name, 0, labels)

    def to_rgb(self, content: Pixels) -> Pixels:
        """Turn pairs of grey pictures into those of one camera."""
        return np.repeat(content[:, 0 if self.camera == "left" else 1, :, :, None], 3, axis=-1)

    def _open(self, name: str) -> "_Matrix | None":
        """Open the pictures of a set and check all of it; None if no file of it is there."""
        there = [part for part in _PARTS if storage.exists(_uri(self.uri, name, part))]
        if not there:
            return None
        if missing := [part for part in _PARTS if part not in there]:
            raise SourceError(f"{_uri(self.uri, name, missing[0])} is missing beside its -{there[0]}.mat; add it")
        dat, cat, info = (_matrix(self.uri, name, part) for part in _PARTS)
        count = dat.shape[0]
        if len(dat.shape) != 4 or dat.shape[1] != 2 or cat.shape != (count,) or info.shape != (count, 4):
            raise SourceError(
                f"{dat.uri}: dat {list(dat.shape)}, cat {list(cat.shape)}, info {list(info.shape)}; expected"
                " [n, 2, height, width], [n], [n, 4]"
            )
        return dat


class _Matrix(NamedTuple):
    """A binary matrix: what it holds and where its data begins."""

    uri: str
    offset: int
    dtype: npt.DTypeLike
    shape: tuple[int, ...]

    def load(self) -> npt.NDArray[np.int32]:
        """Load all of a matrix of labels."""
        return np.frombuffer(storage.read_bytes(self.uri), "<i4", offset=self.offset).reshape(self.shape)


def _uri(folder: str, name: str, part: str) -> str:
    return storage.join(storage.resolve(folder), f"{_SETS[name]}-{part}.mat")


def _matrix(folder: str, name: str, part: str) -> _Matrix:
    """Read the header of a matrix; SourceError if it is of another format or cut off."""
    uri = _uri(folder, name, part)
    expected = np.dtype("u1") if part == "dat" else np.dtype("<i4")
    with storage.open_input(uri) as file:
        magic, rank = np.frombuffer(file.read(8).ljust(8, b"\0"), "<i4").tolist()
        if _MAGIC.get(magic) != expected:
            wanted = next(number for number, dtype in _MAGIC.items() if dtype == expected)
            raise SourceError(
                f"{uri}: it begins with 0x{magic & 0xFFFFFFFF:08X}, expected 0x{wanted:08X}; is it unpacked (gunzip)?"
            )
        sizes = np.frombuffer(file.read(4 * max(3, rank)), "<i4")[:rank]
        offset = file.tell()
        length = file.seek(0, 2)
    shape = tuple(sizes.tolist())
    if length != offset + expected.itemsize * int(np.prod(shape)):
        raise SourceError(f"{uri}: {length:,} bytes do not hold {list(shape)}; copy or download it again")
    return _Matrix(uri, offset, expected, shape)
