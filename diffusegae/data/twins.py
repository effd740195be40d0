"""Twins: held-out pictures that training shows, too, as they are or nearly so.

A near twin differs in at most NEAR_BITS of the outline's 64 bits, and in no colour by more than a step. The outline is
cut into five bands; of a near twin at least two of them are equal. So training's outlines are sorted ten times, each
time with other two bands in front, and a held-out one is compared with its neighbours in each order. A last order is by
colour, for plain pictures, whose outlines are all the same. Where very many look alike, the neighbours looked at may
not be the nearest; none is called a twin that is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Int8, Int64, UInt64

from diffusegae.data.prints import Prints, same_colours

NEAR_BITS = 3
_BANDS = (13, 13, 13, 13, 12)  # bits
_NEIGHBOURS = 8  # looked at in each order
_BLOCK = 1 << 22  # training rows that are sorted at a time, which bounds the memory
_NONE = -1


@dataclass(frozen=True)
class Twins:
    """For each held-out row the training row that is its twin; -1 where there is none."""

    row: Int64[np.ndarray, " held"]
    is_copy: Bool[np.ndarray, " held"]

    @property
    def is_near(self) -> Bool[np.ndarray, " held"]:
        """Which have a twin that is no copy."""
        return np.asarray((self.row != _NONE) & ~self.is_copy)


def count_copies(prints: Prints) -> int:
    """Return how many rows are copies of others, one of each kind not counted."""
    ordered = np.sort(prints.copy)  # far quicker than np.unique of so many
    return int((ordered[1:] == ordered[:-1]).sum())


def find_twins(train: Prints, held: Prints) -> Twins:
    """Find the twin of each held-out picture among the training pictures: a copy if there is one, else a near one.

    Takes 24 bytes for each row, and some 100 MB more, whatever their number.
    """
    row, is_copy = _find_copies(train.copy, held.copy)
    wanted = np.flatnonzero(~is_copy)
    found, bits = np.full(len(wanted), _NONE, np.int64), np.full(len(wanted), NEAR_BITS + 1, np.int8)
    for start in range(0, len(train), _BLOCK):
        block, sought = train.take(slice(start, start + _BLOCK)), held.take(wanted)
        for keys, own in zip(_orders(block), _orders(sought), strict=True):
            _look_around(block, sought, keys, own, found, bits, start)
    row[wanted] = found
    return Twins(row, is_copy)


def _find_copies(
    train: UInt64[np.ndarray, "_"], held: UInt64[np.ndarray, " held"]
) -> tuple[Int64[np.ndarray, " held"], Bool[np.ndarray, " held"]]:
    if not len(train):
        return np.full(len(held), _NONE, np.int64), np.zeros(len(held), bool)
    order, place = _places(train, held)
    row = order[place.clip(max=len(train) - 1)].astype(np.int64)
    is_copy: Bool[np.ndarray, " held"] = train[row] == held
    return np.where(is_copy, row, _NONE), is_copy


def _orders(prints: Prints) -> Iterator[UInt64[np.ndarray, "_"]]:
    """Yield the numbers to sort by: the outline with every two bands in front, then the colours."""
    shifts = np.cumsum([0, *_BANDS[:-1]]).tolist()
    bands = [
        prints.outline >> np.uint64(shift) & np.uint64((1 << width) - 1)
        for shift, width in zip(shifts, _BANDS, strict=True)
    ]
    for front in combinations(range(len(_BANDS)), 2):
        keys = np.zeros(len(prints), np.uint64)
        for band in (*front, *(other for other in range(len(_BANDS)) if other not in front)):
            keys = keys << np.uint64(_BANDS[band]) | bands[band]
        yield keys
    yield prints.colours


def _look_around(
    train: Prints,
    held: Prints,
    keys: UInt64[np.ndarray, "_"],
    own: UInt64[np.ndarray, " held"],
    found: Int64[np.ndarray, " held"],
    bits: Int8[np.ndarray, " held"],
    start: int,
) -> None:
    """Compare each held-out print with its neighbours in one order; put nearer ones than before into `found`."""
    order, place = _places(keys, own)
    for step in range(-_NEIGHBOURS // 2, _NEIGHBOURS // 2):
        row = order[(place + step).clip(0, len(order) - 1)]
        differing = np.bitwise_count(train.outline[row] ^ held.outline).astype(np.int8)
        nearer = np.flatnonzero(differing < bits)
        nearer = nearer[same_colours(train.colours[row[nearer]], held.colours[nearer])]
        found[nearer], bits[nearer] = row[nearer] + start, differing[nearer]


def _places(
    keys: UInt64[np.ndarray, "_"], own: UInt64[np.ndarray, " held"]
) -> tuple[Int64[np.ndarray, "_"], Int64[np.ndarray, " held"]]:
    """Return the order of the keys, and where in it each of `own` belongs."""
    order, wanted = np.argsort(keys), np.argsort(own)
    place = np.empty(len(own), np.int64)
    place[wanted] = np.searchsorted(keys[order], own[wanted])  # sorted, which is many times quicker
    return order, place
