"""The loop that every training worker runs, whatever the stage: restore, step, report, checkpoint.

It runs inside Ray Train; everything it needs arrives as plain data in a TrainingJob, and it reads neither the
environment nor globals.
"""

import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import ray.train
import ray.train.collective
import ray.train.torch
import torch
import torch.distributed
from ray.train import CheckpointUploadMode
from torch import nn

from diffusegae import storage
from diffusegae.checkpoint import (
    META,
    CheckpointMeta,
    Position,
    furthest_checkpoint,
    read_meta,
    read_tensors,
    save_checkpoint,
)
from diffusegae.data.feed import FeedBatch, GroupSampler
from diffusegae.data.records import KEY
from diffusegae.editing.shard_encoder import local_checkpoint
from diffusegae.forecast import Forecast, format_seconds
from diffusegae.training.job import TrainingJob, stage_inputs
from diffusegae.training.journal import Journal
from diffusegae.training.meter import Meter
from diffusegae.training.parallel import ddp_options, send_as_bfloat16
from diffusegae.training.save_clock import SaveClock
from diffusegae.training.source import WorkerFeed
from diffusegae.training.stages import Stage
from diffusegae.training.step import Averages, TrainingError, TrainingState
from diffusegae.training.table import STAGES
from diffusegae.training.threads import adaptive_waiting
from diffusegae.training.workload import stage_samples

logger = logging.getLogger(__name__)

RUN = "run"  # Ray Train's folder in the stage's
STEPS_BETWEEN_NOTICES = 10  # asking for a notice of preemption is a round trip of all workers
STEPS_BEFORE_CHECK = 5  # zero-initialised layers pass no gradient at first


@runtime_checkable
class RunLog(Protocol):
    """Where metrics and pictures go; tracking.runs.RunLogger is one."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write the metrics of one step."""

    def log_image(self, pixels: np.ndarray, path: str) -> None:
        """Store a picture."""

    def close(self) -> None:
        """End what goes on beside the caller."""


def train(payload: dict[str, Any]) -> None:
    """Train one stage to its end; Ray Train calls it on every worker."""
    started = time.monotonic()
    _be_quiet()
    job = TrainingJob.model_validate(payload)
    torch.set_num_threads(max(1, int(job.config.resources.cpus_per_worker)))
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    with _latest_checkpoint(job, rank, world_size) as folder:
        meta = read_meta(folder) if folder is not None else None
        source = WorkerFeed(job, ray.train.torch.get_device(), rank, world_size)
        positions = list(meta.positions) if meta else [Position()] * job.config.lanes
        batches = source.start(tuple(positions))  # reads while the networks are built
        state = _build_state(job, source)
        if folder is not None and meta is not None:
            state.restore(lambda name: read_tensors(folder, name), meta.samples_seen)
    name, counts = job.stage, state.stage.model.parameter_counts()
    logger.info(
        "%s: %s parameters, %d workers, starts at sample %d", name, counts, state.world_size, state.samples_seen
    )
    with adaptive_waiting(source.device):
        _Loop(job, state, source, positions, started, meta.seconds if meta else 0.0).run(batches)


def _be_quiet() -> None:
    """Leave this job's own lines in its log: Ray Train tells every report again, by a logger named after its file."""
    reports = sys.modules["ray.train.v2._internal.execution.context"].__file__ or ""
    for name in ("ray.data", "mlflow.system_metrics", reports):
        logging.getLogger(name).setLevel(logging.WARNING)


def _build_state(job: TrainingJob, source: WorkerFeed) -> TrainingState:
    torch.manual_seed(job.config.seed)
    stage = STAGES[job.stage](stage_inputs(job))
    return TrainingState(stage, source.device, partial(_wrap, job), job.config.seed, source.rank, source.world_size)


def _open_run(job: TrainingJob) -> RunLog:
    """Return the job's run, opened when something is written for the first time."""
    from diffusegae.tracking.runs import RunLogger  # here: importing MLflow takes seconds that a restart would wait for

    run = RunLogger(job.tracking_uri, job.run_id)
    run.watch_system()
    return run


def _wrap(job: TrainingJob, module: nn.Module) -> nn.Module:
    wrapped: nn.Module = ray.train.torch.prepare_model(module, parallel_strategy_kwargs=ddp_options(job.settings))
    return send_as_bfloat16(wrapped) if job.config.resources.compress_gradients else wrapped


@contextmanager
def _latest_checkpoint(job: TrainingJob, rank: int, world_size: int) -> Iterator[Path | None]:
    """Give the furthest checkpoint that is stored, the same on all workers; None at the beginning of a run.

    Ray knows of one only some time after it was stored: too late if a node goes as soon as its checkpoint is safe.
    """
    found = [furthest_checkpoint(storage.join(job.folder, RUN)) if rank == 0 else ""]
    if world_size > 1:
        torch.distributed.broadcast_object_list(found)
    if not found[0]:
        yield None
        return
    with local_checkpoint(found[0]) as folder:
        yield folder


def checkpoint_name(samples_seen: int) -> str:
    """Name a checkpoint by its count of samples, so that who saves it again after a death replaces it."""
    return f"checkpoint_{samples_seen:012d}"


def address_of(checkpoint: ray.train.Checkpoint) -> str:
    """Return a checkpoint's URI: Ray gives the path inside its file system."""
    return storage.address(checkpoint.filesystem, checkpoint.path)


class _Loop:
    """One worker's run through the rest of a stage."""

    def __init__(
        self,
        job: TrainingJob,
        state: TrainingState,
        source: WorkerFeed,
        positions: list[Position],
        started: float,
        spent: float,
    ) -> None:
        self.job, self.state, self.source, self.positions = job, state, source, positions
        self.stage: Stage[Any] = state.stage
        self.rank, self.world_size = state.rank, state.world_size
        self.averages, self.meter = Averages(), Meter(state)
        self.started, self.started_at, self.spent = started, state.samples_seen, spent
        self.journal = self._open_journal()
        self.forecast = Forecast(stage_samples(job), job.config.resources.rates.get(job.stage, 0.0))
        self.upload = threading.Lock()  # one at a time, so that a slow store holds training up, not the disk
        tell = ray.train.collective.broadcast_from_rank_zero if self.world_size > 1 else None
        self.clock = SaveClock(60 * self.stage.config.checkpoint_every_minutes, tell)
        self.was_noticed = False

    @cached_property
    def run_logger(self) -> RunLog | None:
        """Where the first worker writes metrics and pictures."""
        return _open_run(self.job) if self.rank == 0 and self.job.run_id else None

    @cached_property
    def held_out(self) -> Any | None:
        """The fixed held-out samples by which every report is measured, None if too few are held out."""
        return self.source.held_out()

    def run(self, batches: Iterator[tuple[Any, FeedBatch]]) -> None:
        """Train until the stage's samples are used up; the last step reports and checkpoints."""
        total, state = self.stage.config.num_samples, self.state
        if state.samples_seen >= total:
            return
        for batch, source in self.meter.waiting(batches):
            if self.journal is not None:
                self.journal.add(state.samples_seen, source.columns[KEY].tolist(), source.num_members)
            self.averages.add(state.step(batch))
            self._tell_progress()
            for lane, position in source.positions.items():
                self.positions[lane] = position
            if state.num_steps == STEPS_BEFORE_CHECK:
                state.check_all_move()
            done = state.samples_seen >= total
            self._save_or_report(done)
            if done:
                self._say(self.forecast.verdict())
                if self.run_logger is not None:
                    self.run_logger.close()
                return

    def _tell_progress(self) -> None:
        """Say when the first step is done, and how long the rest will take once that is known."""
        seen, name = self.state.samples_seen, self.stage.name
        if seen - self.started_at == self.stage.config.batch_size:
            self._say(f"{name}: trains, {time.monotonic() - self.started:.1f} s after the worker started")
        if forecast := self.forecast.advance(seen):
            self._say(forecast)

    def _say(self, text: str) -> None:
        """Write a line to the job's log, once for all workers."""
        if self.rank == 0:
            logger.info(text)

    def _is_noticed(self) -> bool:
        """Tell, once and on all workers alike, that a node of this run is about to be taken away."""
        if self.was_noticed or self.state.num_steps % STEPS_BETWEEN_NOTICES:
            return False
        info = ray.train.get_preemption_info()
        if info is not None:
            self.was_noticed = True
            logger.warning("%s: preemption announced, deadline %s ms; saving now", self.stage.name, info.deadline_ms)
        return self.was_noticed

    def _is_due(self, every: int) -> bool:
        seen, batch = self.state.samples_seen, self.stage.config.batch_size
        return seen // every > (seen - batch) // every

    def _open_journal(self) -> Journal | None:
        if not self.job.config.resources.journal:
            return None
        journal = Journal(storage.join(self.job.folder, "journal"), self.rank)
        if self.rank == 0:
            journal.drop_from(self.state.samples_seen)
        return journal

    def _save_or_report(self, done: bool) -> None:
        """Measure and save where the count of samples asks for it; save, too, where a notice or the clock does.

        What is measured, and so which checkpoint is the best, depends on counts alone.
        """
        is_noticed = self._is_noticed()
        is_timed = self.clock.is_due(self.state.num_steps, is_busy=self.upload.locked())
        by_count = done or self._is_due(self.stage.config.checkpoint_every_samples)
        save, waits = by_count or is_noticed or is_timed, done or is_noticed
        if by_count or self._is_due(self.stage.config.report_every_samples):
            metrics = self._measure(done) if self.rank == 0 else {}
            self._report(metrics if by_count else metrics | self._never_best(), save, waits)
            self.meter.restart()
        elif save:
            self.averages.means_checked()  # nothing unsound is saved
            with self.meter.paused():
                self._report(self._never_best(), save, waits)

    def _measure(self, done: bool) -> dict[str, float]:
        """Return a report's metrics, which the run gets, too, with a picture if one is due."""
        metrics = self._metrics()
        if self.run_logger is not None:
            self.run_logger.log_metrics(metrics, self.state.samples_seen)
            self._paint(done)
        return metrics

    def _never_best(self) -> dict[str, float]:
        best_by = self.stage.config.best_by
        return {f"{self.stage.name}/{best_by}": float("nan")} if best_by else {}

    def _report(self, metrics: Mapping[str, float], save: bool, waits: bool) -> None:
        """Report to Ray Train on every worker, with a checkpoint from the first if one is to be saved."""
        if self.journal is not None:
            self.journal.flush()
        positions = self._all_positions() if save else ()
        ray.train.report(
            {**metrics, "samples_seen": self.state.samples_seen},
            checkpoint=self._save(positions) if save and self.rank == 0 else None,
            checkpoint_dir_name=checkpoint_name(self.state.samples_seen) if save else None,
            checkpoint_upload_mode=CheckpointUploadMode.SYNC if waits else CheckpointUploadMode.ASYNC,
            delete_local_checkpoint_after_upload=False,
            checkpoint_upload_fn=self._publish,
        )
        if save:
            self.clock.restart()

    def _all_positions(self) -> tuple[Position, ...]:
        """Return where every lane stands; each worker knows those that it reads."""
        if self.world_size == 1:
            return tuple(self.positions)
        gathered: list[list[Position]] = [[] for _ in range(self.world_size)]
        torch.distributed.all_gather_object(gathered, self.positions)
        return tuple(max(known, key=lambda p: (p.epoch, p.window, p.offset)) for known in zip(*gathered, strict=True))

    def _save(self, positions: tuple[Position, ...]) -> ray.train.Checkpoint:
        """Write the checkpoint to this node's disk; uploading and deleting it is `_publish`'s."""
        self.upload.acquire()
        folder = tempfile.mkdtemp(dir=os.getcwd(), prefix="checkpoint-")
        save_checkpoint(Path(folder), self._meta(positions), self.state.tensors())
        return ray.train.Checkpoint.from_directory(folder)

    def _publish(self, checkpoint: ray.train.Checkpoint, name: str) -> ray.train.Checkpoint:
        """Move a written checkpoint to the run's storage, in the background while training goes on."""
        try:
            target = storage.join(self.job.folder, RUN, name)
            storage.publish_directory(checkpoint.path, target, META)
        finally:
            self.upload.release()
        filesystem, path = storage.locate(target)
        return ray.train.Checkpoint(path, filesystem)

    def _metrics(self) -> dict[str, float]:
        name, seen, total = self.stage.name, self.state.samples_seen, self.stage.config.num_samples
        left = (total - seen) * (time.monotonic() - self.started) / (seen - self.started_at)
        values = self.averages.drain()  # waits for the device
        values |= self.meter.figures()
        if isinstance(self.source.sampler, GroupSampler):
            values["centres_without_partner"] = float(self.source.sampler.num_without_partner)
        if self.held_out is not None:
            values |= self.state.monitor(self.held_out)
        if self.stage.config.best_by not in ("", *values):
            raise TrainingError(
                f"{name}.best_by={self.stage.config.best_by!r} is not reported; these are: {', '.join(values)}"
            )
        shown = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
        logger.info("%s %d/%d (%.0f%%)  ETA %s  %s", name, seen, total, 100 * seen / total, format_seconds(left), shown)
        return {f"{name}/{key}": value for key, value in values.items()}

    def _paint(self, done: bool) -> None:
        paint = self.stage.paint
        if paint is None or self.held_out is None or self.run_logger is None:
            return
        if done or self._is_due(self.stage.config.grid_every_samples):
            with torch.no_grad():
                pixels = paint(self.state.ema.module, self.held_out)
            self.run_logger.log_image(pixels, f"{self.stage.name}/{self.state.samples_seen:09d}.png")

    def _meta(self, positions: tuple[Position, ...]) -> CheckpointMeta:
        return CheckpointMeta(
            stage=self.stage.name,
            samples_seen=self.state.samples_seen,
            positions=positions,
            seconds=self.spent + time.monotonic() - self.started,
            config=self.job.config,
            attributes=self.job.attributes,
            versions={package: version(package) for package in ("torch", "ray", "diffusegae")},
        )
