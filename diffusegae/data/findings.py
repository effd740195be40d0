"""Findings: what is to be known of a data set before it is trained on, for the page that shows it.

They are found once, when ingest ends, from the labels and prints of all rows; `findings.json` beside the manifest holds
them, bounded however many rows and values there are. Pictures are named by their place.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Integer
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import coo_array, csr_array

from diffusegae import storage
from diffusegae.data.association import Association, associate
from diffusegae.data.groups import GroupIndex
from diffusegae.data.prints import Prints
from diffusegae.data.records import MISSING
from diffusegae.data.shards import ROW_GROUP_ROWS, LabelTable, Manifest
from diffusegae.data.splits import Combinations
from diffusegae.data.twins import count_copies, find_twins
from diffusegae.schema import AttributeSchema

FINDINGS, DATA_PAGE = "findings.json", "data.html"  # and the page that shows them
SHOWN_VALUES = 12  # of an attribute: the most frequent ones
_COMPARED_VALUES = 60  # of an attribute, between which pairs that never occur are looked for
_ABSENT, _TWINS, _PICTURES = 10, 6, 8  # absent pairs, twins of each kind, and pictures of a value that are shown
_SAMPLED_GROUPS = 8  # row groups from which pictures are taken; a value that they lack is looked for elsewhere
_PLANNED_ROWS = 200_000  # of which GROUPs are planned

Rows = Integer[np.ndarray, "_"]


class Place(NamedTuple):
    """Where a picture is."""

    shard: int
    row: int


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Absent(_Frozen):
    """Two values that no image shows together, although so many would if they had nothing to do with each other."""

    values: tuple[str, str]
    expected: float


class Pair(_Frozen):
    """How two attributes go together: images, in all and in training, by their most frequent values, in order."""

    names: tuple[str, str]
    num_possible: int = Field(description="Pairs of values that there are images of.")
    num_shown: int = Field(description="Pairs that an image shows.")
    num_trained: int = Field(description="Pairs that a training image shows.")
    values: tuple[tuple[str, ...], tuple[str, ...]]
    images: tuple[tuple[int, ...], ...]
    trained: tuple[tuple[int, ...], ...]
    absent: tuple[Absent, ...] = Field(description="The most surprising of those that no image shows.")


class Twin(_Frozen):
    """A held-out picture, its twin in training, and the attributes in which their labels differ."""

    held_out: Place
    train: Place
    is_copy: bool
    differs: tuple[str, ...]


class TwinFindings(_Frozen):
    """How many held-out pictures training shows, too."""

    num_held_out: int
    num_copies: int
    num_near: int
    num_other_labels: int = Field(description="Of both, those whose labels differ.")
    num_repeated: int = Field(description="Pictures of the whole set that are copies of another one.")
    examples: tuple[Twin, ...]


class Findings(_Frozen):
    """All that is found; `pictures` has places by attribute and shown value."""

    columns: dict[str, str] = Field(description="Attribute to its label column.")
    pairs: tuple[Pair, ...]
    associations: tuple[Association, ...] = Field(description="Of every attribute by every other one.")
    partner_share: float = Field(description="Images with exact partners for a GROUP, of those that have labels.")
    twins: TwinFindings | None = Field(description="None where pictures could not be compared.")
    pictures: dict[str, dict[str, tuple[Place, ...]]]


def find(manifest: Manifest, schema: AttributeSchema, labels: LabelTable, prints: Prints | None) -> Findings:
    """Find it in the labels and, if they are known, the prints of all rows, which are in the order of the table."""
    columns = dict(zip(schema.names, schema.columns, strict=True))
    every, trained = (
        _combine(labels.take(np.flatnonzero(rows)), list(dict.fromkeys(columns.values())), manifest.columns)
        for rows in (np.ones(len(labels), bool), ~labels.held_out)
    )
    return Findings(
        columns=columns,
        pairs=tuple(_pair(names, columns, every, trained) for names in combinations(columns, 2)),
        associations=tuple(associate(every, columns)),
        partner_share=partner_share(labels.matrix(schema.group_columns)),
        twins=None if prints is None else _compare(labels, prints, columns),
        pictures={name: _choose_pictures(labels, column, manifest) for name, column in columns.items()},
    )


def write_findings(uri: str, findings: Findings) -> None:
    """Write them beside the manifest of the data set at the URI; a page of earlier ones goes."""
    storage.delete(storage.join(uri, DATA_PAGE))
    storage.write_bytes(storage.join(uri, FINDINGS), findings.model_dump_json().encode())


def read_findings(uri: str) -> Findings | None:
    """Read them; None of a set that was made when there were none."""
    path = storage.join(uri, FINDINGS)
    return Findings.model_validate_json(storage.read_bytes(path)) if storage.exists(path) else None


def most_frequent(counts: Sequence[int] | Integer[np.ndarray, "_"], limit: int) -> list[int]:
    """Return the labels of the most frequent values that occur, at most `limit`, in their own order."""
    number = np.asarray(counts)
    frequent = np.argsort(-number, kind="stable")[:limit]
    return sorted(frequent[number[frequent] > 0].tolist())


def partner_share(labels: Integer[np.ndarray, "rows attributes"]) -> float:
    """Return the share of rows that have, for each attribute, another one that shares it and differs in all others.

    Of a large set it is that of _PLANNED_ROWS rows among themselves.
    """
    rows = labels[:_PLANNED_ROWS]
    return float(GroupIndex(rows, 1).has_group(np.arange(len(rows))).mean()) if len(rows) else 0.0


def _combine(labels: LabelTable, columns: Sequence[str], vocabularies: Mapping[str, tuple[str, ...]]) -> Combinations:
    """Return the distinct combinations of labels in rows."""
    table = pa.table({str(place): labels.columns[column] for place, column in enumerate(columns)})
    counted = table.group_by(table.column_names).aggregate([([], "count_all")])
    found = {column: counted[str(place)].to_numpy() for place, column in enumerate(columns)}
    return Combinations({name: vocabularies[name] for name in columns}, found, counted["count_all"].to_numpy())


def _pair(names: tuple[str, str], columns: Mapping[str, str], every: Combinations, trained: Combinations) -> Pair:
    own = (columns[names[0]], columns[names[1]])
    tables = [_cross(found, own) for found in (every, trained)]
    alone = [np.asarray(tables[0].sum(axis=axis)) for axis in (1, 0)]
    shown = [most_frequent(counts, SHOWN_VALUES) for counts in alone]
    images, in_training = (
        tuple(tuple(line) for line in table[shown[0]][:, shown[1]].toarray().tolist()) for table in tables
    )
    values = [every.vocabularies[column] for column in own]
    return Pair(
        names=names,
        num_possible=int(np.prod([np.count_nonzero(counts) for counts in alone])),
        num_shown=tables[0].nnz,
        num_trained=tables[1].nnz,
        values=(tuple(values[0][k] for k in shown[0]), tuple(values[1][k] for k in shown[1])),
        images=images,
        trained=in_training,
        absent=_find_absent(tables[0], alone, values),
    )


def _cross(found: Combinations, columns: tuple[str, str]) -> csr_array:
    """Return the images per pair of labels of two columns, as a sparse table; of one column twice, its diagonal."""
    kept = found.labelled(columns)
    labels = [found.labels[column][kept] for column in columns]
    sizes = [len(found.vocabularies[column]) for column in columns]
    return coo_array((found.counts[kept], labels), shape=sizes).tocsr()


def _find_absent(
    table: csr_array, alone: Sequence[Integer[np.ndarray, "_"]], values: Sequence[Sequence[str]]
) -> tuple[Absent, ...]:
    """Return the absent pairs of frequent values that chance would show most often, at least one image of each."""
    rows, lines = (most_frequent(counts, _COMPARED_VALUES) for counts in alone)
    expected = np.outer(alone[0][rows], alone[1][lines]) / max(1, int(alone[0].sum()))
    expected[table[rows][:, lines].toarray() > 0] = 0
    largest = np.argsort(-expected, axis=None, kind="stable")[:_ABSENT]
    places = [np.unravel_index(place, expected.shape) for place in largest if expected.flat[place] >= 1]
    return tuple(
        Absent(values=(values[0][rows[a]], values[1][lines[b]]), expected=round(float(expected[a, b]), 1))
        for a, b in places
    )


def _compare(labels: LabelTable, prints: Prints, columns: Mapping[str, str]) -> TwinFindings:
    """Look for pictures on both sides of the split."""
    held, train = np.flatnonzero(labels.held_out), np.flatnonzero(~labels.held_out)
    twins = find_twins(prints.take(train), prints.take(held))
    own, others = (labels.take(rows).matrix(list(columns.values())) for rows in (held, train))
    differs = np.zeros(own.shape, bool)
    has_twin = np.flatnonzero(twins.row >= 0)
    theirs = others[twins.row[has_twin]]
    differs[has_twin] = (own[has_twin] != theirs) & (own[has_twin] != MISSING) & (theirs != MISSING)
    chosen = np.concatenate([_some(twins.is_copy, differs), _some(twins.is_near, differs)])
    return TwinFindings(
        num_held_out=len(held),
        num_copies=int(twins.is_copy.sum()),
        num_near=int(twins.is_near.sum()),
        num_other_labels=int(differs.any(axis=1).sum()),
        num_repeated=count_copies(prints),
        examples=tuple(
            Twin(
                held_out=_place(labels, int(held[place])),
                train=_place(labels, int(train[twins.row[place]])),
                is_copy=bool(twins.is_copy[place]),
                differs=tuple(name for name, is_other in zip(columns, differs[place], strict=True) if is_other),
            )
            for place in chosen.tolist()
        ),
    )


def _some(flags: Bool[np.ndarray, "_"], differs: Bool[np.ndarray, "_ attributes"]) -> Rows:
    """Return a few of the flagged places: from all over, those with other labels first."""
    places = np.flatnonzero(flags)
    places = places[np.argsort(~differs[places].any(axis=1), kind="stable")]
    return places[:_TWINS]


def _choose_pictures(labels: LabelTable, column: str, manifest: Manifest) -> dict[str, tuple[Place, ...]]:
    """Return some pictures of each shown value of a column, from a few row groups where these have them."""
    own, values = labels.columns[column], manifest.columns[column]
    starts = np.flatnonzero(labels.row % ROW_GROUP_ROWS == 0)
    groups = starts[np.unique(np.linspace(0, len(starts) - 1, _SAMPLED_GROUPS).astype(int))] if len(starts) else starts
    near = np.unique(np.concatenate([np.arange(start, min(start + ROW_GROUP_ROWS, len(own))) for start in groups]))
    chosen = {}
    for label in most_frequent(manifest.value_counts[column], SHOWN_VALUES):
        rows = near[own[near] == label]
        rows = rows if len(rows) else np.flatnonzero(own == label)[:1]
        kept = rows[np.unique(np.linspace(0, len(rows) - 1, _PICTURES).astype(int))]
        chosen[values[label]] = tuple(_place(labels, row) for row in kept.tolist())
    return chosen


def _place(labels: LabelTable, row: int) -> Place:
    return Place(int(labels.shard[row]), int(labels.row[row]))
