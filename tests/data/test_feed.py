"""The feed: every sample of an epoch exactly once, the same after a restart, the same over workers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest

from diffusegae.checkpoint import Position
from diffusegae.data.feed import (
    Columns,
    EmptyFeedError,
    Feed,
    GroupSampler,
    NamedSampler,
    Sampler,
    prefetch,
    sample_rows,
)
from diffusegae.data.order import WHOLE_SET, Lane, RowGroup, cut_lane, plan_windows
from diffusegae.data.records import MISSING


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

    def __init__(self, num_rows: int, window: int, lane: Lane = WHOLE_SET) -> None:
        groups = [RowGroup("s", i, min(5, num_rows - i * 5)) for i in range(-(-num_rows // 5))]
        self.groups, self.window, self.lane = cut_lane(groups, lane, 0), window, lane

    def windows(self, epoch: int, first: int) -> Iterator[ArrayWindow]:
        for groups in plan_windows(self.groups, self.window, 0, epoch, self.lane)[first:]:
            ids = np.concatenate([np.arange(g.index * 5, g.index * 5 + g.num_rows) for g in groups])
            yield ArrayWindow(ids, np.stack([ids % 3, ids // 3 % 4, ids // 12 % 3], axis=1))


def take(
    count: int,
    *,
    starts: Sequence[Position] = (),
    sampler: Sampler = sample_rows,
    window: int = 20,
    batch_size: int = 8,
    rank: int = 0,
    world_size: int = 1,
    num_rows: int = 53,
    lanes: int = 1,
) -> list[tuple[list[int], dict[int, Position]]]:
    sources = [ArraySource(num_rows, window, Lane(number, lanes)) for number in range(lanes)]
    feed = Feed(sources, sampler, batch_size=batch_size, seed=0, rank=rank, world_size=world_size)
    return [(batch.columns["id"].tolist(), batch.positions) for batch in islice(feed.batches(starts), count)]


@pytest.mark.parametrize("window", [20, 1000])
def test_every_row_of_an_epoch_is_used_exactly_once(window: int) -> None:
    ids = [row for batch, _ in take(53, window=window) for row in batch]
    for epoch in range(8):
        assert sorted(ids[epoch * 53 : (epoch + 1) * 53]) == list(range(53))
    assert ids[:53] != ids[53:106]


@pytest.mark.parametrize("lanes", [2, 3])
def test_every_lane_uses_each_of_its_rows_once_per_epoch_of_its_own(lanes: int) -> None:
    batches = [ids for ids, _ in take(60, lanes=lanes, num_rows=60, batch_size=lanes * 2)]
    for lane in range(lanes):
        ids = [row for batch in batches for row in batch[lane * 2 : lane * 2 + 2]]
        per_epoch = 60 // lanes
        for epoch in range(len(ids) // per_epoch):
            assert len(set(ids[epoch * per_epoch : (epoch + 1) * per_epoch])) == per_epoch
    assert sorted(row for batch in batches[: 60 // lanes // 2] for row in batch) == list(range(60))


@pytest.mark.parametrize(("window", "lanes"), [(20, 1), (1000, 1), (20, 3)])
@pytest.mark.parametrize("sampler", [sample_rows, GroupSampler(1)])
def test_a_feed_started_anywhere_goes_on_as_the_first_would_have(window: int, lanes: int, sampler: Sampler) -> None:
    straight = take(30, window=window, sampler=sampler, lanes=lanes)
    for cut in (1, 5, 7, 19):
        starts = [straight[cut - 1][1][lane] for lane in range(lanes)]
        rest = take(30 - cut, starts=starts, window=window, sampler=sampler, lanes=lanes)
        assert rest == straight[cut:]


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("world_size", [2, 3, 8])
def test_any_number_of_workers_shares_the_same_global_batches(world_size: int, lanes: int) -> None:
    whole = take(20, lanes=lanes)
    shares = [take(20, rank=rank, world_size=world_size, lanes=lanes) for rank in range(world_size)]
    for number, (ids, positions) in enumerate(whole):
        assert [row for share in shares for row in share[number][0]] == ids
        held: dict[int, Position] = {}
        for share in shares:
            held |= share[number][1]
        assert held == positions


def test_a_worker_reads_the_lanes_of_its_share_alone() -> None:
    for rank in range(4):
        assert set(take(1, rank=rank, world_size=4, lanes=8)[0][1]) == {2 * rank, 2 * rank + 1}


def test_groups_share_exactly_one_attribute_with_their_centre() -> None:
    for ids, _ in take(10, sampler=GroupSampler(1), window=1000):
        members = np.array(ids).reshape(-1, 4)
        labels = np.stack([members % 3, members // 3 % 4, members // 12 % 3], axis=-1)
        agree = labels[:, 1:] == labels[:, :1]
        assert (agree == np.eye(3, dtype=bool)).all()


def test_labelled_samples_leave_out_rows_that_lack_a_label() -> None:
    ids = np.arange(60)
    labels = np.stack([ids % 3, np.where(ids % 5 == 0, MISSING, 1)], axis=1)
    samples = NamedSampler({})(ArrayWindow(ids, labels), np.random.default_rng(0))
    assert sorted(samples[:, 0].tolist()) == [row for row in range(60) if row % 5]
    samples = NamedSampler({0: np.array([0, 2])})(ArrayWindow(ids, labels), np.random.default_rng(0))
    assert sorted(samples[:, 0].tolist()) == [row for row in range(60) if row % 5 and row % 3 != 1]


def test_auto_takes_exact_partners_where_most_rows_have_them_and_else_sharing_ones_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids = np.arange(240)
    factorial = np.stack([ids % 3, ids // 3 % 4, ids // 12 % 3], axis=1)
    together = np.stack([ids % 3, ids % 3, ids // 12 % 3], axis=1)
    for labels, partners in ((factorial, "exact"), (together, "sharing")):
        chosen, asked = (
            GroupSampler(1, kind)(ArrayWindow(ids, labels), np.random.default_rng(0)) for kind in ("auto", partners)
        )
        assert chosen.tolist() == asked.tolist()
        assert len(chosen) == 240
        assert bool(caplog.records) == (partners == "sharing")
    assert "only 0 % of the rows have partners that share 1 attribute(s) and differ in all others" in caplog.text


def test_balance_makes_rare_values_as_often_centres_as_frequent_ones() -> None:
    generator = np.random.default_rng(0)
    labels = np.stack([generator.choice(4, 4000, p=[0.9, 0.07, 0.02, 0.01]), generator.choice(2, 4000)], axis=1)
    labels[generator.random(4000) < 0.3, 1] = MISSING
    for balance, expected in ((1.0, [0.25] * 4), (0.0, [0.9, 0.07, 0.02, 0.01])):
        window = ArrayWindow(np.arange(4000), labels)
        centres = GroupSampler(1, "sharing", balance)(window, np.random.default_rng(1))[:, 0]
        assert len(centres) == 4000
        shares = np.bincount(labels[centres, 0], minlength=4) / 4000
        assert shares == pytest.approx(expected, abs=0.03)
        assert (labels[centres, 1] == MISSING).mean() == pytest.approx(0.3, abs=0.06)  # of 40 rows with a rare value


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
