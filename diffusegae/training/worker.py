"""The loop that every training worker runs, whatever the stage: restore, step, report, checkpoint.

It runs inside Ray Train; everything it needs arrives as plain data in a TrainingJob, and it reads neither the
environment nor globals.
"""

import logging
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import ray.train.torch
import torch
from safetensors.torch import load
from torch import Tensor, nn

from diffusegae import storage
from diffusegae.checkpoint import CheckpointMeta, Position, read_meta, read_tensors, save_checkpoint
from diffusegae.config.base import Config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.feed import EmptyFeedError, Feed, FeedBatch, GroupSampler, Sampler, prefetch, sample_rows
from diffusegae.data.pipeline import StoredWindows, open_image_windows, open_latent_windows
from diffusegae.data.records import IMAGE, LATENT
from diffusegae.editing.latents import local_checkpoint
from diffusegae.images import decode_batch, to_tensor
from diffusegae.schema import AttributeSchema
from diffusegae.tracking.runs import RunLogger
from diffusegae.training.stages import Batch, Stage, StageInputs, StageName
from diffusegae.training.step import Averages, TrainingState
from diffusegae.training.table import STAGES

logger = logging.getLogger(__name__)

MONITOR_SAMPLES, MONITOR_SEED = 128, 0
PREFETCH_BATCHES = 2
STEPS_BEFORE_CHECK = 5  # zero-initialised layers pass no gradient at first


class TrainingJob(Config):
    """All that a worker is told, as JSON: what to train, on which rows, from which weights, tracked where."""

    stage: StageName
    config: PipelineConfig
    attributes: AttributeSchema
    rows: str
    weights: str = ""
    statistics: str = ""
    tracking_uri: str = ""
    run_id: str = ""


def train(payload: dict[str, Any]) -> None:
    """Train one stage to its end; Ray Train calls it on every worker."""
    for chatty in ("ray.train", "ray.data"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    job = TrainingJob.model_validate(payload)
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    torch.set_num_threads(max(1, int(job.config.resources.cpus_per_worker)))
    torch.manual_seed(job.config.seed)
    stage = STAGES[job.stage](_inputs(job))
    state = TrainingState(stage, device, _wrap, job.config.seed, context.get_world_rank())
    position = _restore(state)
    logger.info(
        "%s: %s parameters, starts at sample %d", stage.name, stage.model.parameter_counts(), state.samples_seen
    )
    run = RunLogger(job.tracking_uri, job.run_id) if context.get_world_rank() == 0 and job.run_id else None
    _Loop(job, state, run).run(position)


def _wrap(module: nn.Module) -> nn.Module:
    wrapped: nn.Module = ray.train.torch.prepare_model(module)
    return wrapped


def _inputs(job: TrainingJob) -> StageInputs:
    weights, statistics = None, {}
    if job.weights:
        with local_checkpoint(job.weights) as folder:
            weights = read_tensors(folder, "ema")
    if job.statistics:
        statistics = load(storage.read_bytes(job.statistics))
    return StageInputs(
        config=job.config,
        schema=job.attributes,
        weights=weights,
        latent_mean=statistics.get("mean"),
        latent_covariance=statistics.get("covariance"),
    )


def _restore(state: TrainingState) -> Position:
    """Continue from the run's latest checkpoint, if it has one; return where its feed goes on."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return Position()
    with checkpoint.as_directory() as folder:
        meta = read_meta(Path(folder))
        state.restore(lambda name: read_tensors(Path(folder), name), meta.samples_seen)
    return meta.position


class _Loop:
    """One worker's run through the rest of a stage."""

    def __init__(self, job: TrainingJob, state: TrainingState, run: RunLogger | None) -> None:
        self.job, self.state, self.run_logger = job, state, run
        self.stage: Stage = state.stage
        context = ray.train.get_context()
        self.is_first, self.world_size = context.get_world_rank() == 0, context.get_world_size()
        self.averages = Averages()
        self.started, self.started_at = time.monotonic(), state.samples_seen
        self.resumed, self.resumed_at = self.started, self.started_at  # the end of the last report
        self.sampler = self._new_sampler()
        self.held_out = self._held_out_batch() if self.is_first else None

    def run(self, position: Position) -> None:
        """Train until the stage's samples are used up; the last step reports and checkpoints."""
        total, state = self.stage.config.num_samples, self.state
        if state.samples_seen >= total:
            return
        for batch, after in self._batches(position):
            self.averages.add(state.step(batch))
            if state.num_steps == STEPS_BEFORE_CHECK:
                state.check_all_move()
            done = state.samples_seen >= total
            if done or self._is_due(self.stage.config.report_every_samples):
                self._report(after, done)
            if done:
                return

    def _is_due(self, every: int) -> bool:
        seen, batch = self.state.samples_seen, self.stage.config.batch_size
        return seen // every > (seen - batch) // every

    def _new_sampler(self) -> Sampler:
        return GroupSampler(self.stage.shared) if self.stage.shared else sample_rows

    def _source(self, held_out: bool, seed: int) -> StoredWindows:
        open_windows = open_image_windows if self.stage.column == "image" else open_latent_windows
        columns, window_rows = self.job.attributes.group_columns, self.job.config.data.window_rows
        return open_windows(self.job.rows, columns, held_out=held_out, window_rows=window_rows, seed=seed)

    def _batches(self, position: Position) -> Iterator[tuple[Batch, Position]]:
        seed, rank = self.job.config.seed, ray.train.get_context().get_world_rank()
        feed = Feed(
            self._source(False, seed),
            self.sampler,
            batch_size=self.stage.config.batch_size,
            seed=seed,
            rank=rank,
            world_size=self.world_size,
        )
        ready = ((self._to_device(batch), batch.position) for batch in feed.batches(position))
        return prefetch(ready, PREFETCH_BATCHES)

    def _held_out_batch(self) -> Tensor | None:
        """Return the fixed held-out samples by which every report is measured, None if too few are held out."""
        samples = MONITOR_SAMPLES // (4 if self.stage.shared else 1)
        feed = Feed(self._source(True, MONITOR_SEED), self._new_sampler(), batch_size=samples, seed=MONITOR_SEED)
        try:
            return self._to_device(next(feed.batches(Position())))
        except EmptyFeedError as error:
            logger.warning("%s: reports go without held-out figures: %s", self.stage.name, error)
            return None

    def _to_device(self, batch: FeedBatch) -> Tensor:
        if self.stage.column == "image":
            pixels = decode_batch(batch.columns[IMAGE].tolist(), self.job.config.model.image_size)
            values = to_tensor(pixels)
        else:
            values = torch.from_numpy(np.ascontiguousarray(batch.columns[LATENT]))
        if self.state.device.type == "cuda":
            values = values.pin_memory()
        on_device = values.to(self.state.device, non_blocking=True)
        return on_device.reshape(batch.num_samples, batch.num_members, *values.shape[1:])

    def _report(self, after: Position, done: bool) -> None:
        """Report to Ray Train on every worker, with a checkpoint and pictures from the first when they are due."""
        save = done or self._is_due(self.stage.config.checkpoint_every_samples)
        metrics = self._metrics() if self.is_first else {}
        if self.run_logger is not None:
            self.run_logger.log_metrics(metrics, self.state.samples_seen)
            self._paint(done)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if save and self.is_first:
                save_checkpoint(Path(folder), self._meta(after), self.state.tensors())
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({**metrics, "samples_seen": self.state.samples_seen}, checkpoint=checkpoint)
        self.resumed, self.resumed_at = time.monotonic(), self.state.samples_seen

    def _metrics(self) -> dict[str, float]:
        name, seen, total = self.stage.name, self.state.samples_seen, self.stage.config.num_samples
        now = time.monotonic()
        left = (total - seen) * (now - self.started) / (seen - self.started_at)
        rate = (seen - self.resumed_at) / (now - self.resumed)
        values = {**self.averages.drain(), "samples_per_second": rate}
        if isinstance(self.sampler, GroupSampler):
            values["centres_without_partner"] = float(self.sampler.num_without_partner)
        if self.held_out is not None:
            values |= self.state.monitor(self.held_out)
        shown = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
        logger.info("%s %d/%d (%.0f%%)  ETA %s  %s", name, seen, total, 100 * seen / total, _clock(left), shown)
        return {f"{name}/{key}": value for key, value in values.items()}

    def _paint(self, done: bool) -> None:
        paint = self.stage.paint
        if paint is None or self.held_out is None or self.run_logger is None:
            return
        if done or self._is_due(self.stage.config.grid_every_samples):
            with torch.no_grad():
                pixels = paint(self.state.ema.module, self.held_out)
            self.run_logger.log_image(pixels, f"{self.stage.name}/{self.state.samples_seen:09d}.png")

    def _meta(self, after: Position) -> CheckpointMeta:
        return CheckpointMeta(
            stage=self.stage.name,
            samples_seen=self.state.samples_seen,
            position=after,
            config=self.job.config,
            attributes=self.job.attributes,
            versions={package: version(package) for package in ("torch", "ray", "diffusegae")},
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
