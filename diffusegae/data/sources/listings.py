"""Listings from members of a container, or from records of labels as people write them (CSV, JSON, Parquet)."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple
from unicodedata import normalize

import pyarrow as pa

from diffusegae.data.containers import Member
from diffusegae.data.index import PLACE_FIELDS, Listing
from diffusegae.data.records import Skipped
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
    """List entries that have all labels; the others are skipped with a reason."""
    entries = iter(entries)
    while batch := list(islice(entries, rows)):
        skipped = [item for item in batch if isinstance(item, Skipped)]
        kept: list[tuple[Entry, list[str]]] = []
        for entry in (item for item in batch if isinstance(item, Entry)):
            found = [label_of(entry.record, source_column(column)) for column in columns]
            if None in found:
                skipped.append(_lacking(entry, source_column(columns[found.index(None)])))
            else:
                kept.append((entry, [label for label in found if label is not None]))
        table = to_table([entry.member for entry, _ in kept])
        table = table.add_column(0, PLACE_FIELDS[0], [pa.array([entry.key for entry, _ in kept], pa.string())])
        for place, column in enumerate(columns):
            table = table.append_column(column, [pa.array([labels[place] for _, labels in kept], pa.string())])
        yield Listing(table, skipped)


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


def _lacking(entry: Entry, name: str) -> Skipped:
    path = entry.member.path
    if name.partition(".")[0] in entry.record:
        return Skipped(path, "row without a label", f"{name!r} is empty, or a list")
    return Skipped(path, "row without a label", f"there is no {name!r}; it has: {', '.join(entry.record) or 'nothing'}")
