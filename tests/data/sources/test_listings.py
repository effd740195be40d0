"""Listings from records: labels of any type as text, nested ones by dots, and records that lack one."""

import pytest

from diffusegae.data.containers import Member
from diffusegae.data.index import OFFSET, PATH, SIZE
from diffusegae.data.records import KEY, Skipped, SourceError
from diffusegae.data.sources.listings import Entry, label_of, list_entries, member_tables


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("NA", "NA"), (" 007 ", "007"), (7, "7"), (0.5, "0.5"), (True, "true"), (False, "false"), (0, "0"),
        ("e\u0301", "\u00e9"), ("  ", None), ("", None), (None, None), (float("nan"), None), ([1], None), ({}, None),
    ],
)  # fmt: skip
def test_values_of_any_type_are_text(value: object, label: str | None) -> None:
    assert label_of({"a": value}, "a") == label


def test_nested_values_are_named_by_dots() -> None:
    record = {"face": {"age": {"years": 30}}, "a.b": "whole", "a": {"b": "nested"}}
    assert label_of(record, "face.age.years") == "30"
    assert label_of(record, "a.b") == "whole"
    assert label_of(record, "face.age.months") is None
    assert label_of(record, "face.hair.colour") is None
    assert label_of(record, "other") is None


def test_entries_are_listed_in_pieces_with_the_labels_that_they_have() -> None:
    entries = [Entry(f"k{n}", Member(f"p{n}", n, n + 1, 0), {"a": n, "label:b": "x"}) for n in range(5)]
    entries[3] = entries[3]._replace(record={"a": None})
    lost = Skipped("q", "missing file", "nowhere")
    listings = list(list_entries([*entries, lost], ("a",), rows=4))
    assert [listing.table.num_rows for listing in listings] == [4, 1]
    assert listings[0].table["a"].to_pylist() == ["0", "1", "2", None]
    assert listings[0].table.select([KEY, PATH, OFFSET, SIZE, "a"]).to_pylist()[1] == {
        KEY: "k1", PATH: "p1", OFFSET: 1, SIZE: 2, "a": "1",
    }  # fmt: skip
    assert listings[0].skipped == []
    assert listings[1].skipped == [lost]


def test_columns_called_as_rows_call_theirs_are_read_by_their_own_names() -> None:
    with pytest.raises(SourceError, match="no image has a label 'key'; one has: image"):
        list(list_entries([Entry("k", Member("p", 0, 0, 0), {"image": "cat"})], ("label:image", "label:key")))
    (listing,) = list_entries(
        [Entry("k", Member("p", 0, 0, 0), {"image": "cat", "key": 3})], ("label:image", "label:key")
    )
    assert listing.table["label:image"].to_pylist() == ["cat"]


def test_members_are_listed_in_pieces() -> None:
    tables = list(member_tables((Member(f"p{n}", n, 2, 0) for n in range(5)), rows=2))
    assert [table.num_rows for table in tables] == [2, 2, 1]
    assert tables[1][PATH].to_pylist() == ["p2", "p3"]
