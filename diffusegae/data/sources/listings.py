"""Listings from members of a container, or from records of labels as people write them (CSV, JSON, Parquet)."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple
from unicodedata import normalize

import pyarrow as pa

from diffusegae.data.containers import Member
from diffusegae.data.index import PLACE_FIELDS, Listing
from diffusegae.data.records import Skipped, SourceError
from diffusegae.schema import source_column

LISTED_ROWS = 65_536  # entries that a listing holds at a time
Record = Mapping[str, Any]


class Entry(NamedTuple):
    """An image: its key, where it lies, and all that is recorded of it."""

    key: str
    member: Member
    record: Record


def member_tables(members: Iterable[Member], rows: int = LISTED_ROWS) -> Iterator[pa.Table]:
    """Yield the places of members, some tens of thousands at a time."""
    members = iter(members)
    while batch := list(islice(members, rows)):
        yield to_table(batch)


def to_table(members: Sequence[Member]) -> pa.Table:
    """Return the places of members."""
    fields = PLACE_FIELDS[1:]
    columns = [pa.array([member[place] for member in members], field.type) for place, field in enumerate(fields)]
    return pa.table(columns, schema=pa.schema(fields))


def list_entries(
    entries: Iterable[Entry | Skipped], columns: Sequence[str], rows: int = LISTED_ROWS
) -> Iterator[Listing]:
    """List entries with the labels that they have; SourceError if a column is in none of them."""
    entries, lost, example = iter(entries), set(columns), ""
    while batch := list(islice(entries, rows)):
        skipped = [item for item in batch if isinstance(item, Skipped)]
        kept = [item for item in batch if isinstance(item, Entry)]
        table = to_table([entry.member for entry in kept])
        table = table.add_column(0, PLACE_FIELDS[0], [pa.array([entry.key for entry in kept], pa.string())])
        for column in columns:
            labels = pa.array([label_of(entry.record, source_column(column)) for entry in kept], pa.string())
            table = table.append_column(column, [labels])
            lost -= {column} if labels.null_count < len(labels) else set()
        example = ", ".join(kept[-1].record) if kept else example
        yield Listing(table, skipped)
    if lost and example:
        raise SourceError(f"no image has a label {source_column(min(lost))!r}; one has: {example}")


def label_of(record: Record, name: str) -> str | None:
    """Return a record's label as trimmed text in Unicode's composed form; None if it has none.

    A nested field is named by dots (`face.age`).
    """
    value: Any = record.get(name)
    if name not in record and "." in name:
        outer, _, inner = name.partition(".")
        nested = record.get(outer)
        return label_of(nested, inner) if isinstance(nested, Mapping) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, list | Mapping) or (isinstance(value, float) and math.isnan(value)):
        return None
    return normalize("NFC", str(value).strip()) or None
