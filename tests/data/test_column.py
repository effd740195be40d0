"""Columns of labels: counts, evenness, and what keeps one from being an attribute."""

import pytest

from diffusegae.data.column import Column


def test_what_is_no_attribute_has_a_problem_that_says_why() -> None:
    assert Column("a", ("x", "y"), (9, 9), 90).problem == "90 of 108 images lack it"
    numbers = Column("a", tuple(map(str, range(90))), (1,) * 90, 0)
    assert numbers.problem == "90 values in 90 images: numbers, which {width: 10, bins: 5} would cut"
    assert Column("a", (), (), 90).problem == "it has 0 values"


def test_bits_are_the_entropy() -> None:
    assert Column("a", ("x", "y", "z"), (50, 25, 25), 3).bits == pytest.approx(1.5)
    assert Column("a", ("x", "y"), (7, 0), 0).bits == 0


def test_evenness_is_one_of_equally_frequent_values_and_less_of_others() -> None:
    assert Column("a", ("x", "y", "z"), (5, 5, 5), 0).evenness == pytest.approx(1)
    assert Column("a", ("x", "y"), (99, 1), 0).evenness < 0.1
