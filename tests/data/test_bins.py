"""Bins: classes of nearly equal counts, in order, whatever the numbers."""

import numpy as np
import pyarrow as pa
import pytest

from diffusegae.data.bins import Bins, parse_numbers
from diffusegae.data.records import SourceError


def test_classes_hold_nearly_as_many_each_and_are_named_by_their_edges() -> None:
    numbers = np.random.default_rng(0).lognormal(size=1000)
    bins = Bins.fit(numbers, 4)
    assert bins.edges == tuple(np.quantile(numbers, [0.25, 0.5, 0.75]).tolist())
    labels = bins.of("age", pa.array(map(str, numbers))).to_pylist()
    assert [labels.count(name) for name in bins.names] == [250] * 4
    assert bins.names[0] == f"up to {bins.edges[0]:.6g}"
    assert bins.names[1] == f"{bins.edges[0]:.6g} to {bins.edges[1]:.6g}"
    assert bins.names[3] == f"over {bins.edges[2]:.6g}"
    assert labels[int(numbers.argmin())] == bins.names[0]


def test_an_edge_belongs_to_the_class_below_and_a_missing_number_to_none() -> None:
    assert Bins(edges=(10.0, 20.0)).of("age", pa.array(["10", "10.5", "20", None, "-3", "1e3"])).to_pylist() == [
        "up to 10", "10 to 20", "10 to 20", None, "up to 10", "over 20",
    ]  # fmt: skip


def test_equal_numbers_are_never_parted() -> None:
    bins = Bins.fit(np.array([1.0] * 90 + [2.0] * 10), 5)
    assert bins.names == ("up to 1", "over 1")
    assert Bins.fit(np.array([3.0, 3.0]), 4).names == ("any",)


def test_what_is_no_number_is_named() -> None:
    with pytest.raises(SourceError, match="column 'age' is to be cut into bins, but holds what is no number.*'old'"):
        parse_numbers("age", pa.array(["3", "old"]))
