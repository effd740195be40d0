"""Hugging Face data sets as files: an image folder with or without metadata, or Parquet files with pictures in them.

Layouts (huggingface.co/docs/datasets, "Create an image dataset"; hub, "Image Dataset"): metadata.csv, .jsonl or
.parquet in any folder, with a column `file_name` relative to that folder; without metadata the name of a picture's
folder is its label; or .parquet files whose picture column is a struct of bytes and path. All splits are read as one
set. Names of class labels stand in the Parquet schema under `huggingface`.
"""

import io
import json
import posixpath
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any, ClassVar, Literal, NamedTuple
from unicodedata import normalize

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from diffusegae import storage
from diffusegae.data.containers import PICTURE_ENDINGS, STORED, Member, require_there
from diffusegae.data.index import Listing
from diffusegae.data.records import NOT_A_PICTURE, Skipped, SourceError
from diffusegae.data.sources.listed import ContainerReader, ListedConfig
from diffusegae.data.sources.listings import LISTED_ROWS, Entry, Record, list_entries
from diffusegae.data.sources.state import archive_state, combined, file_state
from diffusegae.data.sources.tables import open_table
from diffusegae.schema import source_column

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_FILE_NAME, _LABEL = "file_name", "label"
_PARQUET = ".parquet"


class HuggingfaceConfig(ListedConfig):
    """A Hugging Face data set as files: an image folder, or Parquet files; its columns are the labels."""

    kind: Literal["huggingface"] = "huggingface"
    uri: str = Field(min_length=1, description="Folder of the data set, or one .parquet file.")
    image_column: str = Field("image", description="Column of Parquet files that holds the pictures.")
    addresses: ClassVar[tuple[str, ...]] = ("uri",)

    def reader(self) -> "ContainerReader | ParquetReader":
        """Return what reads the pictures; SourceError if nothing is there."""
        files = _find(self.uri)
        if files.parquet:
            return ParquetReader(files.root, self.image_column)
        return ContainerReader(files.root, "folder")

    def label_names(self) -> tuple[str, ...]:
        """Return the columns of the first metadata or Parquet file; without either, the folders' names are `label`."""
        files = _find(self.uri)
        if files.parquet:
            uri = storage.join(files.root, files.parquet[0])
            with storage.open_input(uri) as file:
                return tuple(name for name in _opened(uri, file).schema_arrow.names if name != self.image_column)
        if not files.metadata:
            return (_LABEL,)
        uri = storage.join(files.root, files.metadata[0])
        names = next(_json_lines(uri), {}) if uri.endswith(".jsonl") else open_table(uri).names
        return tuple(name for name in names if name != _FILE_NAME)

    def state(self) -> str:
        """Return a hash of the metadata's bytes and of Parquet files' sizes and ends; loose pictures are not read."""
        files = _find(self.uri)
        tables = [(path, file_state(storage.join(files.root, path))) for path in files.metadata]
        return combined(*tables, *((path, archive_state(storage.join(files.root, path))) for path in files.parquet))

    def listings(self, columns: tuple[str, ...]) -> Iterator[Listing]:
        """List the pictures: by metadata if there is any, else the rows of Parquet files, else files by folder."""
        files = _find(self.uri)
        entries: Iterator[Entry | Skipped]
        if files.metadata:
            entries = (entry for path in files.metadata for entry in _described(files.root, path, columns))
        elif files.parquet:
            entries = (entry for path in files.parquet for entry in self._rows(files.root, path, columns))
        else:
            entries = _by_folder(files.root)
        yield from list_entries(entries, columns)

    def _rows(self, root: str, path: str, columns: Sequence[str]) -> Iterator[Entry]:
        """List the rows of a Parquet file, class labels by their names."""
        uri = storage.join(root, path)
        with storage.open_input(uri) as file:
            parquet = _opened(uri, file)
            there = parquet.schema_arrow.names
            wanted = [_top(source_column(column), there) for column in columns]
            for name in (self.image_column, *wanted):
                if name not in there:
                    raise SourceError(
                        f"{uri} has no column {name!r}; it has: {', '.join(there)}. Set data.attributes or"
                        " data.source.image_column"
                    )
            classes = _class_names(parquet.schema_arrow)
            for row, record in enumerate(_records(uri, parquet, wanted)):
                named = {name: _named(value, classes.get(name)) for name, value in record.items()}
                yield Entry(f"{path}:{row}", Member(path, row, 0, STORED), named)


@dataclass(frozen=True)
class ParquetReader:
    """Reads pictures from a column of Parquet files, by row group; a member's offset is its row in the file."""

    root: str
    column: str

    def read(self, members: Sequence[Member]) -> Iterator[bytes | Skipped]:
        """Yield the bytes of each picture in order, or why it cannot be read."""
        for path, inside in groupby(members, key=lambda member: member.path):
            with storage.open_input(storage.join(self.root, path)) as file:
                parquet = pq.ParquetFile(file)
                sizes = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
                starts = [0, *accumulate(sizes)]
                for group, some in groupby(inside, key=lambda member: bisect_right(starts, member.offset) - 1):
                    yield from self._read_group(parquet, group, starts[group], list(some))

    def _read_group(
        self, parquet: pq.ParquetFile, group: int, start: int, members: Sequence[Member]
    ) -> Iterator[bytes | Skipped]:
        try:
            column = parquet.read_row_group(group, columns=[self.column])[self.column]
        except (pa.ArrowException, OSError) as error:
            yield from (Skipped(_place(member), "damaged row group", str(error)) for member in members)
            return
        for member in members:
            value = column[member.offset - start].as_py()
            content = value.get("bytes") if isinstance(value, dict) else value
            if isinstance(content, bytes):
                yield content
            else:
                yield Skipped(_place(member), "row without a picture", f"column {self.column!r} holds no bytes")


class _Files(NamedTuple):
    """What a data set consists of."""

    root: str
    metadata: list[str]
    parquet: list[str]


def _find(uri: str) -> _Files:
    root = storage.resolve(uri)
    require_there(uri)
    if not storage.is_folder(root):
        if not root.lower().endswith(_PARQUET):
            raise SourceError(f"{uri}: expected a folder or a .parquet file; set data.source.uri")
        folder, _, name = root.rpartition("/")
        return _Files(folder, [], [name])
    metadata: list[str] = []
    parquet: list[str] = []
    for path in storage.iterate_files(root):
        if posixpath.basename(path) in _METADATA:
            metadata.append(path)
        elif path.lower().endswith(_PARQUET):
            parquet.append(path)
    return _Files(root, sorted(metadata), [] if metadata else sorted(parquet))


def _described(root: str, path: str, columns: Sequence[str]) -> Iterator[Entry | Skipped]:
    """List the pictures that a metadata file names."""
    uri, folder = storage.join(root, path), posixpath.dirname(path)
    read = _json_lines(uri) if uri.endswith(".jsonl") else _table_rows(uri, columns)
    for number, record in enumerate(read, start=1):
        if number == 1 and _FILE_NAME not in record:
            raise SourceError(f"{uri} has no column {_FILE_NAME!r}; it has: {', '.join(record)}")
        name = record.get(_FILE_NAME)
        if not name:
            yield Skipped(f"{path}: row {number}", "row without a path", f"{_FILE_NAME} is empty")
            continue
        place = posixpath.normpath(posixpath.join(folder, str(name)))
        if place.startswith(("/", "../")) or place == "..":
            yield Skipped(str(name), "path outside", "leads out of the folder of the data set")
        else:
            yield Entry(normalize("NFC", place), Member(place, 0, 0, STORED), record)


def _json_lines(uri: str) -> Iterator[Record]:
    with storage.open_input(uri) as file:
        try:
            for line in io.TextIOWrapper(file, encoding="utf-8-sig"):
                if line.strip():
                    yield _as_object(json.loads(line))
        except ValueError as error:
            raise SourceError(f"{uri}: not readable as JSON, an object a line ({error}); export it again") from error


def _table_rows(uri: str, columns: Sequence[str]) -> Iterator[Record]:
    table = open_table(uri)
    wanted = [_FILE_NAME, *(source_column(column) for column in columns)]
    for name in wanted:
        if name not in table.names:
            raise SourceError(f"{uri} has no column {name!r}; it has: {', '.join(table.names)}")
    for batch in table.read(list(dict.fromkeys(wanted))):
        yield from batch.to_pylist()


def _as_object(value: Any) -> Record:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object a line, got {json.dumps(value)[:80]}")
    return value


def _by_folder(root: str) -> Iterator[Entry | Skipped]:
    """List pictures with the names of their folders as labels."""
    for path in storage.iterate_files(root):
        folder = posixpath.dirname(path)
        if not path.lower().endswith(PICTURE_ENDINGS):
            yield Skipped(path, NOT_A_PICTURE, f"expected {', '.join(PICTURE_ENDINGS)}")
        elif not folder:
            yield Skipped(path, "row without a label", "it lies in no folder whose name would be its label")
        else:
            yield Entry(path, Member(path, 0, 0, STORED), {_LABEL: posixpath.basename(folder)})


def _opened(uri: str, file: io.BufferedReader) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{uri}: not a whole Parquet file ({error}); copy or download it again") from error


def _records(uri: str, parquet: pq.ParquetFile, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the rows of a Parquet file, read some thousands at a time."""
    try:
        if not columns:
            yield from ({} for _ in range(parquet.metadata.num_rows))
            return
        for batch in parquet.iter_batches(batch_size=LISTED_ROWS, columns=columns):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{uri}: not a whole Parquet file ({error}); copy or download it again") from error


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of class labels that a Hugging Face schema declares, by column."""
    declared = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = declared.get("info", {}).get("features", {})
    return {
        name: feature["names"]
        for name, feature in features.items()
        if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel" and "names" in feature
    }


def _named(value: Any, names: Sequence[str] | None) -> Any:
    """Return a class label's name; -1 is Hugging Face's for none."""
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def _top(name: str, there: Sequence[str]) -> str:
    return name if name in there else name.partition(".")[0]


def _place(member: Member) -> str:
    return f"{member.path}:{member.offset}"
