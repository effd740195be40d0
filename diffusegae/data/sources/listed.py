"""Listed sources: images that lie somewhere, listed once into an index and read from their places by any process."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from diffusegae.data.containers import ContainerKind, Member, read_members
from diffusegae.data.index import (
    OFFSET,
    PACKING,
    PATH,
    SIZE,
    Index,
    Listing,
    build_index,
    read_chunk,
    read_combinations,
    read_index,
    read_repeated,
)
from diffusegae.data.records import KEY, Skipped, SourceImage
from diffusegae.data.sources.source import Opening, SourceConfig, plan_units
from diffusegae.data.splits import Combinations

# A shard takes this many pieces from all over its source, so that a few shards already hold varied labels.
_PIECES_PER_SHARD = 16


@runtime_checkable
class Reader(Protocol):
    """Reads listed images from their places; it is sent to other processes."""

    def read(self, members: Sequence[Member]) -> Iterator[bytes | npt.NDArray[np.uint8] | Skipped]:
        """Yield each member in order: encoded bytes, uint8 HWC pixels, or why it cannot be read."""
        ...


@dataclass(frozen=True)
class ContainerReader:
    """Reads the files of a folder, .zip or .tar."""

    root: str
    kind: ContainerKind

    def read(self, members: Sequence[Member]) -> Iterator[bytes | Skipped]:
        """Yield the bytes of each file in order, or why it cannot be read."""
        return read_members(self.root, self.kind, members)


class ListedConfig(SourceConfig):
    """A source that says where its images are, and lists them: a member fills in `reader` and `listings`."""

    @abstractmethod
    def reader(self) -> Reader:
        """Return what reads the images; SourceError if nothing is there."""

    @abstractmethod
    def listings(self, columns: tuple[str, ...]) -> Iterator[Listing]:
        """List all images with their labels, some tens of thousands at a time; SourceError if they are damaged."""

    def open(self, opening: Opening) -> "IndexedSource":
        """Open the source; its images are listed once, into an index.

        Raises:
            SourceError: the source is missing, damaged, or lacks what the config asks of it.
        """
        reader = self.reader()
        index = read_index(opening.index_uri)
        if index is None:
            chunk_rows = max(1, opening.shard_rows // _PIECES_PER_SHARD)
            listings = self.listings(opening.columns)
            index = build_index(opening.index_uri, listings, opening.columns, chunk_rows, opening.bins)
        return IndexedSource(reader, opening.index_uri, index)


@dataclass(frozen=True)
class IndexedSource:
    """Images listed by an index; a unit is some chunks of it."""

    reader: Reader
    index_uri: str
    index: Index

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Label column to the values that the names or the table have."""
        return self.index.vocabularies

    @property
    def fingerprint(self) -> str:
        """Hash of all keys."""
        return self.index.fingerprint

    @property
    def num_units(self) -> int:
        """Number of units."""
        return len(self._units)

    @property
    def _units(self) -> list[npt.NDArray[np.int64]]:
        return plan_units(self.index.num_chunks, _PIECES_PER_SHARD)

    def combinations(self, columns: Sequence[str]) -> Combinations:
        """Return the combinations of labels that the index has, one part of it in memory at a time."""
        return read_combinations(self.index_uri, self.index, columns)

    def read(self, unit: int) -> Iterator[SourceImage | Skipped]:
        """Read the chunks of a unit, leaving out what repeats an earlier key."""
        repeated = read_repeated(self.index_uri, self.index)
        for chunk in np.sort(self._units[unit]):
            entries = read_chunk(self.index_uri, self.index, int(chunk)).to_pylist()
            first = int(chunk) * self.index.chunk_rows
            is_repeated = np.isin(np.arange(first, first + len(entries)), repeated)
            for entry, again in zip(entries, is_repeated, strict=True):
                if again:
                    yield Skipped(entry[PATH], "repeated key", f"another file has the key {entry[KEY]!r}")
            yield from self._read_entries(
                [entry for entry, again in zip(entries, is_repeated, strict=True) if not again]
            )

    def _read_entries(self, entries: list[dict[str, str]]) -> Iterator[SourceImage | Skipped]:
        members = [Member(entry[PATH], int(entry[OFFSET]), int(entry[SIZE]), int(entry[PACKING])) for entry in entries]
        for entry, content in zip(entries, self.reader.read(members), strict=True):
            if isinstance(content, Skipped):
                yield content
            else:
                labels = {column: entry[column] for column in self.index.vocabularies}
                yield SourceImage(entry[KEY], entry[PATH], labels, content)
