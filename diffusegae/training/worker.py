"""The loop that every training worker runs, whatever the stage: restore, step, report, checkpoint.

It runs inside Ray Train; everything it needs arrives as plain data in a TrainingJob, and it reads neither the
environment nor globals.
"""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import ray.train.torch
import torch
import torch.distributed
from ray.train import CheckpointUploadMode
from safetensors.torch import load
from torch import Tensor, nn

from diffusegae import storage
from diffusegae.checkpoint import META, CheckpointMeta, Position, read_meta, read_tensors, save_checkpoint
from diffusegae.config.base import Config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.feed import EmptyFeedError, Feed, FeedBatch, GroupSampler, Sampler, prefetch, sample_rows
from diffusegae.data.pipeline import Reading, StoredWindows, open_lanes
from diffusegae.data.records import IMAGE, KEY, LATENT, PIXELS
from diffusegae.editing.latents import local_checkpoint
from diffusegae.images import decode_batch, to_tensor
from diffusegae.schema import AttributeSchema
from diffusegae.tracking.runs import RunLogger
from diffusegae.training.journal import Journal
from diffusegae.training.stages import Batch, Stage, StageInputs, StageName
from diffusegae.training.step import Averages, TrainingError, TrainingState
from diffusegae.training.table import STAGES

logger = logging.getLogger(__name__)

RUN = "run"  # Ray Train's folder in the stage's
MONITOR_SAMPLES, MONITOR_SEED = 128, 0
PREFETCH_BATCHES = 2
STEPS_BETWEEN_NOTICES = 10  # asking for a notice of preemption is a round trip of all workers
STEPS_BEFORE_CHECK = 5  # zero-initialised layers pass no gradient at first


class TrainingJob(Config):
    """All that a worker is told, as JSON: what to train, on which rows, from which weights, kept and tracked where.

    `folder` is the stage's; `resume` is its furthest whole checkpoint when it was launched, empty if there is none.
    """

    stage: StageName
    config: PipelineConfig
    attributes: AttributeSchema
    rows: str
    folder: str = ""
    resume: str = ""
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
    rank, world_size = context.get_world_rank(), context.get_world_size()
    state = TrainingState(stage, device, _wrap, job.config.seed, rank, world_size)
    positions = _restore(state, job)
    logger.info(
        "%s: %s parameters, %d workers, starts at sample %d",
        stage.name,
        stage.model.parameter_counts(),
        world_size,
        state.samples_seen,
    )
    run = RunLogger(job.tracking_uri, job.run_id) if rank == 0 and job.run_id else None
    _Loop(job, state, run, positions).run()


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


def _restore(state: TrainingState, job: TrainingJob) -> list[Position]:
    """Continue from the furthest of the checkpoints that Ray and the launch know; return where its lanes go on."""
    reported = ray.train.get_checkpoint()
    known = [_address(reported)] if reported is not None else []
    addresses = [*known, job.resume] if job.resume else known
    if not addresses:
        return [Position()] * job.config.data.lanes
    with local_checkpoint(max(addresses, key=samples_of)) as folder:
        meta = read_meta(folder)
        state.restore(lambda name: read_tensors(folder, name), meta.samples_seen)
    return list(meta.positions)


def checkpoint_name(samples_seen: int) -> str:
    """Name a checkpoint by its count of samples, so that who saves it again after a death replaces it."""
    return f"checkpoint_{samples_seen:012d}"


def samples_of(address: str) -> int:
    """Return the count of samples in a checkpoint's name."""
    return int(address.rpartition("_")[2])


def _address(checkpoint: ray.train.Checkpoint) -> str:
    """Return a checkpoint's URI: Ray gives the path inside its file system."""
    return storage.address(checkpoint.filesystem, checkpoint.path)


class _Loop:
    """One worker's run through the rest of a stage."""

    def __init__(
        self, job: TrainingJob, state: TrainingState, run: RunLogger | None, positions: list[Position]
    ) -> None:
        self.job, self.state, self.run_logger, self.positions = job, state, run, positions
        self.stage: Stage = state.stage
        self.rank, self.world_size = state.rank, state.world_size
        self.averages = Averages()
        self.started, self.started_at = time.monotonic(), state.samples_seen
        self.resumed, self.resumed_at = self.started, self.started_at  # the end of the last report
        self.sampler = self._new_sampler()
        self.held_out = self._held_out_batch() if self.rank == 0 else None
        self.journal = self._open_journal()
        self.upload = threading.Semaphore()  # one at a time, so that a slow store holds training up, not the disk
        self.was_noticed = False

    def run(self) -> None:
        """Train until the stage's samples are used up; the last step reports and checkpoints."""
        total, state = self.stage.config.num_samples, self.state
        if state.samples_seen >= total:
            return
        for batch, source in self._batches():
            if self.journal is not None:
                self.journal.add(state.samples_seen, source.columns[KEY].tolist(), source.num_members)
            self.averages.add(state.step(batch))
            for lane, position in source.positions.items():
                self.positions[lane] = position
            if state.num_steps == STEPS_BEFORE_CHECK:
                state.check_all_move()
            done, is_noticed = state.samples_seen >= total, self._is_noticed()
            if done or is_noticed or self._is_due(self.stage.config.report_every_samples):
                self._report(done, is_noticed)
            if done:
                return

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

    def _new_sampler(self) -> Sampler:
        return GroupSampler(self.stage.shared) if self.stage.shared else sample_rows

    def _open_journal(self) -> Journal | None:
        if not self.job.config.resources.journal:
            return None
        journal = Journal(storage.join(self.job.folder, "journal"), self.rank)
        if self.rank == 0:
            journal.drop_from(self.state.samples_seen)
        return journal

    @property
    def _payload(self) -> str:
        """The column that batches are made of."""
        if self.stage.column == LATENT:
            return LATENT
        return PIXELS if self.job.config.resources.decode == "cluster" else IMAGE

    def _open(self, held_out: bool, seed: int, lanes: int) -> list[StoredWindows]:
        config = self.job.config
        reading = Reading(
            payload=(self._payload, KEY) if config.resources.journal else (self._payload,),
            labels=tuple(self.job.attributes.group_columns),
            held_out=held_out,
            image_size=config.model.image_size,
            resources=config.resources.reader_resources,
        )
        return open_lanes(self.job.rows, reading, window_rows=config.data.window_rows, seed=seed, lanes=lanes)

    def _batches(self) -> Iterator[tuple[Batch, FeedBatch]]:
        feed = Feed(
            self._open(False, self.job.config.seed, self.job.config.data.lanes),
            self.sampler,
            batch_size=self.stage.config.batch_size,
            seed=self.job.config.seed,
            rank=self.rank,
            world_size=self.world_size,
        )
        return prefetch(((self._to_device(batch), batch) for batch in feed.batches(self.positions)), PREFETCH_BATCHES)

    def _held_out_batch(self) -> Tensor | None:
        """Return the fixed held-out samples by which every report is measured, None if too few are held out."""
        samples = MONITOR_SAMPLES // (4 if self.stage.shared else 1)
        lanes = self._open(True, MONITOR_SEED, 1)
        try:
            return self._to_device(next(Feed(lanes, self._new_sampler(), batch_size=samples, seed=0).batches()))
        except EmptyFeedError as error:
            logger.warning("%s: reports go without held-out figures: %s", self.stage.name, error)
            return None

    def _to_device(self, batch: FeedBatch) -> Tensor:
        column, size = batch.columns[self._payload], self.job.config.model.image_size
        if self._payload == LATENT:
            values = torch.from_numpy(np.ascontiguousarray(column))
        elif self._payload == PIXELS:
            values = to_tensor(column.reshape(-1, size, size, 3))
        else:
            values = to_tensor(decode_batch(column.tolist(), size))
        if self.state.device.type == "cuda":
            values = values.pin_memory()
        on_device = values.to(self.state.device, non_blocking=True)
        return on_device.reshape(batch.num_samples, batch.num_members, *values.shape[1:])

    def _report(self, done: bool, is_noticed: bool) -> None:
        """Report to Ray Train on every worker, with a checkpoint and pictures from the first when they are due."""
        save = done or is_noticed or self._is_due(self.stage.config.checkpoint_every_samples)
        metrics = self._metrics() if self.rank == 0 else {}
        if self.run_logger is not None:
            self.run_logger.log_metrics(metrics, self.state.samples_seen)
            self._paint(done)
        if self.journal is not None:
            self.journal.flush()
        positions = self._all_positions() if save else ()
        waits = done or is_noticed
        ray.train.report(
            {**metrics, "samples_seen": self.state.samples_seen},
            checkpoint=self._save(positions) if save and self.rank == 0 else None,
            checkpoint_dir_name=checkpoint_name(self.state.samples_seen) if save else None,
            checkpoint_upload_mode=CheckpointUploadMode.SYNC if waits else CheckpointUploadMode.ASYNC,
            delete_local_checkpoint_after_upload=False,
            checkpoint_upload_fn=self._publish,
        )
        self.resumed, self.resumed_at = time.monotonic(), self.state.samples_seen

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
        now = time.monotonic()
        left = (total - seen) * (now - self.started) / (seen - self.started_at)
        rate = (seen - self.resumed_at) / (now - self.resumed)
        values = {**self.averages.drain(), "samples_per_second": rate}
        if isinstance(self.sampler, GroupSampler):
            values["centres_without_partner"] = float(self.sampler.num_without_partner)
        if self.held_out is not None:
            values |= self.state.monitor(self.held_out)
        if self.stage.config.best_by not in ("", *values):
            raise TrainingError(
                f"{name}.best_by={self.stage.config.best_by!r} is not reported; these are: {', '.join(values)}"
            )
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

    def _meta(self, positions: tuple[Position, ...]) -> CheckpointMeta:
        return CheckpointMeta(
            stage=self.stage.name,
            samples_seen=self.state.samples_seen,
            positions=positions,
            config=self.job.config,
            attributes=self.job.attributes,
            versions={package: version(package) for package in ("torch", "ray", "diffusegae")},
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
