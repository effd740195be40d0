"""CelebA: aligned faces and forty attributes of each that are there or not.

Layout (mmlab.ie.cuhk.edu.hk/projects/CelebA): img_align_celeba/NNNNNN.jpg, 178 x 218, as a folder or a .zip;
list_attr_celeba.txt: the number of pictures, the names of the attributes, then `file ±1 ±1 …` of each, between any
number of spaces; identity_CelebA.txt: `file number`. list_eval_partition.txt is not read: data.holdout holds out.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, JsonValue

from diffusegae import storage
from diffusegae.data.containers import container_kind, iterate_members
from diffusegae.data.index import PATH, Listing
from diffusegae.data.records import KEY, Skipped, SourceError
from diffusegae.data.sources.listed import ContainerReader, ListedConfig
from diffusegae.data.sources.listings import member_tables, to_table
from diffusegae.data.sources.state import combined, container_state, file_state

IDENTITY = "identity"
_VALUES = {"-1": "no", "1": "yes"}
_FILE = "file"


class CelebaConfig(ListedConfig):
    """CelebA: attributes of list_attr_celeba.txt by their names, with the values no and yes, and identity."""

    kind: Literal["celeba"] = "celeba"
    images: str = Field(min_length=1, description="Folder or .zip of the pictures: img_align_celeba.")
    table: str = Field(min_length=1, description="list_attr_celeba.txt.")
    identities: str = Field("", description="identity_CelebA.txt, for the column identity; empty: not read.")
    addresses: ClassVar[tuple[str, ...]] = ("images", "table")

    def absolute(self) -> dict[str, JsonValue]:
        """Return the settings, with addresses that hold in any process."""
        return super().absolute() | {"identities": storage.resolve(self.identities) if self.identities else ""}

    def reader(self) -> ContainerReader:
        """Return what reads the pictures; SourceError if nothing is there."""
        root = storage.resolve(self.images)
        return ContainerReader(root, container_kind(root))

    def label_names(self) -> tuple[str, ...]:
        """Return the table's attributes, and identity where its file is given."""
        return (*_header(_lines(self.table), self.table)[1], *([IDENTITY] if self.identities else []))

    def state(self) -> str:
        """Return a hash of the tables' bytes and of an archive's size and ends; loose pictures are not looked at."""
        reader = self.reader()
        tables = [self.table, self.identities] if self.identities else [self.table]
        return combined(*map(file_state, tables), container_state(reader.root, reader.kind))

    def listings(self, columns: tuple[str, ...]) -> Iterator[Listing]:
        """List the pictures that the table names; others, and rows without a picture, are skipped."""
        labels = self._read_labels(columns)
        reader = self.reader()
        missing = pa.repeat(True, labels.num_rows).to_numpy(zero_copy_only=False)
        for places in member_tables(iterate_members(reader.root, reader.kind)):
            names = pc.replace_substring_regex(places[PATH], "^.*/", "")
            rows = pc.index_in(names, labels[_FILE])
            is_known = pc.is_valid(rows)
            unknown = places[PATH].filter(pc.invert(is_known)).to_pylist()
            rows = rows.filter(is_known)
            missing[rows.to_numpy()] = False
            table = places.filter(is_known).append_column(KEY, names.filter(is_known))
            for column in columns:
                table = table.append_column(column, labels[column].take(rows))
            yield Listing(table, [Skipped(path, "file without a row", f"{self.table} lacks it") for path in unknown])
        lost = labels[_FILE].filter(pa.array(missing)).to_pylist()
        nothing = pa.concat_tables([to_table([])]).append_column(KEY, pa.array([], pa.string()))
        for column in columns:
            nothing = nothing.append_column(column, pa.array([], pa.string()))
        yield Listing(nothing, [Skipped(name, "missing file", f"{self.images} lacks it") for name in lost])

    def _read_labels(self, columns: Sequence[str]) -> pa.Table:
        """Read the files' names and the labels that are asked for."""
        attributes = [column for column in columns if column != IDENTITY]
        table = _read_attributes(self.table, attributes)
        if IDENTITY not in columns:
            return table
        if not self.identities:
            raise SourceError(
                "data.attributes reads the column 'identity'; set data.source.identities to identity_CelebA.txt"
            )
        pairs = [line.split() for line in _lines(self.identities)]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise SourceError(f"{self.identities}: expected lines of a file's name and a number")
        files, people = zip(*pairs, strict=True)
        found = pc.index_in(table[_FILE], pa.array(files))
        if found.null_count:
            lost = table[_FILE].filter(pc.is_null(found))[0]
            raise SourceError(f"{self.identities}: no line for {lost}; copy or download it again")
        return table.append_column(IDENTITY, pa.array(people).take(found))


def _read_attributes(uri: str, names: Sequence[str]) -> pa.Table:
    """Read columns of list_attr_celeba.txt.

    Raises:
        SourceError: it is missing, of another layout, cut off, or lacks a column.
    """
    lines = _lines(uri)
    count, header = _header(lines, uri)
    for name in names:
        if name not in header:
            raise SourceError(
                f"{uri} has no attribute {name!r}, which data.attributes reads; it has: {' '.join(header)}"
            )
    places = [header.index(name) + 1 for name in names]
    files: list[str] = []
    labels: list[list[str]] = [[] for _ in names]
    for number, line in enumerate(lines, start=3):
        cells = line.split()
        if len(cells) != len(header) + 1 or any(cells[place] not in _VALUES for place in places):
            raise SourceError(
                f"{uri}: line {number}: expected a file and {len(header)} times 1 or -1, got {line[:80]!r}"
            )
        files.append(cells[0])
        for column, place in zip(labels, places, strict=True):
            column.append(_VALUES[cells[place]])
    if len(files) != count:
        raise SourceError(f"{uri}: {len(files):,} rows, its first line says {count:,}; copy or download it again")
    return pa.table([pa.array(files, pa.string()), *(pa.array(c, pa.string()) for c in labels)], names=[_FILE, *names])


def _header(lines: Iterator[str], uri: str) -> tuple[int, list[str]]:
    """Take the number of pictures and the names of the attributes from a table's first lines."""
    count, header = next(lines, "").strip(), next(lines, "").split()
    if not count.isdigit() or not header:
        raise SourceError(f"{uri}: expected the number of pictures, then the attributes; is it list_attr_celeba.txt?")
    return int(count), header


def _lines(uri: str) -> Iterator[str]:
    try:
        with storage.open_input(uri) as file:
            yield from (line.decode("utf-8-sig") for line in file if line.strip())
    except storage.StorageNotFoundError as error:
        raise SourceError(f"{uri}: nothing is there; check the address in data.source") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{uri}: not a text file ({error})") from error
