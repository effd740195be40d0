"""Sets that are arrays: a row per picture, its labels beside it or told by its place; any process reads any rows.

Nothing ever holds a whole array: labels are listed some tens of thousands at a time, pixels are read row by row.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from diffusegae import storage
from diffusegae.data.containers import STORED, Member
from diffusegae.data.index import OFFSET, PACKING, PATH, SIZE, Listing
from diffusegae.data.records import KEY, Skipped, SourceError
from diffusegae.data.sources.listed import IndexedSource, ListedConfig
from diffusegae.data.sources.source import Opening

BLOCK_ROWS = 65_536  # rows whose labels are in memory at a time
_READ_BYTES = 1 << 16  # as rows of a thinned sample lie apart, reading ahead would read what nobody asked for

Pixels = npt.NDArray[np.uint8]
RowNumbers = npt.NDArray[np.int64]


@runtime_checkable
class Rows(Protocol):
    """An array on storage, read by row; it is sent to other processes."""

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        ...

    def read(self, rows: RowNumbers) -> Iterator[Pixels]:
        """Yield rows, given in rising order, some at a time: uint8 [some, ...]; SourceError if they are damaged."""
        ...


class Block(NamedTuple):
    """The labels of consecutive rows of one array: the text of each by column."""

    array: str
    first: int
    labels: Mapping[str, pa.Array]


class ArrayConfig(ListedConfig):
    """A source that is one or more arrays: a member fills in `arrays` and `blocks`."""

    num_images: int | None = Field(
        None,
        gt=0,
        description="Take a sample of that many pictures, the same on every machine; a larger one holds all smaller"
        " ones. None: all.",
    )
    factors: ClassVar[tuple[str, ...]]  # the columns that attributes may read

    @abstractmethod
    def arrays(self) -> Mapping[str, Rows]:
        """Open the arrays by name; SourceError if they are missing, damaged or of another layout."""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Yield the labels of all rows of all arrays, in the order of `arrays`."""

    def named_values(self) -> Mapping[str, Sequence[str]]:
        """Return the values of columns whose values have names, in their own order."""
        return {}

    def to_rgb(self, content: Pixels) -> Pixels:
        """Turn rows as they are stored into uint8 [some, height, width, 3]."""
        return content

    def label_names(self) -> tuple[str, ...]:
        """Return the factors."""
        return self.factors

    def reader(self) -> "ArrayReader":
        """Return what reads rows; SourceError if nothing is there."""
        return ArrayReader(self.arrays(), self.to_rgb)

    def chosen(self, arrays: Mapping[str, Rows]) -> RowNumbers:
        """Return the rows of the sample, counted through all arrays."""
        return choose_rows(sum(array.num_rows for array in arrays.values()), self.num_images)

    def listings(self, columns: tuple[str, ...]) -> Iterator[Listing]:
        """List the rows of the sample with their labels."""
        for column in columns:
            if column not in self.factors:
                raise SourceError(
                    f"data.attributes reads the column {column!r}, which the source {self.kind} does not have; it has:"
                    f" {', '.join(self.factors)}"
                )
        chosen = self.chosen(self.arrays())
        passed = 0
        for block in self.blocks():
            size = len(next(iter(block.labels.values())))
            first, last = np.searchsorted(chosen, [passed, passed + size])
            yield _to_listing(block, chosen[first:last] - passed, columns)
            passed += size

    def open(self, opening: Opening) -> IndexedSource:
        """Open the source, with named values in their own order; SourceError as for every listed source."""
        source = super().open(opening)
        order = self.named_values()
        vocabularies = {
            column: tuple(sorted(found, key=order[column].index)) if column in order else found
            for column, found in source.index.vocabularies.items()
        }
        return replace(source, index=source.index.model_copy(update={"vocabularies": vocabularies}))


@dataclass(frozen=True)
class ArrayReader:
    """Reads listed rows, whose path is the array's name and whose offset the row's number."""

    arrays: Mapping[str, Rows]
    to_rgb: Callable[[Pixels], Pixels]

    def read(self, members: Sequence[Member]) -> Iterator[Pixels | Skipped]:
        """Yield the pixels of each row in order; those of an array that is damaged are skipped."""
        for name, group in groupby(members, key=lambda member: member.path):
            rows = [member.offset for member in group]
            done = 0
            try:
                for content in self.arrays[name].read(np.array(rows, np.int64)):
                    yield from self.to_rgb(content)
                    done += len(content)
            except SourceError as error:
                yield from (Skipped(f"{name}-{row}", "damaged array", str(error)) for row in rows[done:])


@dataclass(frozen=True)
class FileRows:
    """Rows of bytes, one behind the other in a file from an offset on."""

    uri: str
    offset: int
    num_rows: int
    shape: tuple[int, ...]  # of a row

    def read(self, rows: RowNumbers) -> Iterator[Pixels]:
        """Yield rows, those that lie side by side at once."""
        row_bytes = int(np.prod(self.shape))
        with storage.open_input(self.uri, _READ_BYTES) as file:
            for run in consecutive(rows):
                file.seek(self.offset + int(run[0]) * row_bytes)
                data = file.read(len(run) * row_bytes)
                if len(data) < len(run) * row_bytes:
                    raise SourceError(f"{self.uri}: it ends within row {int(run[-1])}; copy or download it again")
                yield np.frombuffer(data, np.uint8).reshape(len(run), *self.shape)


def consecutive(rows: RowNumbers) -> list[RowNumbers]:
    """Cut rising row numbers where one is left out."""
    return np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)


def choose_rows(num_rows: int, num_images: int | None) -> RowNumbers:
    """Return the sorted numbers of a sample of rows, a function of the two counts alone.

    A stride would leave out values of factors that vary fastest; so the rows with the smallest hashes are taken, by
    the finaliser of SplitMix64 (Steele et al. 2014), which is a bijection, so no two rows tie.
    """
    if num_images is None or num_images >= num_rows:
        return np.arange(num_rows, dtype=np.int64)
    hashes = np.arange(1, num_rows + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
    hashes ^= hashes >> np.uint64(31)
    return np.sort(np.argpartition(hashes, num_images)[:num_images]).astype(np.int64)


def name_values(uri: str, names: Sequence[str], codes: npt.NDArray[np.integer]) -> pa.Array:
    """Return the name of each code; SourceError if a code has none."""
    if len(codes) and not 0 <= codes.min() <= codes.max() < len(names):
        wrong = int(codes.max() if codes.min() >= 0 else codes.min())
        raise SourceError(f"{uri}: label {wrong}, expected 0 to {len(names) - 1}; it is not the set that it should be")
    return pa.array(names, pa.string()).take(pa.array(codes))


def numbered(count: int) -> tuple[str, ...]:
    """Return the names of a factor whose values have none: 0, 1 and so on."""
    return tuple(str(value) for value in range(count))


def _to_listing(block: Block, within: RowNumbers, columns: Sequence[str]) -> Listing:
    places = pa.array(within)
    rows = pa.array(within + block.first)
    constant = {SIZE: pa.int64(), PACKING: pa.int32()}
    key = pc.binary_join_element_wise(block.array, rows.cast(pa.string()), "-")
    place = {KEY: key, PATH: pa.repeat(block.array, len(rows)), OFFSET: rows}
    place |= {name: pa.repeat(pa.scalar(STORED, kind), len(rows)) for name, kind in constant.items()}
    return Listing(pa.table(place | {column: block.labels[column].take(places) for column in columns}), [])
