"""Findings: pairs that never occur, twins across the split, pictures by value, of a small stored set."""

from pathlib import Path

import numpy as np
import pytest

from diffusegae.data.findings import (
    SHOWN_VALUES,
    Findings,
    find,
    most_frequent,
    partner_share,
    read_findings,
    write_findings,
)
from diffusegae.data.lookup import ImageLookup
from diffusegae.data.prints import Prints
from diffusegae.data.shards import LabelTable, Manifest, load_labels
from diffusegae.schema import AttributeSchema, AttributeSpec, build_schema
from tests.stored_images import write_images

Set = tuple[Manifest, AttributeSchema, LabelTable]


@pytest.fixture
def stored(tmp_path: Path) -> Set:
    """Combinations of three columns, but for one pair of kind and ground."""
    left_out = [(0, 0, colour) for colour in range(20)]
    manifest = write_images(str(tmp_path), {"kind": 3, "ground": 4, "colour": 20}, left_out)
    schema = build_schema({name: AttributeSpec(width=4) for name in manifest.columns}, manifest.columns)
    return manifest, schema, load_labels(str(tmp_path), manifest)


def unlike(count: int) -> Prints:
    numbers = np.random.default_rng(0).integers(0, 2**60, (3, count)).astype(np.uint64)
    return Prints(*numbers)


def test_absent_pairs_are_named_with_what_chance_would_show(stored: Set) -> None:
    found = {pair.names: pair for pair in find(*stored, None).pairs}
    pair = found["kind", "ground"]
    assert (pair.num_possible, pair.num_shown) == (12, 11)
    (absent,) = pair.absent
    assert absent.values == ("kind0", "ground0")
    assert absent.expected == pytest.approx(60 * 40 / 220, abs=0.05)
    assert pair.images[0][0] == 0
    assert sum(map(sum, pair.images)) == 220
    assert sum(map(sum, pair.trained)) == stored[0].num_train
    assert len(found["kind", "colour"].values[1]) == SHOWN_VALUES
    assert found["kind", "colour"].num_shown == 60
    assert not found["kind", "colour"].absent


def test_pairs_that_only_held_out_images_show_are_no_training_pairs(stored: Set) -> None:
    manifest, schema, labels = stored
    pair = find(manifest, schema, labels, None).pairs[1]
    train = labels.matrix(("kind", "colour"))[~labels.held_out]
    assert pair.names == ("kind", "colour")
    assert pair.num_trained == len(np.unique(train, axis=0))


def test_twins_are_told_apart_and_named_by_place(stored: Set, tmp_path: Path) -> None:
    manifest, schema, labels = stored
    prints, held, train = unlike(len(labels)), np.flatnonzero(labels.held_out), np.flatnonzero(~labels.held_out)
    same = next(row for row in train if labels.columns["kind"][row] == labels.columns["kind"][held[0]])
    for numbers in (prints.copy, prints.outline, prints.colours):
        numbers[held[0]] = numbers[same]
    other = next(row for row in train if labels.columns["kind"][row] != labels.columns["kind"][held[1]])
    prints.outline[held[1]], prints.colours[held[1]] = prints.outline[other], prints.colours[other]
    twins = find(manifest, schema, labels, prints).twins
    assert twins is not None
    assert (twins.num_held_out, twins.num_copies, twins.num_near, twins.num_repeated) == (len(held), 1, 1, 1)
    copy, near = twins.examples
    assert (copy.is_copy, near.is_copy) == (True, False)
    assert "kind" not in copy.differs
    assert "kind" in near.differs
    assert near.train == (labels.shard[other], labels.row[other])
    assert copy.held_out == (labels.shard[held[0]], labels.row[held[0]])


def test_pictures_are_of_their_value(stored: Set, tmp_path: Path) -> None:
    manifest, schema, labels = stored
    chosen = find(manifest, schema, labels, None).pictures["kind"]
    assert list(chosen) == ["kind0", "kind1", "kind2"]
    row_of = {(int(s), int(r)): k for k, (s, r) in enumerate(zip(labels.shard, labels.row, strict=True))}
    for label, places in enumerate(chosen.values()):
        assert {int(labels.columns["kind"][row_of[place]]) for place in places} == {label}
        assert len(set(places)) == len(places) > 1
    assert len(ImageLookup(str(tmp_path), manifest).take(np.arange(2))) == 2


def test_the_most_frequent_values_keep_their_order_and_empty_ones_are_left_out() -> None:
    assert most_frequent([3, 9, 0, 9, 1], 3) == [0, 1, 3]
    assert most_frequent([0, 2, 0], 3) == [1]


def test_the_share_with_partners_is_that_of_groups() -> None:
    labels = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 2]])
    assert partner_share(labels) == pytest.approx(4 / 5)


def test_findings_are_read_as_they_were_written(stored: Set, tmp_path: Path) -> None:
    assert read_findings(str(tmp_path)) is None
    found = find(*stored, unlike(len(stored[2])))
    write_findings(str(tmp_path), found)
    assert read_findings(str(tmp_path)) == found
    assert isinstance(found, Findings)
