"""Arrays in an .npz: a stored one is read in its place; a compressed one is unpacked once, in a stream, into parts.

An .npz is a zip of .npy files (NEP 1, numpy.lib.format). What is deflated can only be read from its start, so its
rows are written, blocks of them compressed by zstd, beside the index, where any process finds a block by its number;
they are deleted with the index.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from diffusegae import storage
from diffusegae.data.containers import data_offset, require_there
from diffusegae.data.index import read_index
from diffusegae.data.records import SourceError
from diffusegae.data.sources.arrays import (
    ArrayConfig,
    ArrayReader,
    FileRows,
    Pixels,
    RowNumbers,
    Rows,
)
from diffusegae.data.sources.listed import IndexedSource
from diffusegae.data.sources.source import Opening
from diffusegae.data.sources.state import archive_state

_BLOCK_ROWS = 256  # rows that are packed together; a unit reads about as many at a time
_BLOCKS_PER_PART = 16
_ROW, _CONTENT = "row", "content"
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, struct.error)


class NpzConfig(ArrayConfig):
    """A set that is an .npz; a compressed array is unpacked before its labels are listed."""

    uri: str = Field(min_length=1, description="The .npz file.")
    addresses: ClassVar[tuple[str, ...]] = ("uri",)

    def state(self) -> str:
        """Return a hash of the file's size and ends."""
        return archive_state(self.uri)

    def open(self, opening: Opening) -> IndexedSource:
        """Open the source; SourceError as for every listed source."""
        packed = {name: array for name, array in self.arrays().items() if isinstance(array, PackedRows)}
        unpacked: Mapping[str, Rows] = {
            name: UnpackedRows(storage.join(opening.index_uri, name), array.num_rows, array.array.shape[1:])
            for name, array in packed.items()
        }
        # The index is written last: where it is, all parts are.
        if read_index(opening.index_uri) is None:
            for name, array in packed.items():
                unpack(array, self.chosen(packed), storage.join(opening.index_uri, name))
        source = super().open(opening)
        return replace(source, reader=ArrayReader(unpacked, self.to_rgb)) if packed else source


@dataclass(frozen=True)
class NpzArray:
    """One array of an .npz, in C order."""

    uri: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    header_bytes: int
    offset: int | None  # of the first row in the file; None if it is compressed

    def rows(self) -> "FileRows | PackedRows":
        """Return what reads rows of bytes; SourceError if it holds something else."""
        if self.dtype != "|u1":
            raise SourceError(f"{self.uri}: {self.name} holds {np.dtype(self.dtype)}, expected uint8")
        if self.offset is None:
            return PackedRows(self)
        return FileRows(self.uri, self.offset, self.shape[0], self.shape[1:])

    def blocks(self, size: int) -> Iterator[npt.NDArray[np.generic]]:
        """Yield all rows from the first on, `size` at a time; SourceError if they are damaged."""
        dtype = np.dtype(self.dtype)
        row_bytes = dtype.itemsize * int(np.prod(self.shape[1:]))
        with storage.open_input(self.uri) as file:
            try:
                with zipfile.ZipFile(file) as archive, archive.open(f"{self.name}.npy") as stream:
                    stream.read(self.header_bytes)
                    for first in range(0, self.shape[0], size):
                        count = min(size, self.shape[0] - first)
                        data = stream.read(count * row_bytes)
                        yield np.frombuffer(data, dtype).reshape(count, *self.shape[1:])
            except _DAMAGES as error:
                raise SourceError(f"{self.uri}: {self.name} is damaged ({error}); copy or download it again") from error


@dataclass(frozen=True)
class PackedRows:
    """Rows of a compressed array: reading them reads all before them, so they are unpacked for ingest."""

    array: NpzArray

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.array.shape[0]

    def read(self, rows: RowNumbers) -> Iterator[Pixels]:
        """Yield rows in a stream."""
        for _, content in self.blocks(rows):
            if len(content):
                yield content

    def blocks(self, rows: RowNumbers) -> Iterator[tuple[RowNumbers, Pixels]]:
        """Yield the chosen rows of each block and their numbers, up to the block of the last."""
        for number, content in enumerate(self.array.blocks(_BLOCK_ROWS)):
            first, last = np.searchsorted(rows, [number * _BLOCK_ROWS, (number + 1) * _BLOCK_ROWS])
            yield rows[first:last], content[rows[first:last] - number * _BLOCK_ROWS].astype(np.uint8, copy=False)
            if last == len(rows):
                return


@dataclass(frozen=True)
class UnpackedRows:
    """Rows that `unpack` has written."""

    uri: str
    num_rows: int
    shape: tuple[int, ...]

    def read(self, rows: RowNumbers) -> Iterator[Pixels]:
        """Yield rows, those of a block at once."""
        for number, group in groupby(rows.tolist(), key=lambda row: row // _BLOCK_ROWS):
            part, position = divmod(number, _BLOCKS_PER_PART)
            with storage.open_input(_part_uri(self.uri, part)) as file, pa.ipc.open_file(file) as reader:
                batch = reader.get_batch(position)
            there = batch[_ROW].to_numpy()
            content = np.frombuffer(batch[_CONTENT].buffers()[1], np.uint8)[: batch.num_rows * int(np.prod(self.shape))]
            yield content.reshape(-1, *self.shape)[np.searchsorted(there, list(group))]


def open_npz(uri: str, name: str) -> NpzArray:
    """Find an array in an .npz.

    Raises:
        SourceError: nothing is there, it is no .npz or cut off, it has no such array, or not in C order.
    """
    require_there(uri)
    with storage.open_input(uri) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                there = [entry.filename.removesuffix(".npy") for entry in archive.infolist()]
                if name not in there:
                    raise SourceError(f"{uri} has no array {name!r}; it has: {', '.join(there)}. Is it the right file?")
                entry = archive.getinfo(f"{name}.npy")
                with archive.open(entry) as stream:
                    shape, is_fortran, dtype = _read_header(stream)
                    header_bytes = stream.tell()
            is_stored = entry.compress_type == zipfile.ZIP_STORED
            offset = data_offset(file, entry.header_offset) + header_bytes if is_stored else None
        except _DAMAGES as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{uri}: not a whole .npz ({error}); copy or download it again") from error
    if is_fortran or dtype.hasobject or entry.file_size != header_bytes + dtype.itemsize * int(np.prod(shape)):
        raise SourceError(f"{uri}: {name} is not a whole array of numbers in C order; copy or download it again")
    return NpzArray(storage.resolve(uri), name, shape, dtype.str, header_bytes, offset)


def unpack(packed: PackedRows, rows: RowNumbers, uri: str) -> None:
    """Write the chosen rows of a compressed array as parts below `uri`; in memory are a part, packed, and a block."""
    kind = pa.binary(int(np.prod(packed.array.shape[1:])))
    schema = pa.schema([pa.field(_ROW, pa.int64()), pa.field(_CONTENT, kind)])
    numbered = enumerate(packed.blocks(rows))
    for part, blocks in groupby(numbered, key=lambda block: block[0] // _BLOCKS_PER_PART):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            for _, (numbers, content) in blocks:
                data = pa.py_buffer(np.ascontiguousarray(content))
                column = pa.Array.from_buffers(kind, len(numbers), [None, data])
                writer.write_batch(pa.record_batch([pa.array(numbers), column], schema=schema))
        storage.write_bytes(_part_uri(uri, part), bytes(sink.getvalue()))


def _part_uri(uri: str, part: int) -> str:
    return storage.join(uri, f"part-{part:06d}.arrow")


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(stream)
    return tuple(shape), bool(is_fortran), dtype
