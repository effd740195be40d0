"""The order of an epoch: a pure function of (seed, epoch), cut into windows that are shuffled by themselves.

Row groups are permuted over the whole epoch, then cut into windows of about `window_rows` rows; rows are permuted
inside their window. A set that fits one window is thereby shuffled completely. Whoever knows (seed, epoch, window,
offset) can go on from there without reading what came before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOW_ORDER, ROW_ORDER = 0, 1  # which question a generator answers, so that their numbers never meet


@dataclass(frozen=True)
class RowGroup:
    """One row group of one shard: the unit that is read at once."""

    path: str
    index: int
    num_rows: int


def generator_for(seed: int, *place: int) -> np.random.Generator:
    """Return the generator that belongs to a place (purpose, epoch, window …) of a run, and to no other."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=place))


def plan_windows(row_groups: Sequence[RowGroup], window_rows: int, seed: int, epoch: int) -> list[list[RowGroup]]:
    """Cut an epoch's row groups into windows of at least `window_rows` rows (the last may be smaller).

    When all fit one window they keep their stored order, so that the window is the same in every epoch.
    """
    if sum(group.num_rows for group in row_groups) <= window_rows:
        return [list(row_groups)]
    order = generator_for(seed, WINDOW_ORDER, epoch).permutation(len(row_groups))
    windows: list[list[RowGroup]] = [[]]
    filled = 0
    for position in order:
        if filled >= window_rows:
            windows.append([])
            filled = 0
        windows[-1].append(row_groups[position])
        filled += row_groups[position].num_rows
    return windows
