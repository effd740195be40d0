"""Tables of labels: CSV, TSV or Parquet, read in a stream as columns of text, whatever else the file holds."""

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from diffusegae import storage
from diffusegae.data.records import SourceError

_ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".pq")
_DELIMITERS = ",;\t|"
_HEAD_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 22  # no row may be longer
_BATCH_ROWS = 65_536
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_AS_UTF_8 = "export it as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
_LOOKS = {
    b"PK\x03\x04": "an Excel workbook or a .zip; export the sheet as 'CSV UTF-8'",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; export the sheet as 'CSV UTF-8'",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"{": "JSON; write it as CSV",
    b"[": "JSON; write it as CSV",
    b"<": "a web page (or XML), as a link to a download or a login gives; save the table itself",
}
_Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class TextTable:
    """A table whose columns are read as text: its address, the columns' names in order, and how they are read."""

    uri: str
    names: tuple[str, ...]
    batches: Callable[[Sequence[int]], _Batches]

    def read(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield some columns, thousands of rows at a time: strings as they are written; null where a cell is empty.

        Numbers, booleans and dates become text; NaN is an empty cell.

        Raises:
            SourceError: the file is damaged, or a column holds what is no text, number or date.
        """
        places = [self.names.index(column) for column in columns]
        try:
            for batch in self.batches(places):
                read = zip(columns, batch.columns, strict=True)
                yield pa.table({column: _to_text(values, self.uri, column) for column, values in read})
        except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
            if isinstance(error, OSError) and not storage.is_local(self.uri):
                raise  # a bucket that does not answer
            advice = f"it is not UTF-8; {_AS_UTF_8}" if "UTF8" in str(error) else f"{error}; export it again"
            raise SourceError(f"{self.uri}: not a readable table: {advice}") from error


def open_table(uri: str) -> TextTable:
    """Open a CSV file (separated by , ; | or tabs, UTF-8 or marked as UTF-16) or a Parquet file.

    Raises:
        SourceError: there is no table, or it is something else, of which is said what it looks like and what to do.
    """
    if not uri.lower().endswith(_ENDINGS):
        raise SourceError(f"{uri}: expected a table that ends with .tsv, .csv or .parquet; set data.source.table")
    try:
        with storage.open_input(uri) as file:
            head = file.read(_HEAD_BYTES)
    except storage.StorageNotFoundError as error:
        raise SourceError(f"{uri}: there is no table; set data.source.table to a CSV or Parquet file") from error
    except storage.StorageUnreadableError as error:
        raise SourceError(f"{uri}: not a readable table: {error}") from error
    if head.startswith(b"PAR1") or uri.lower().endswith((".parquet", ".pq")):
        return _open_parquet(uri)
    return _open_csv(uri, head)


def _open_parquet(uri: str) -> TextTable:
    def batches(places: Sequence[int]) -> _Batches:
        wanted = [names[place] for place in places]
        with storage.open_input(uri) as file:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                yield batch.select(wanted)

    try:
        with storage.open_input(uri) as file:
            names = tuple(pq.ParquetFile(file).schema_arrow.names)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise SourceError(f"{uri}: not a readable table: {error}; export it again") from error
    return TextTable(uri, names, batches)


def _open_csv(uri: str, head: bytes) -> TextTable:
    encoding = "utf-16" if head.startswith(_UTF_16) else "utf-8"
    text = _decode(uri, head, encoding)
    blank = _count_blank(text)
    delimiter, names = _read_header(uri, text)

    def batches(places: Sequence[int]) -> _Batches:
        # By place, as names may be there twice; of the other columns neither type nor encoding matters.
        wanted = [str(place) for place in places]
        reading = arrow_csv.ReadOptions(
            encoding=encoding,
            block_size=_BLOCK_BYTES,
            column_names=[str(place) for place in range(len(names))],
            skip_rows=blank,
            skip_rows_after_names=1,
        )
        parsing = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        # Only an empty cell is unlabelled: "NA" may be a country and "007" is not 7.
        converting = arrow_csv.ConvertOptions(
            include_columns=wanted,
            column_types={place: pa.string() for place in wanted},
            strings_can_be_null=True,
            null_values=[""],
        )
        with storage.open_input(uri) as file:
            yield from arrow_csv.open_csv(file, reading, parsing, converting)

    return TextTable(uri, names, batches)


def _decode(uri: str, head: bytes, encoding: str) -> str:
    """Return the text that a file begins with; SourceError if it is none, saying what it looks like."""
    for start, what in _LOOKS.items():
        if head.lstrip(codecs.BOM_UTF8 + b" \t\r\n").startswith(start):
            raise SourceError(f"{uri}: not a readable table: it looks like {what}")
    if encoding == "utf-8" and head.count(b"\0") > len(head) // 4:
        raise SourceError(f"{uri}: not a readable table: it looks like UTF-16 without its mark; {_AS_UTF_8}")
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = head.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{uri}: not a readable table: line {line} is not {encoding.upper()}; {_AS_UTF_8}") from error


def _count_blank(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n")


def _read_header(uri: str, text: str) -> tuple[str, tuple[str, ...]]:
    """Return the delimiter under which the header has the most columns, and their names."""
    best: tuple[str, tuple[str, ...]] = (",", ())
    for delimiter in _DELIMITERS:
        names = tuple(
            name.strip() for name in next(csv.reader(io.StringIO(text.lstrip(), newline=None), delimiter=delimiter), [])
        )
        if len(names) > len(best[1]):
            best = (delimiter, names)
    if not best[1] or len(text.split(maxsplit=1)) < 2:
        raise SourceError(f"{uri}: not a readable table: it holds no rows; export it again")
    return best


def _to_text(values: pa.Array, uri: str, column: str) -> pa.Array:
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    try:
        text = values.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise SourceError(
            f"{uri}: not a readable table: column {column!r} holds {values.type}; expected text, numbers or dates"
        ) from error
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(text), ""), pa.scalar(None, pa.string()), text)
