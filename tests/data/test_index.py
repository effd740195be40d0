"""The index: chunks that give back every entry once, vocabularies, repeated keys, and sources that hold nothing."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from diffusegae import storage
from diffusegae.data.index import (
    OFFSET,
    PACKING,
    PATH,
    PLACE_FIELDS,
    SIZE,
    Index,
    Listing,
    build_index,
    read_chunk,
    read_combinations,
    read_index,
    read_repeated,
    sort_values,
)
from diffusegae.data.records import MISSING, Skipped, SourceError


def listing(keys: list[str], labels: list[str], skipped: list[Skipped] | None = None) -> Listing:
    places = {PATH: [f"{key}.png" for key in keys], OFFSET: range(len(keys)), SIZE: [9] * len(keys)}
    table = pa.table({"key": keys, **places, PACKING: [0] * len(keys), "letter": labels})
    return Listing(table, skipped or [])


def read_all(uri: str, index: Index) -> list[dict[str, object]]:
    return [row for chunk in range(index.num_chunks) for row in read_chunk(uri, index, chunk).to_pylist()]


def test_chunks_give_back_every_entry_in_order(storage_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusegae.data.index.CHUNKS_PER_PART", 3)
    keys = [f"k{number:03d}" for number in range(50)]
    labels = ["ab"[number % 2] for number in range(50)]
    pieces = [listing(keys[start : start + 7], labels[start : start + 7]) for start in range(0, 50, 7)]
    index = build_index(storage_root, pieces, ("letter",), chunk_rows=4)
    assert (index.num_rows, index.num_chunks, index.num_repeated) == (50, 13, 0)
    assert len(storage.list_files(storage_root, ".arrow")) == 5
    rows = read_all(storage_root, index)
    assert [row["key"] for row in rows] == keys
    assert [row["letter"] for row in rows] == labels
    assert list(rows[0]) == [*(field.name for field in PLACE_FIELDS), "letter"]
    assert read_index(storage_root) == index
    assert index.vocabularies == {"letter": ("a", "b")}


def test_combinations_are_distinct_and_counted_over_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusegae.data.index.CHUNKS_PER_PART", 2)
    keys = [f"k{number:03d}" for number in range(90)]
    table = pa.table(
        {
            "key": keys, PATH: keys, OFFSET: range(90), SIZE: [9] * 90, PACKING: [0] * 90,
            "letter": ["abc"[number % 3] for number in range(90)], "font": [str(number % 4) for number in range(90)],
            "noise": keys,
        }
    )  # fmt: skip
    index = build_index(str(tmp_path), [Listing(table, [])], ("noise", "letter", "font"), chunk_rows=4)
    found = read_combinations(str(tmp_path), index, ("font", "letter"))
    assert found.vocabularies == {"font": ("0", "1", "2", "3"), "letter": ("a", "b", "c")}
    rows = list(zip(found.labels["font"].tolist(), found.labels["letter"].tolist(), found.counts.tolist(), strict=True))
    expected = [sum((k % 4, k % 3) == (font, letter) for k in range(90)) for font in range(4) for letter in range(3)]
    assert sorted(rows) == [(place // 3, place % 3, count) for place, count in enumerate(expected)]
    assert found.images()["letter"].tolist() == [30, 30, 30]


def test_a_missing_label_is_no_value_and_a_column_without_any_is_named(tmp_path: Path) -> None:
    entries = listing(["a", "b", "c", "d"], ["x", "y", "x", "y"])
    labels = pa.array(["x", None, None, "y"], pa.string())
    table = entries.table.set_column(entries.table.column_names.index("letter"), "letter", labels)
    index = build_index(str(tmp_path / "some"), [Listing(table, [])], ("letter",), chunk_rows=2)
    assert index.vocabularies == {"letter": ("x", "y")}
    assert [row["letter"] for row in read_all(str(tmp_path / "some"), index)] == ["x", None, None, "y"]
    found = read_combinations(str(tmp_path / "some"), index, ("letter",))
    counts = zip(found.labels["letter"].tolist(), found.counts.tolist(), strict=True)
    assert sorted(counts) == [(MISSING, 2), (0, 1), (1, 1)]
    empty = table.set_column(table.column_names.index("letter"), "letter", pa.nulls(4, pa.string()))
    with pytest.raises(SourceError, match="no image has a label in column 'letter'"):
        build_index(str(tmp_path / "none"), [Listing(empty, [])], ("letter",), chunk_rows=2)


def test_an_unfinished_index_is_none(tmp_path: Path) -> None:
    assert read_index(str(tmp_path)) is None


def test_repeated_keys_are_found_wherever_they_are(tmp_path: Path) -> None:
    pieces = [listing(["a", "b", "a"], ["x", "y", "x"]), listing(["c", "b", "a"], ["x", "y", "x"])]
    index = build_index(str(tmp_path), pieces, ("letter",), chunk_rows=2)
    assert index.num_repeated == 3
    assert np.array_equal(read_repeated(str(tmp_path), index), [2, 4, 5])


def test_fingerprint_is_of_the_keys_and_not_of_their_order(tmp_path: Path) -> None:
    made = [
        build_index(str(tmp_path / name), [listing(list(keys), ["x"] * len(keys))], ("letter",), 2).fingerprint
        for name, keys in (("1", "abc"), ("2", "cab"), ("3", "abd"), ("4", "ab"))
    ]
    assert made[0] == made[1]
    assert len(set(made)) == 3


def test_skipped_files_are_reported_beside_the_index(tmp_path: Path) -> None:
    skipped = [Skipped("readme.txt", "name of another layout", "expected …")]
    build_index(str(tmp_path), [listing(["a"], ["x"]), listing([], [], skipped)], ("letter",), 2)
    (report,) = storage.list_files(str(tmp_path), ".jsonl")
    assert b"readme.txt" in storage.read_bytes(report)


def test_a_source_without_entries_is_named_with_an_example(tmp_path: Path) -> None:
    skipped = [Skipped("readme.txt", "name of another layout", "expected category-…")]
    with pytest.raises(SourceError, match=r"no image that can be used; for example readme\.txt: expected category"):
        build_index(str(tmp_path), [listing([], [], skipped)], ("letter",), 2)
    with pytest.raises(SourceError, match="no image that can be used"):
        build_index(str(tmp_path), [], ("letter",), 2)


def test_a_column_of_names_is_no_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusegae.data.index.MAX_VALUES", 3)
    with pytest.raises(SourceError, match="'letter' has more than 3 different values"):
        build_index(str(tmp_path), [listing(list("abcd"), list("abcd"))], ("letter",), 2)


def test_numbers_are_sorted_as_numbers() -> None:
    assert sort_values({"10", "9", "-1", "2.5"}) == ("-1", "2.5", "9", "10")
    assert sort_values({"10", "9", "x"}) == ("10", "9", "x")
