"""A folder of images with a CSV or Parquet table of their labels: any attributes, any values, read as categories."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
from pydantic import Field

from diffusegae import storage
from diffusegae.data.containers import STORED, container_kind
from diffusegae.data.index import OFFSET, PACKING, PATH, SIZE, Listing
from diffusegae.data.records import KEY, Skipped, SourceError, label_fields
from diffusegae.data.sources.listed import ContainerReader, ListedConfig

_LISTED_ROWS = 65_536


class _Table(NamedTuple):
    """A table opened for streaming."""

    names: tuple[str, ...]
    batches: Iterator[pa.RecordBatch]


class FolderConfig(ListedConfig):
    """A folder of images with a table of their labels."""

    kind: Literal["folder"] = "folder"
    images: str = Field(min_length=1, description="Folder (or bucket) that the table's paths are relative to.")
    table: str = Field(min_length=1, description="CSV or Parquet table: one row per image.")
    path_column: str = Field("path", description="Column of the table that holds the image's relative path.")
    addresses: ClassVar[tuple[str, ...]] = ("images", "table")

    def reader(self) -> ContainerReader:
        """Return what reads the files; SourceError if nothing is there."""
        root = storage.resolve(self.images)
        return ContainerReader(root, container_kind(root))

    def listings(self, columns: tuple[str, ...]) -> Iterator[Listing]:
        """List the rows of the table."""
        return list_folder(self, columns)


def list_folder(config: FolderConfig, columns: Sequence[str]) -> Iterator[Listing]:
    """List the rows of the table that have a path and all labels; the others are skipped with a reason.

    Raises:
        SourceError: no table there, not CSV or Parquet, damaged, or without the path column or a label column.
    """
    label_fields(columns)
    try:
        table = _open_table(config.table, (config.path_column, *columns))
        _require_columns(config, table.names, columns)
        for batch in table.batches:
            yield _to_listing(pa.table(batch), config.path_column, columns)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
        raise SourceError(f"{config.table}: not a readable table ({error}); export it again") from error


def _open_table(uri: str, wanted: tuple[str, ...]) -> _Table:
    try:
        file = storage.open_input(uri)
    except storage.StorageNotFoundError as error:
        raise SourceError(f"{uri}: there is no table; set data.source.table to a CSV or Parquet file") from error
    if uri.lower().endswith(".parquet"):
        parquet = pq.ParquetFile(file)
        names = tuple(parquet.schema_arrow.names)
        present = [name for name in wanted if name in names]
        return _Table(names, parquet.iter_batches(batch_size=_LISTED_ROWS, columns=present))
    if uri.lower().endswith(".csv"):
        # Only an empty cell is unlabelled: "NA" may be a country and "007" is not 7.
        options = csv.ConvertOptions(
            column_types={name: pa.string() for name in wanted}, strings_can_be_null=True, null_values=[""]
        )
        reader = csv.open_csv(file, convert_options=options)
        return _Table(tuple(reader.schema.names), iter(reader))
    raise SourceError(f"{uri}: expected a table that ends with .csv or .parquet; set data.source.table")


def _require_columns(config: FolderConfig, names: tuple[str, ...], columns: Sequence[str]) -> None:
    there = f"its columns are: {', '.join(names)}"
    if config.path_column not in names:
        raise SourceError(
            f"{config.table} has no column {config.path_column!r} for the images' paths; {there}."
            " Set data.source.path_column"
        )
    for column in columns:
        if column not in names:
            raise SourceError(
                f"{config.table} has no column {column!r}, which data.attributes reads; {there}."
                " Add it, or name another in data.attributes.<attribute>.column"
            )
    for name in (config.path_column, *columns):
        if names.count(name) > 1:
            raise SourceError(f"{config.table} has {names.count(name)} columns {name!r}; rename all but one")


def _to_listing(table: pa.Table, path_column: str, columns: Sequence[str]) -> Listing:
    paths = _as_text(table, path_column)
    labels = {column: _as_text(table, column) for column in columns}
    constant = {OFFSET: pa.int64(), SIZE: pa.int64(), PACKING: pa.int32()}
    places = {name: pa.repeat(pa.scalar(STORED, kind), len(paths)) for name, kind in constant.items()}
    entries = pa.table({KEY: paths, PATH: paths, **places, **labels})
    skipped: list[Skipped] = []
    for column in (PATH, *columns):
        is_missing = pc.is_null(entries[column])
        detail = f"column {path_column if column == PATH else column!r} is empty"
        reason = "row without a path" if column == PATH else "row without a label"
        missing = entries.filter(is_missing)[PATH].to_pylist()
        skipped += [Skipped(path or "", reason, detail) for path in missing]
        entries = entries.filter(pc.invert(is_missing))
    return Listing(entries, skipped)


def _as_text(table: pa.Table, column: str) -> pa.ChunkedArray:
    """Return a column as trimmed text, empty cells as null."""
    text = pc.utf8_trim_whitespace(table[column].cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
