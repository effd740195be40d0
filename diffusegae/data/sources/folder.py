"""Images in a folder, a .zip or a .tar with a table of their labels: any attributes, any values, read as categories."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from diffusegae import storage
from diffusegae.data.containers import STORED, container_kind
from diffusegae.data.index import OFFSET, PACKING, PATH, SIZE, Listing
from diffusegae.data.records import KEY, Skipped, SourceError
from diffusegae.data.sources.directory import Directory, read_directory
from diffusegae.data.sources.listed import ContainerReader, ListedConfig
from diffusegae.data.sources.paths import composed, path_keys, relative_paths
from diffusegae.data.sources.state import combined, container_state, file_state
from diffusegae.data.sources.tables import TextTable, open_table
from diffusegae.schema import source_column

_logger = logging.getLogger(__name__)
_PLACES = {OFFSET: pa.int64(), SIZE: pa.int64(), PACKING: pa.int32()}
_GIVEN = "\0given"  # the path as the table has it


class FolderConfig(ListedConfig):
    """A folder of images with a table of their labels."""

    kind: Literal["folder"] = "folder"
    images: str = Field(
        min_length=1, description="Folder (or bucket), .zip or .tar that the table's paths are relative to."
    )
    table: str = Field(min_length=1, description="CSV, TSV or Parquet table: one row per image.")
    path_column: str = Field("path", description="Column of the table that holds the image's relative path.")
    addresses: ClassVar[tuple[str, ...]] = ("images", "table")

    def reader(self) -> ContainerReader:
        """Return what reads the files; SourceError if nothing is there."""
        root = storage.resolve(self.images)
        return ContainerReader(root, container_kind(root))

    def label_names(self) -> tuple[str, ...]:
        """Return the table's columns but for the paths'."""
        return tuple(name for name in open_table(self.table).names if name != self.path_column)

    def state(self) -> str:
        """Return a hash of the table's bytes and of an archive's size and ends; loose images are not looked at."""
        reader = self.reader()
        return combined(file_state(self.table), container_state(reader.root, reader.kind))

    def listings(self, columns: tuple[str, ...]) -> Iterator[Listing]:
        """List the rows of the table."""
        return list_folder(self, columns)


def list_folder(config: FolderConfig, columns: Sequence[str]) -> Iterator[Listing]:
    """List the rows of the table that have a path; the others are skipped with a reason. An empty label is missing.

    Labels are compared in Unicode's composed form (NFC), without outer spaces. Two paths are one if they are so in that
    form and without `./` and the like; each file is opened by the name that the table has.

    Raises:
        SourceError: no table there, none that can be read, or without the path column or a label column.
    """
    reader, table = config.reader(), open_table(config.table)
    names = [config.path_column, *(source_column(column) for column in columns)]
    _require_columns(config, table, names)
    directory = None if reader.kind == "folder" else read_directory(reader.root, reader.kind)
    num_respelt = 0
    for texts in table.read(list(dict.fromkeys(names))):
        table_rows, respelt = _to_entries(texts, config.path_column, columns, reader.root)
        num_respelt += respelt
        entries, skipped = _drop_unplaced(table_rows, config.path_column)
        yield Listing(*_find_members(entries, skipped, directory, reader.root))
    if num_respelt:
        _logger.info(
            "%s: %s paths and labels that are not in Unicode's composed form, or have ./, // or \\, count as what they"
            " mean", config.table, f"{num_respelt:,}",
        )  # fmt: skip


def _require_columns(config: FolderConfig, table: TextTable, names: Sequence[str]) -> None:
    there = f"its columns are: {', '.join(table.names)}"
    if config.path_column not in table.names:
        raise SourceError(
            f"{config.table} has no column {config.path_column!r} for the images' paths; {there}."
            " Set data.source.path_column"
        )
    for name in names:
        if name not in table.names:
            raise SourceError(
                f"{config.table} has no column {name!r}, which data.attributes reads; {there}."
                " Add it, or name another in data.attributes.<attribute>.column"
            )
        if table.names.count(name) > 1:
            raise SourceError(f"{config.table} has {table.names.count(name)} columns {name!r}; rename all but one")


def _to_entries(texts: pa.Table, path_column: str, columns: Sequence[str], root: str) -> tuple[pa.Table, int]:
    """Return paths, keys and labels of some rows, and how many of them stand for what is usually spelt otherwise."""
    given = texts[path_column].combine_chunks()
    places = relative_paths(given, root)
    keys = path_keys(places)
    places = pc.if_else(pc.is_null(keys), pa.scalar(None, pa.string()), places)
    written = {column: pc.utf8_trim_whitespace(texts[source_column(column)].combine_chunks()) for column in columns}
    labels = {column: _no_empty(composed(values)) for column, values in written.items()}
    respelt = [(given, keys), *((written[column], labels[column]) for column in columns)]
    count = sum(pc.sum(pc.not_equal(before, after)).as_py() or 0 for before, after in respelt)
    return pa.table({_GIVEN: given, PATH: places, KEY: keys, **labels}), count


def _no_empty(labels: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(labels, ""), pa.scalar(None, pa.string()), labels)


def _drop_unplaced(rows: pa.Table, path_column: str) -> tuple[pa.Table, list[Skipped]]:
    """Leave out the rows that name no file of the folder, each with its reason."""
    outside = "it leads out of the folder of images; write it relative to data.source.images"
    problems = [
        (_GIVEN, "row without a path", f"column {path_column!r} is empty"),
        (PATH, "path outside the folder", outside),
    ]
    skipped: list[Skipped] = []
    for column, reason, detail in problems:
        is_missing = pc.is_null(rows[column])
        skipped += [Skipped(path or "", reason, detail) for path in rows.filter(is_missing)[_GIVEN].to_pylist()]
        rows = rows.filter(pc.invert(is_missing))
    return rows, skipped


def _find_members(
    rows: pa.Table, skipped: list[Skipped], directory: Directory | None, root: str
) -> tuple[pa.Table, list[Skipped]]:
    """Add where each file lies; what an archive does not hold is left out, as the reader does with loose files."""
    if directory is None:
        nowhere = {name: pa.repeat(pa.scalar(STORED, kind), rows.num_rows) for name, kind in _PLACES.items()}
        return _with_places(rows, nowhere), skipped
    places = directory.find(rows[KEY].to_pylist())
    detail = f"{root} has no such member; one that it has is {directory.example!r}"
    missing = rows.filter(pa.array(places < 0))[_GIVEN].to_pylist()
    found = places[places >= 0]
    arrays = (directory.offsets[found], directory.sizes[found], directory.packings[found])
    rows = _with_places(rows.filter(pa.array(places >= 0)), dict(zip(_PLACES, map(pa.array, arrays), strict=True)))
    return rows, [*skipped, *(Skipped(path, "missing file", detail) for path in missing)]


def _with_places(rows: pa.Table, places: Mapping[str, pa.Array]) -> pa.Table:
    for name, values in places.items():
        rows = rows.append_column(name, values)
    return rows.drop_columns([_GIVEN])
