"""Arrays: the sample of rows, rows read from their places and no others, and arrays that are damaged."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from diffusegae import storage
from diffusegae.data.containers import STORED, Member
from diffusegae.data.records import Skipped, SourceError
from diffusegae.data.sources.arrays import ArrayReader, FileRows, choose_rows, consecutive, name_values


def test_a_sample_is_the_same_everywhere_and_larger_ones_hold_smaller_ones() -> None:
    sample = choose_rows(737_280, 5)
    assert sample.tolist() == [70_273, 164_256, 185_931, 390_831, 573_548]
    larger = choose_rows(737_280, 5000)
    assert len(larger) == 5000
    assert set(sample.tolist()) < set(larger.tolist())
    assert np.array_equal(larger, np.unique(larger))
    assert np.array_equal(choose_rows(7, None), np.arange(7))
    assert np.array_equal(choose_rows(7, 9), np.arange(7))


def test_a_sample_keeps_all_values_of_the_factors_that_vary_fastest() -> None:
    # A stride of 32 would keep one y of 32 and a stride of 1024 one position.
    codes = np.unravel_index(choose_rows(737_280, 23_040), (3, 6, 40, 32, 32))
    counts = [np.bincount(code) for code in codes]
    assert [len(count) for count in counts] == [3, 6, 40, 32, 32]
    assert min(count.min() / count.mean() for count in counts) > 0.85


def test_rows_are_read_from_their_places_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = np.random.default_rng(0).integers(0, 256, (500, 64, 64), np.uint8)
    (tmp_path / "rows").write_bytes(b"header" + content.tobytes())
    taken: list[int] = []

    class Counting(io.FileIO):
        def readinto(self, buffer: object) -> int | None:  # type: ignore[override]
            taken.append(count := super().readinto(buffer) or 0)  # type: ignore[arg-type]
            return count

    def open_counting(uri: str, buffer_bytes: int) -> io.BufferedReader:
        return io.BufferedReader(Counting(uri), buffer_bytes)

    monkeypatch.setattr(storage, "open_input", open_counting)
    rows = np.array([3, 4, 5, 6, 7, 8, 9, 10, 250, 499])
    found = list(FileRows(str(tmp_path / "rows"), 6, 500, (64, 64)).read(rows))
    assert [len(some) for some in found] == [8, 1, 1]
    assert np.array_equal(np.concatenate(found), content[rows])
    assert sum(taken) < 0.15 * content.nbytes


def test_a_file_that_ends_too_early_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(bytes(100))
    with pytest.raises(SourceError, match=r"rows: it ends within row 7"):
        list(FileRows(str(tmp_path / "rows"), 0, 10, (4, 4)).read(np.arange(2, 8)))


def test_rows_of_a_damaged_array_are_skipped_and_the_others_read() -> None:
    class Failing:
        num_rows = 9

        def read(self, rows: np.ndarray) -> Iterator[np.ndarray]:
            yield np.zeros((1, 2, 2, 3), np.uint8)
            raise SourceError("no more")

    class Good(Failing):
        def read(self, rows: np.ndarray) -> Iterator[np.ndarray]:
            yield np.full((len(rows), 2, 2, 3), 7, np.uint8)

    members = [Member(name, row, 0, STORED) for name, row in (("a", 1), ("a", 2), ("a", 5), ("b", 0))]
    first, *skipped, last = ArrayReader({"a": Failing(), "b": Good()}, lambda content: content).read(members)
    assert isinstance(first, np.ndarray)
    assert skipped == [Skipped("a-2", "damaged array", "no more"), Skipped("a-5", "damaged array", "no more")]
    assert np.array_equal(last, np.full((2, 2, 3), 7))


def test_rising_rows_are_cut_where_one_is_left_out() -> None:
    assert [run.tolist() for run in consecutive(np.array([0, 1, 2, 5, 7, 8]))] == [[0, 1, 2], [5], [7, 8]]
    assert [run.tolist() for run in consecutive(np.array([4]))] == [[4]]


@pytest.mark.parametrize("codes", [[0, 2], [-1, 1]])
def test_a_label_without_a_name_is_named(codes: list[int]) -> None:
    with pytest.raises(SourceError, match=rf"set: label {codes[0] if codes[0] < 0 else 2}, expected 0 to 1"):
        name_values("set", ["a", "b"], np.array(codes))
