"""Twins across the split: copies and near ones are found and told apart, and nothing else is."""

import numpy as np
import pytest

from diffusegae.data import twins as twins_module
from diffusegae.data.prints import Prints
from diffusegae.data.twins import NEAR_BITS, count_copies, find_twins

NUM_TRAIN, NUM_HELD = 5000, 800


def random_prints(count: int, seed: int) -> Prints:
    generator = np.random.default_rng(seed)
    numbers = generator.integers(0, 2**63, (3, count)).astype(np.uint64)
    return Prints(numbers[0], numbers[1], numbers[2] & np.uint64((1 << 60) - 1))


def flip(outline: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    for row in range(len(outline)):
        for bit in generator.permutation(64)[:count]:
            outline[row] ^= np.uint64(1) << np.uint64(bit)
    return outline


@pytest.mark.parametrize("block", [1 << 22, 700])
def test_planted_twins_are_found_whatever_bits_differ(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins_module, "_BLOCK", block)
    train, held = random_prints(NUM_TRAIN, 0), random_prints(NUM_HELD, 1)
    generator, sources = np.random.default_rng(2), np.random.default_rng(3).permutation(NUM_TRAIN)[:500]
    held.copy[:50] = train.copy[sources[:50]]
    for kind, (start, bits) in enumerate([(50, 0), (150, 1), (250, NEAR_BITS), (350, NEAR_BITS + 1)]):
        rows, theirs = slice(start, start + 100), sources[start : start + 100]
        held.colours[rows] = train.colours[theirs] if kind else train.colours[theirs] ^ np.uint64(1)  # one step
        held.outline[rows] = flip(train.outline[theirs].copy(), bits, generator)
    other_colours = slice(450, 500)
    held.outline[other_colours] = train.outline[sources[other_colours]]
    found = find_twins(train, held)
    assert np.array_equal(np.flatnonzero(found.is_copy), np.arange(50))
    assert np.array_equal(np.flatnonzero(found.is_near), np.arange(50, 350))
    assert np.array_equal(found.row[:350], sources[:350])
    assert (found.row[350:] == -1).all()


def test_plain_pictures_are_told_apart_by_colour() -> None:
    colours = np.random.default_rng(0).integers(0, 2**60, 4000).astype(np.uint64)
    nothing, own = np.zeros(4000, np.uint64), np.arange(4000, dtype=np.uint64)
    train = Prints(own, nothing, colours)
    held = Prints(own[:300] + np.uint64(10_000), nothing[:300], colours[100:400])
    assert np.array_equal(find_twins(train, held).row, np.arange(100, 400))


def test_of_nothing_there_is_no_twin() -> None:
    nothing, some = random_prints(0, 0), random_prints(3, 1)
    assert find_twins(nothing, some).row.tolist() == [-1] * 3
    assert len(find_twins(some, nothing).row) == 0
    assert count_copies(nothing) == 0


def test_copies_are_counted_but_for_one_of_each_kind() -> None:
    numbers = np.array([5, 7, 5, 5, 9, 7], np.uint64)
    assert count_copies(Prints(numbers, numbers, numbers)) == 3
