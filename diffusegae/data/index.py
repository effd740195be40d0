"""The index of a source: one compact row per image (key, place, label values), in files that are read by chunk.

It is written once, in passing, before any image is decoded. From it come the vocabularies, the images that repeat a
key, and a way to cut the source into units of work that any process can do again.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from diffusegae import storage
from diffusegae.data.bins import Bins, parse_numbers
from diffusegae.data.records import KEY, MISSING, Skipped, SourceError, to_lines
from diffusegae.data.splits import Combinations, hash_keys
from diffusegae.schema import source_column

PATH, OFFSET, SIZE, PACKING = "\0path", "\0offset", "\0size", "\0packing"  # no label column is called so
PLACE_FIELDS = (
    pa.field(KEY, pa.string()),
    pa.field(PATH, pa.string()),
    pa.field(OFFSET, pa.int64()),
    pa.field(SIZE, pa.int64()),
    pa.field(PACKING, pa.int32()),
)
CHUNKS_PER_PART = 256
MAX_VALUES = 100_000
_COUNT = "\0count"


class Listing(NamedTuple):
    """Some entries of a source: a table of PLACE_FIELDS and label values (strings), and files that are no entries."""

    table: pa.Table
    skipped: list[Skipped]


class Index(BaseModel):
    """What is known of a source as a whole; `index.json` beside the parts, written last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunk_rows: int = Field(description="Rows of every chunk but the last.")
    num_rows: int = Field(description="Entries, repeated keys included.")
    num_repeated: int = Field(description="Entries whose key an earlier one has.")
    vocabularies: dict[str, tuple[str, ...]] = Field(description="Label column to its sorted values.")
    bins: dict[str, Bins] = Field({}, description="Label column of numbers to where it is cut.")
    fingerprint: str = Field(description="Hash of all keys, whatever their order.")

    @property
    def num_chunks(self) -> int:
        """Number of chunks."""
        return -(-self.num_rows // self.chunk_rows)

    def label(self, column: str, texts: pa.Array) -> pa.Array:
        """Return labels for the texts of a column: numbers of a column that is cut by their class."""
        return self.bins[column].of(column, texts) if column in self.bins else texts


def build_index(
    uri: str,
    listings: Iterable[Listing],
    columns: tuple[str, ...],
    chunk_rows: int,
    bins: Mapping[str, int] = MappingProxyType({}),
) -> Index:
    """Write an index of all listings to the folder `uri`; `bins` says of columns into how many classes they are cut.

    Raises:
        SourceError: there is no entry at all, a label column has no value, or so many that it is no attribute, or one
            that is to be cut holds what is no number.
    """
    schema = pa.schema([*PLACE_FIELDS, *(pa.field(column, pa.string()) for column in columns)])
    values: dict[str, set[str]] = {column: set() for column in columns if column not in bins}
    numbers: dict[str, list[npt.NDArray[np.float64]]] = {column: [] for column in bins}
    hashes: list[npt.NDArray[np.uint64]] = []
    last_skipped: list[Skipped] = []

    def seen() -> Iterator[pa.Table]:
        for number, listing in enumerate(listings):
            if listing.skipped:
                report = storage.join(uri, f"skipped-{number:06d}.jsonl")
                storage.write_bytes(report, b"\n".join(to_lines(listing.skipped)))
                last_skipped[:] = listing.skipped[:1]
            _collect_values(values, listing.table)
            for column, found in numbers.items():
                found.append(parse_numbers(column, listing.table[column].combine_chunks().drop_null()))
            hashes.append(hash_keys(listing.table[KEY].to_pylist()))
            yield listing.table.select(schema.names).cast(schema)

    for part, table in enumerate(_rebatch(seen(), chunk_rows * CHUNKS_PER_PART)):
        storage.write_bytes(_part_uri(uri, part), _to_ipc(table, chunk_rows))
    all_hashes = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
    if not len(all_hashes):
        example = f"; for example {last_skipped[0].path}: {last_skipped[0].detail}" if last_skipped else ""
        raise SourceError(f"the source holds no image that can be used{example}")
    cut = {column: Bins.fit(np.concatenate(found), bins[column]) for column, found in numbers.items()}
    for column in (column for column, found in (values | numbers).items() if not any(map(len, found))):
        raise SourceError(
            f"no image has a label in column {source_column(column)!r}; name another in data.attributes, or leave the"
            " attribute out"
        )
    repeated = _repeated_rows(all_hashes)
    storage.write_bytes(storage.join(uri, "repeated.npy"), _to_npy(repeated))
    index = Index(
        chunk_rows=chunk_rows,
        num_rows=len(all_hashes),
        num_repeated=len(repeated),
        vocabularies={name: cut[name].names if name in cut else sort_values(values[name]) for name in columns},
        bins=cut,
        fingerprint=f"{int(all_hashes.sum()):016x}-{len(all_hashes)}",
    )
    storage.write_bytes(storage.join(uri, "index.json"), index.model_dump_json().encode())
    return index


def read_index(uri: str) -> Index | None:
    """Read a finished index; None if there is none."""
    path = storage.join(uri, "index.json")
    return Index.model_validate_json(storage.read_bytes(path)) if storage.exists(path) else None


def read_chunk(uri: str, index: Index, chunk: int) -> pa.RecordBatch:
    """Read the entries of one chunk, with labels as `Index.label` has them."""
    part, position = divmod(chunk, CHUNKS_PER_PART)
    with storage.open_input(_part_uri(uri, part)) as file, pa.ipc.open_file(file) as reader:
        batch = reader.get_batch(position)
    labelled = {column: index.label(column, batch[column]) for column in batch.schema.names}
    return pa.RecordBatch.from_arrays(list(labelled.values()), names=list(labelled))


def read_combinations(uri: str, index: Index, columns: Sequence[str]) -> Combinations:
    """Read the distinct combinations of labels in some columns, and the number of entries that show each."""
    tables: list[pa.Table] = []  # the first holds what is merged so far
    for part in range(-(-index.num_chunks // CHUNKS_PER_PART)):
        with storage.open_input(_part_uri(uri, part)) as file, pa.ipc.open_file(file) as reader:
            entries = reader.read_all()
        labels = {name: index.label(name, entries[name].combine_chunks()) for name in columns}
        found = {name: pc.index_in(labels[name], pa.array(index.vocabularies[name])) for name in columns}
        codes = {name: pc.fill_null(places, MISSING) for name, places in found.items()}
        tables.append(_count_distinct([pa.table({**codes, _COUNT: pa.repeat(1, entries.num_rows)})], columns))
        # Merged when there is as much new as old, so that each row is touched a few times, however many the parts.
        if sum(table.num_rows for table in tables[1:]) >= tables[0].num_rows:
            tables = [_count_distinct(tables, columns)]
    joined = _count_distinct(tables, columns)
    labels = {name: joined[name].to_numpy() for name in columns}
    return Combinations({name: index.vocabularies[name] for name in columns}, labels, joined[_COUNT].to_numpy())


def read_repeated(uri: str, index: Index) -> npt.NDArray[np.int64]:
    """Read the numbers of the entries that repeat an earlier key, sorted."""
    if not index.num_repeated:
        return np.empty(0, np.int64)
    rows: npt.NDArray[np.int64] = np.load(io.BytesIO(storage.read_bytes(storage.join(uri, "repeated.npy"))))
    return rows


def sort_values(values: Iterable[str]) -> tuple[str, ...]:
    """Sort a vocabulary: by number if all its values are numbers, else by letter."""
    found = sorted(values)
    try:
        return tuple(sorted(found, key=float))
    except ValueError:
        return tuple(found)


def _count_distinct(tables: Sequence[pa.Table], columns: Sequence[str]) -> pa.Table:
    """Return the distinct rows of tables by some columns, with the sum of their counts."""
    counted = pa.concat_tables(tables).group_by(list(columns)).aggregate([(_COUNT, "sum")])
    return counted.select([*columns, f"{_COUNT}_sum"]).rename_columns([*columns, _COUNT])


def _collect_values(values: dict[str, set[str]], table: pa.Table) -> None:
    for column, found in values.items():
        found.update(pc.unique(table[column].drop_null()).to_pylist())
        if len(found) > MAX_VALUES:
            raise SourceError(
                f"column {column!r} has more than {MAX_VALUES:,} different values; that is a name rather than an"
                " attribute: choose another column in data.attributes"
            )


def _rebatch(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= rows:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, rows)
            waiting, count = [joined.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(waiting)


def _repeated_rows(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Find the rows whose hash an earlier row has; 64 bits confuse two of 20 million keys once in 100,000 sets."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    return np.sort(order[1:][ordered[1:] == ordered[:-1]]).astype(np.int64)


def _part_uri(uri: str, part: int) -> str:
    return storage.join(uri, f"part-{part:06d}.arrow")


def _to_ipc(table: pa.Table, chunk_rows: int) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in table.combine_chunks().to_batches(max_chunksize=chunk_rows):
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def _to_npy(array: npt.NDArray[np.int64]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
