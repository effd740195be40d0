"""Ray Data: the one place where data sets are streamed over a cluster."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray.data

from diffusegae.data.order import WHOLE_SET, Lane, RowGroup, cut_lane, plan_windows
from diffusegae.data.records import IMAGE, LATENT, PIXELS
from diffusegae.data.windows import (
    TableWindow,
    decode_rows,
    list_image_row_groups,
    list_latent_row_groups,
    read_row_group,
)

_WINDOW = "\0window"  # no label column is called so
_READ_THREADS = 8

_Batch = Mapping[str, npt.NDArray[np.int64]]


def run_units(units: Sequence[int], work: Callable[[int], int]) -> Iterator[int]:
    """Do restartable units of work on all CPUs of the cluster; yield what each returned, as they are done."""
    if not units:
        return
    _be_quiet()
    items = ray.data.from_items([{"unit": unit} for unit in units], override_num_blocks=len(units))
    done = items.map_batches(partial(_run_batch, work), batch_size=1)
    for row in done.iter_rows():
        yield int(row["result"])


def _run_batch(work: Callable[[int], int], batch: _Batch) -> dict[str, npt.NDArray[np.int64]]:
    return {"result": np.array([work(int(unit)) for unit in batch["unit"]], np.int64)}


def _be_quiet() -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def run_actors(
    units: Sequence[int], worker: Callable[[], Callable[[int], int]], count: int, num_gpus: float
) -> Iterator[int]:
    """Do restartable units of work in `count` actors that each build their worker once; yield what each returned."""
    if not units:
        return
    _be_quiet()
    items = ray.data.from_items([{"unit": unit} for unit in units], override_num_blocks=len(units))
    done = items.map_batches(
        _ActorWork,
        fn_constructor_args=(worker,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=count),
        num_gpus=num_gpus or None,
    )
    for row in done.iter_rows():
        yield int(row["result"])


class _ActorWork:
    def __init__(self, worker: Callable[[], Callable[[int], int]]) -> None:
        self._work = worker()

    def __call__(self, batch: _Batch) -> dict[str, npt.NDArray[np.int64]]:
        return _run_batch(self._work, batch)


@dataclass(frozen=True)
class Reading:
    """What is read of every row, and by which tasks.

    `payload` names the columns that batches consist of: IMAGE (encoded), LATENT, KEY, or PIXELS (uint8 [rows, H*W*3]),
    which are decoded where rows are read, so that CPU nodes decode while others train. `resources` are custom resources
    that a reading task asks for, to keep it on nodes that offer them.
    """

    payload: tuple[str, ...]
    labels: tuple[str, ...]
    held_out: bool = False
    image_size: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The stored columns that this takes."""
        stored = [IMAGE if name == PIXELS else name for name in self.payload]
        return list(dict.fromkeys([*stored, *self.labels]))


class StoredWindows:
    """The windows of one lane of a stored data set, in an epoch's order; one that fits a window is read once and kept.

    `window_rows` counts the rows that all lanes together hold at a time.
    """

    def __init__(
        self, row_groups: Sequence[RowGroup], reading: Reading, *, window_rows: int, seed: int, lane: Lane = WHOLE_SET
    ) -> None:
        self._row_groups, self._reading, self._lane = cut_lane(row_groups, lane, seed), reading, lane
        self._window_rows, self._seed = max(1, window_rows // lane.count), seed
        self._kept: TableWindow | None = None

    def windows(self, epoch: int, first: int) -> Iterator[TableWindow]:
        """Yield the windows of an epoch, from number `first` on."""
        if self._kept is not None:
            yield from [self._kept][first:]
            return
        plan = plan_windows(self._row_groups, self._window_rows, self._seed, epoch, self._lane)
        if len(plan) == 1 and not first and PIXELS not in self._reading.payload:
            if tables := _read_at_once(plan[0], self._reading):
                self._kept = self._window(tables)
                yield self._kept
            return
        for window in self._read(plan[first:]):
            if len(plan) == 1:
                self._kept = window
            yield window

    def _read(self, plan: Sequence[Sequence[RowGroup]]) -> Iterator[TableWindow]:
        """Stream row groups through Ray Data in the planned order and put them together by window."""
        pending: list[pa.Table] = []
        current = 0
        for table in _stream_row_groups(plan, self._reading):
            number = int(table[_WINDOW][0].as_py())
            if number != current:
                yield self._window(pending)
                pending, current = [], number
            pending.append(table)
        if pending:
            yield self._window(pending)

    def _window(self, tables: Sequence[pa.Table]) -> TableWindow:
        return TableWindow(pa.concat_tables(tables), self._reading.payload, self._reading.labels)


def open_lanes(uri: str, reading: Reading, *, window_rows: int, seed: int, lanes: int = 1) -> list[StoredWindows]:
    """Open the lanes of a stored set, of latents if the reading takes them, else of images; nothing is read yet.

    Raises:
        LaneError: there are more lanes than row groups.
    """
    groups = list_latent_row_groups(uri) if LATENT in reading.payload else list_image_row_groups(uri)
    return [
        StoredWindows(groups, reading, window_rows=window_rows, seed=seed, lane=Lane(number, lanes))
        for number in range(lanes)
    ]


def _read_at_once(groups: Sequence[RowGroup], reading: Reading) -> list[pa.Table]:
    """Read the row groups of a set that is read once, by threads: starting tasks would take longer than reading."""
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        read = pool.map(
            lambda group: read_row_group(group.path, group.index, reading.columns, reading.held_out), groups
        )
        return [table for table in read if table.num_rows]


def _stream_row_groups(plan: Sequence[Sequence[RowGroup]], reading: Reading) -> Iterator[pa.Table]:
    """Yield the rows of planned row groups in order, each with the number of its window."""
    _be_quiet()
    items = [
        {"path": group.path, "index": group.index, _WINDOW: number}
        for number, window in enumerate(plan)
        for group in window
    ]
    dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        partial(_read_row_groups, reading), batch_size=1, resources=dict(reading.resources) or None
    )
    dataset.context.execution_options.preserve_order = True
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
        if isinstance(table, pa.Table) and table.num_rows:
            yield table


def _read_row_groups(reading: Reading, batch: Mapping[str, npt.NDArray[np.object_]]) -> pa.Table:
    tables = []
    for path, index, window in zip(batch["path"], batch["index"], batch[_WINDOW], strict=True):
        table = read_row_group(str(path), int(index), reading.columns, reading.held_out)
        if PIXELS in reading.payload:
            table = decode_rows(table, reading.image_size)
        tables.append(table.append_column(_WINDOW, pa.array(np.full(table.num_rows, window, np.int32))))
    return pa.concat_tables(tables)
