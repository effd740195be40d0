"""Associations against what can be counted, and said where they are strong."""

import numpy as np
import pytest

from diffusegae.data.association import Association, find_associations
from diffusegae.data.records import MISSING
from diffusegae.data.splits import Combinations
from diffusegae.schema import AttributeSchema, AttributeSpec, build_schema

NAMES = ("letter", "ink", "size")


def combinations_of(labels: np.ndarray) -> tuple[AttributeSchema, Combinations]:
    """Return distinct rows with their counts, as a source gives them."""
    distinct, counts = np.unique(labels, axis=0, return_counts=True)
    vocabularies = {name: tuple(f"{name}{value}" for value in range(4)) for name in NAMES}
    columns = {name: distinct[:, place].astype(np.int32) for place, name in enumerate(NAMES)}
    schema = build_schema({name: AttributeSpec(width=2) for name in NAMES}, vocabularies)
    return schema, Combinations(vocabularies, columns, counts)


def test_what_follows_is_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    generator = np.random.default_rng(0)
    letter, size = generator.integers(0, 4, 4000), generator.integers(0, 4, 4000)
    ink = np.where(generator.random(4000) < 0.05, (letter + 1) % 4, letter)
    found = find_associations(*combinations_of(np.stack([letter, ink, size], axis=1)))
    assert {(pair.given, pair.follows) for pair in found} == {("letter", "ink"), ("ink", "letter")}
    (one,) = (pair for pair in found if pair.given == "letter")
    assert one.share == pytest.approx((ink == letter).mean())
    assert one.chance == pytest.approx(np.bincount(ink).max() / 4000)
    assert one.strength == pytest.approx(1 - (ink != letter).sum() / (4000 - np.bincount(ink).max()))
    assert f"ink follows from letter in {one.share:.1%} of the images ({one.chance:.0%} by chance)" in caplog.text


def test_one_that_tells_another_need_not_be_told_by_it() -> None:
    generator = np.random.default_rng(1)
    letter, size = generator.integers(0, 4, 1000), generator.integers(0, 4, 1000)
    (pair,) = find_associations(*combinations_of(np.stack([letter, letter // 2, size], axis=1)))
    assert (pair.given, pair.follows, pair.share) == ("letter", "ink", 1.0)
    assert str(pair).startswith("ink follows from letter always: ")


def test_independent_and_missing_labels_follow_from_nothing(caplog: pytest.LogCaptureFixture) -> None:
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 4, (5000, 3))
    labels[generator.random(labels.shape) < 0.5] = MISSING
    labels[labels[:, 0] == MISSING, 1] = 0  # would follow, if a missing label were a value
    assert find_associations(*combinations_of(labels)) == ()
    assert not caplog.records


def test_an_attribute_of_a_single_value_in_these_images_follows_from_nothing() -> None:
    assert Association(given="a", follows="b", share=1.0, chance=1.0).strength == 0
