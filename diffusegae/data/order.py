"""The order of an epoch: a pure function of (seed, epoch), cut into windows that are shuffled by themselves.

Row groups are permuted over the whole epoch, then cut into windows of about `window_rows` rows; rows are permuted
inside their window. A set that fits one window is thereby shuffled completely. Whoever knows (seed, epoch, window,
offset) can go on from there without reading what came before.

A large set is cut into lanes: fixed parts that are read and shuffled by themselves, each of which gives its share of
every global batch. A worker reads the lanes of its share alone, and the lanes, not the workers, decide what a batch
holds, so any number of workers trains on the same batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOW_ORDER, ROW_ORDER, LANE_ORDER = 0, 1, 2  # which question a generator answers, so that their numbers never meet


@dataclass(frozen=True)
class RowGroup:
    """One row group of one shard: the unit that is read at once."""

    path: str
    index: int
    num_rows: int


class LaneError(ValueError):
    """More lanes than a set has row groups."""


@dataclass(frozen=True)
class Lane:
    """One of `count` fixed parts of a data set."""

    number: int = 0
    count: int = 1

    @property
    def place(self) -> tuple[int, ...]:
        """What sets its generators apart from those of other lanes."""
        return (self.number,) if self.count > 1 else ()

    def share(self, batch_size: int) -> slice:
        """Return which samples of a global batch come from this lane."""
        return slice(self.number * batch_size // self.count, (self.number + 1) * batch_size // self.count)


WHOLE_SET = Lane()


def generator_for(seed: int, *place: int) -> np.random.Generator:
    """Return the generator that belongs to a place (purpose, epoch, window …) of a run, and to no other."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=place))


def cut_lane(row_groups: Sequence[RowGroup], lane: Lane, seed: int) -> list[RowGroup]:
    """Return the row groups of a lane, drawn once for the whole run; LaneError if there are fewer than lanes."""
    if lane.count == 1:
        return list(row_groups)
    if len(row_groups) < lane.count:
        raise LaneError(
            f"data.lanes={lane.count}, but the set has {len(row_groups)} row groups, and a lane needs one; lower it"
        )
    order = generator_for(seed, LANE_ORDER).permutation(len(row_groups))
    return [row_groups[position] for position in order[lane.number :: lane.count]]


def plan_windows(
    row_groups: Sequence[RowGroup], window_rows: int, seed: int, epoch: int, lane: Lane = WHOLE_SET
) -> list[list[RowGroup]]:
    """Cut an epoch's row groups into windows of at least `window_rows` rows (the last may be smaller).

    When all fit one window they keep their stored order, so that the window is the same in every epoch.
    """
    if sum(group.num_rows for group in row_groups) <= window_rows:
        return [list(row_groups)]
    order = generator_for(seed, WINDOW_ORDER, epoch, *lane.place).permutation(len(row_groups))
    windows: list[list[RowGroup]] = [[]]
    filled = 0
    for position in order:
        if filled >= window_rows:
            windows.append([])
            filled = 0
        windows[-1].append(row_groups[position])
        filled += row_groups[position].num_rows
    return windows
