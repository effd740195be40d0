"""The feed of a training run: global batches of samples in the order of `data/order.py`, this worker's share of each.

A sample is a row of indices into a window: one index for an image, 1 + subsets for a GROUP. Batches run on across the
ends of windows and epochs, so every sample of an epoch is used exactly once. A batch carries the positions after it; a
feed started there yields exactly the batches that would have followed, whatever the number of workers.
"""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Float, Int

from diffusegae.checkpoint import Position
from diffusegae.data.groups import GroupIndex, Partners
from diffusegae.data.order import ROW_ORDER, Lane, generator_for
from diffusegae.data.records import MISSING

logger = logging.getLogger(__name__)
Columns = dict[str, np.ndarray]
ENOUGH_EXACT = 0.5  # the share of rows with exact partners from which "auto" takes them


@runtime_checkable
class Window(Protocol):
    """Rows that are held together: what shuffling and GROUP planning see."""

    @property
    def num_rows(self) -> int:
        """Rows held."""

    def labels(self) -> Int[np.ndarray, "rows attributes"]:
        """Return the GROUP labels of all rows."""

    def take(self, rows: Int[np.ndarray, " count"]) -> Columns:
        """Return the columns of the given rows, in their order."""


@runtime_checkable
class WindowSource(Protocol):
    """Where windows come from."""

    def windows(self, epoch: int, first: int) -> Iterator[Window]:
        """Yield the windows of an epoch, from number `first` on."""


# (window, generator) -> the window's samples as rows of indices, in the order in which they are used
Sampler = Callable[[Window, np.random.Generator], Int[np.ndarray, "samples members"]]


def sample_rows(window: Window, generator: np.random.Generator) -> Int[np.ndarray, "samples 1"]:
    """Take every row once."""
    return generator.permutation(window.num_rows)[:, None]


class NamedSampler:
    """Take every row once that lacks no label and shows only values that go by name: the others teach no classifier.

    `named` says of some columns of the window's labels which those are.
    """

    def __init__(self, named: Mapping[int, Int[np.ndarray, "_"]]) -> None:
        self._named = named

    def __call__(self, window: Window, generator: np.random.Generator) -> Int[np.ndarray, "samples 1"]:
        """Take them in random order."""
        labels = window.labels()
        kept = (labels != MISSING).all(axis=1)
        for column, named in self._named.items():
            kept &= np.isin(labels[:, column], named)
        return generator.permutation(np.flatnonzero(kept))[:, None]


class GroupSampler:
    """Take rows as the centres of GROUP(C, shared); counts the centres that have no partner.

    Without `balance` every row is a centre once; with it, rows are drawn so that rare values come more often.
    """

    def __init__(self, shared: int, partners: Partners | Literal["auto"] = "exact", balance: float = 0.0) -> None:
        self.shared, self.partners, self.balance = shared, partners, balance
        self.num_without_partner = 0
        self._indexed: WeakKeyDictionary[Window, tuple[GroupIndex, Float[np.ndarray, " rows"] | None]] = (
            WeakKeyDictionary()
        )

    def __call__(self, window: Window, generator: np.random.Generator) -> Int[np.ndarray, "samples members"]:
        """Plan one window's GROUPs; a window that comes again is not indexed again."""
        if window not in self._indexed:
            labels = window.labels()
            shares = balanced_shares(labels, self.balance) if self.balance else None
            self._indexed[window] = (index_groups(labels, self.shared, self.partners), shares)
        index, shares = self._indexed[window]
        rows = window.num_rows
        centres = generator.permutation(rows) if shares is None else generator.choice(rows, rows, p=shares)
        plan = index.plan(centres, generator)
        self.num_without_partner += plan.num_without_partner
        return plan.members


def index_groups(
    labels: Int[np.ndarray, "rows attributes"], shared: int, partners: Partners | Literal["auto"]
) -> GroupIndex:
    """Prepare a label table; "auto" wants exact partners and takes sharing ones where most rows have no exact one."""
    index = GroupIndex(labels, shared, "exact" if partners == "auto" else partners)
    if partners != "auto" or not len(labels):
        return index
    found = float(index.has_group(np.arange(len(labels))).mean())
    if found >= ENOUGH_EXACT:
        return index
    logger.warning(
        "only %.0f %% of the rows have partners that share %d attribute(s) and differ in all others, so partners may"
        " share more by chance (partners: sharing): attributes that go together may not come apart",
        100 * found,
        shared,
    )
    return GroupIndex(labels, shared, "sharing")


def balanced_shares(labels: Int[np.ndarray, "rows attributes"], balance: float) -> Float[np.ndarray, " rows"]:
    """Return the share of each row among centres: the product of its values' frequencies to the power of -balance.

    A missing label counts as a value of mean frequency.
    """
    logs = np.zeros(len(labels))
    for column in labels.T:
        _, codes, counts = np.unique(column, return_inverse=True, return_counts=True)
        own = -balance * np.log(counts[codes])
        lacking = column == MISSING
        logs += np.where(lacking, own[~lacking].mean() if not lacking.all() else 0.0, own)
    weights = np.exp(logs - logs.max())
    shares: Float[np.ndarray, " rows"] = weights / weights.sum()
    return shares


@dataclass(frozen=True)
class FeedBatch:
    """A worker's share of a global batch: columns of [samples x members] rows, and where its lanes stand after it."""

    columns: Columns
    num_samples: int
    num_members: int
    positions: dict[int, Position]


@dataclass(frozen=True)
class _Planned:
    """Samples that are planned but not yet used: a window, its remaining samples, and where they stand."""

    window: Window
    samples: Int[np.ndarray, "samples members"]
    position: Position

    def split(self, count: int) -> tuple["_Planned", "_Planned"]:
        later = self.position.model_copy(update={"offset": self.position.offset + count})
        return (
            _Planned(self.window, self.samples[:count], self.position),
            _Planned(self.window, self.samples[count:], later),
        )


class EmptyFeedError(RuntimeError):
    """No window of an epoch yields a sample."""


class LaneFeed:
    """Takes the samples of one lane in their order, for ever, from any position."""

    def __init__(self, source: WindowSource, sampler: Sampler, lane: Lane, seed: int, start: Position) -> None:
        self.source, self.sampler, self.lane, self.seed = source, sampler, lane, seed
        self.position = start  # of the next sample
        self._planned = self._plan(start)
        self._waiting: deque[_Planned] = deque()

    def take(self, count: int) -> list[_Planned]:
        """Take the next samples; they may run on across the ends of windows and epochs."""
        while sum(len(entry.samples) for entry in self._waiting) < count:
            self._waiting.append(next(self._planned))
        pieces: list[_Planned] = []
        while count:
            head, tail = self._waiting.popleft().split(count)
            pieces.append(head)
            count -= len(head.samples)
            if len(tail.samples) or not count:
                self._waiting.appendleft(tail)
        self.position = self._waiting[0].position
        return pieces

    def _plan(self, start: Position) -> Iterator[_Planned]:
        """Yield planned windows of all epochs; the first loses what lies before the start."""
        epoch, first, offset = start.epoch, start.window, start.offset
        while True:
            found = 0
            for number, window in enumerate(self.source.windows(epoch, first), start=first):
                place = generator_for(self.seed, ROW_ORDER, epoch, number, *self.lane.place)
                samples = self.sampler(window, place)
                found += len(samples)
                yield _Planned(window, samples[offset:], Position(epoch=epoch, window=number, offset=offset))
                offset = 0
            if not found and not first:
                raise EmptyFeedError(
                    "an epoch has no sample: no training row, or no GROUP whose partners share exactly the asked"
                    " attributes. Ingest more images, lower data.lanes or leave an attribute out of data.attributes"
                )
            epoch, first = epoch + 1, 0


class Feed:
    """Yields this worker's share of global batches, for ever, from any position; it reads the lanes of its share."""

    def __init__(
        self,
        sources: Sequence[WindowSource],
        sampler: Sampler,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.sources, self.sampler, self.batch_size, self.seed = sources, sampler, batch_size, seed
        self.share = Lane(rank, world_size).share(batch_size)

    def batches(self, starts: Sequence[Position] = ()) -> Iterator[FeedBatch]:
        """Yield batches from the lanes' positions on, from the beginning if none are given."""
        lanes = self._open(starts or [Position()] * len(self.sources))
        while True:
            pieces = [piece for feed, count, mine in lanes for piece in _cut(feed.take(count), mine)]
            columns = [piece.window.take(piece.samples.reshape(-1)) for piece in pieces]
            yield FeedBatch(
                columns={name: np.concatenate([part[name] for part in columns]) for name in columns[0]},
                num_samples=sum(len(piece.samples) for piece in pieces),
                num_members=pieces[0].samples.shape[1],
                positions={feed.lane.number: feed.position for feed, _, _ in lanes},
            )

    def _open(self, starts: Sequence[Position]) -> list[tuple[LaneFeed, int, slice]]:
        """Return the lanes of this worker's share, each with its samples per batch and the part that is taken."""
        opened = []
        for number, source in enumerate(self.sources):
            lane = Lane(number, len(self.sources))
            of_batch = lane.share(self.batch_size)
            mine = slice(max(self.share.start, of_batch.start), min(self.share.stop, of_batch.stop))
            if mine.start < mine.stop:
                feed = LaneFeed(source, self.sampler, lane, self.seed, starts[number])
                taken = slice(mine.start - of_batch.start, mine.stop - of_batch.start)
                opened.append((feed, of_batch.stop - of_batch.start, taken))
        return opened


def _cut(pieces: list[_Planned], share: slice) -> list[_Planned]:
    """Cut a worker's share out of what a lane gives to a global batch."""
    result, begin = [], 0
    for piece in pieces:
        cut = piece.samples[max(share.start - begin, 0) : max(share.stop - begin, 0)]
        begin += len(piece.samples)
        if len(cut):
            result.append(_Planned(piece.window, cut, piece.position))
    return result


Item = TypeVar("Item")


def prefetch(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """Draw items ahead of their use in a thread, at most `depth` of them; an error arrives where the item would."""
    ready: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def offer(entry: tuple[Item | None, BaseException | None]) -> None:
        while not stopped.is_set():
            try:
                return ready.put(entry, timeout=0.2)
            except queue.Full:
                continue

    def draw() -> None:
        try:
            for item in items:
                if stopped.is_set():
                    return
                offer((item, None))
            offer((None, None))
        except BaseException as error:  # handed to the consumer, which raises it
            offer((None, error))

    threading.Thread(target=draw, name="prefetch", daemon=True).start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stopped.set()
