"""The feed: every sample of an epoch exactly once, the same after a restart, the same over workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest

from diffusegae.checkpoint import Position
from diffusegae.data.feed import Columns, EmptyFeedError, Feed, GroupSampler, Sampler, prefetch, sample_rows
from diffusegae.data.order import RowGroup, plan_windows


@dataclass(frozen=True, eq=False)
class ArrayWindow:
    ids: np.ndarray
    table: np.ndarray

    @property
    def num_rows(self) -> int:
        return len(self.ids)

    def labels(self) -> np.ndarray:
        return self.table

    def take(self, rows: np.ndarray) -> Columns:
        return {"id": self.ids[rows]}


class ArraySource:
    """Rows 0..n-1 in windows, in another order every epoch."""

    def __init__(self, num_rows: int, window: int, seed: int = 0) -> None:
        self.groups = [RowGroup("s", i, min(5, num_rows - i * 5)) for i in range(-(-num_rows // 5))]
        self.window, self.seed = window, seed

    def windows(self, epoch: int, first: int) -> Iterator[ArrayWindow]:
        for groups in plan_windows(self.groups, self.window, self.seed, epoch)[first:]:
            ids = np.concatenate([np.arange(g.index * 5, g.index * 5 + g.num_rows) for g in groups])
            yield ArrayWindow(ids, np.stack([ids % 3, ids // 3 % 4, ids // 12 % 3], axis=1))


def take(
    count: int,
    *,
    start: Position | None = None,
    sampler: Sampler = sample_rows,
    window: int = 20,
    batch_size: int = 8,
    rank: int = 0,
    world_size: int = 1,
    num_rows: int = 53,
) -> list[tuple[list[int], Position]]:
    feed = Feed(ArraySource(num_rows, window), sampler, batch_size=batch_size, seed=0, rank=rank, world_size=world_size)
    batches = islice(feed.batches(start or Position()), count)
    return [(batch.columns["id"].tolist(), batch.position) for batch in batches]


@pytest.mark.parametrize("window", [20, 1000])
def test_every_row_of_an_epoch_is_used_exactly_once(window: int) -> None:
    ids = [row for batch, _ in take(53, window=window) for row in batch]
    for epoch in range(8):
        assert sorted(ids[epoch * 53 : (epoch + 1) * 53]) == list(range(53))
    assert ids[:53] != ids[53:106]


@pytest.mark.parametrize("window", [20, 1000])
@pytest.mark.parametrize("sampler", [sample_rows, GroupSampler(1)])
def test_a_feed_started_anywhere_goes_on_as_the_first_would_have(window: int, sampler: Sampler) -> None:
    straight = take(30, window=window, sampler=sampler)
    for cut in (1, 5, 7, 19):
        rest = take(30 - cut, start=straight[cut - 1][1], window=window, sampler=sampler)
        assert rest == straight[cut:]


@pytest.mark.parametrize("world_size", [2, 4])
def test_workers_share_each_global_batch(world_size: int) -> None:
    whole = take(20)
    shares = [take(20, rank=rank, world_size=world_size) for rank in range(world_size)]
    for number, (ids, position) in enumerate(whole):
        assert [row for share in shares for row in share[number][0]] == ids
        assert {share[number][1] for share in shares} == {position}


def test_groups_share_exactly_one_attribute_with_their_centre() -> None:
    for ids, _ in take(10, sampler=GroupSampler(1), window=1000):
        members = np.array(ids).reshape(-1, 4)
        labels = np.stack([members % 3, members // 3 % 4, members // 12 % 3], axis=-1)
        agree = labels[:, 1:] == labels[:, :1]
        assert (agree == np.eye(3, dtype=bool)).all()


def test_a_set_without_any_group_says_so() -> None:
    with pytest.raises(EmptyFeedError, match="no GROUP whose partners share exactly"):
        take(1, sampler=GroupSampler(1), num_rows=1)


def test_prefetch_keeps_order_and_hands_errors_on() -> None:
    assert list(prefetch(iter(range(20)), depth=3)) == list(range(20))

    def failing() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    items = prefetch(failing(), depth=2)
    assert next(items) == 1
    with pytest.raises(OSError, match="disk"):
        next(items)
