"""Ray Data: the one place where data sets are streamed over a cluster."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray.data

from diffusegae.data.order import RowGroup, plan_windows
from diffusegae.data.records import IMAGE, LATENT
from diffusegae.data.windows import TableWindow, list_image_row_groups, list_latent_row_groups, read_row_group

_WINDOW = "__window__"

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


class StoredWindows:
    """The windows of a stored data set, in an epoch's order; a set that fits one window is read once and kept."""

    def __init__(
        self,
        row_groups: Sequence[RowGroup],
        payload: Sequence[str],
        label_columns: Sequence[str],
        *,
        held_out: bool,
        window_rows: int,
        seed: int,
    ) -> None:
        self._row_groups, self._payload, self._labels = row_groups, payload, label_columns
        self._held_out, self._window_rows, self._seed = held_out, window_rows, seed
        self._kept: TableWindow | None = None

    def windows(self, epoch: int, first: int) -> Iterator[TableWindow]:
        """Yield the windows of an epoch, from number `first` on."""
        if self._kept is not None:
            yield from [self._kept][first:]
            return
        plan = plan_windows(self._row_groups, self._window_rows, self._seed, epoch)
        for window in self._read(plan[first:]):
            if len(plan) == 1:
                self._kept = window
            yield window

    def _read(self, plan: Sequence[Sequence[RowGroup]]) -> Iterator[TableWindow]:
        """Stream row groups through Ray Data in the planned order and put them together by window."""
        columns = [*self._payload, *dict.fromkeys(self._labels)]
        pending: list[pa.Table] = []
        current = 0
        for table in _stream_row_groups(plan, columns, self._held_out):
            number = int(table[_WINDOW][0].as_py())
            if number != current:
                yield self._window(pending)
                pending, current = [], number
            pending.append(table)
        if pending:
            yield self._window(pending)

    def _window(self, tables: Sequence[pa.Table]) -> TableWindow:
        return TableWindow(pa.concat_tables(tables), self._payload, self._labels)


def open_image_windows(
    uri: str, label_columns: Sequence[str], *, held_out: bool, window_rows: int, seed: int
) -> StoredWindows:
    """Open the windows of a data set of images."""
    groups = list_image_row_groups(uri)
    return StoredWindows(groups, (IMAGE,), label_columns, held_out=held_out, window_rows=window_rows, seed=seed)


def open_latent_windows(
    uri: str, label_columns: Sequence[str], *, held_out: bool, window_rows: int, seed: int
) -> StoredWindows:
    """Open the windows of a set of latents."""
    groups = list_latent_row_groups(uri)
    return StoredWindows(groups, (LATENT,), label_columns, held_out=held_out, window_rows=window_rows, seed=seed)


def _stream_row_groups(
    plan: Sequence[Sequence[RowGroup]], columns: Sequence[str], held_out: bool
) -> Iterator[pa.Table]:
    """Yield the rows of planned row groups in order, each with the number of its window."""
    _be_quiet()
    items = [
        {"path": group.path, "index": group.index, _WINDOW: number}
        for number, window in enumerate(plan)
        for group in window
    ]
    dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        partial(_read_row_groups, columns, held_out), batch_size=1
    )
    dataset.context.execution_options.preserve_order = True
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
        if isinstance(table, pa.Table) and table.num_rows:
            yield table


def _read_row_groups(columns: Sequence[str], held_out: bool, batch: Mapping[str, npt.NDArray[np.object_]]) -> pa.Table:
    tables = []
    for path, index, window in zip(batch["path"], batch["index"], batch[_WINDOW], strict=True):
        table = read_row_group(str(path), int(index), columns, held_out)
        tables.append(table.append_column(_WINDOW, pa.array(np.full(table.num_rows, window, np.int32))))
    return pa.concat_tables(tables)
