"""One stage trained from memory in a given time: the real state, order and GROUPs; what it reported is kept."""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.feed import EmptyFeedError, FeedBatch, prefetch
from diffusegae.editing.cudnn import NO_TF32
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.pixels import normalise
from diffusegae.training.meter import Meter
from diffusegae.training.stages import StageInputs, StageName, shared_of
from diffusegae.training.step import Averages, TrainingState, learning_rate_at
from diffusegae.training.table import STAGES
from tests.gpu.budget import LEAST_STEPS, may_move_end, move_end, samples_in_time
from tests.gpu.machine import synchronise
from tests.gpu.world import World, plan_batches, rows_on

logger = logging.getLogger(__name__)

REPORTS, LEAST_SECONDS = 12, 1.5  # reports of a stage, and the least time between two of them
WARM_STEPS = 3  # what is compiled or chosen in these is no part of the rate
MONITOR_SAMPLES = 128
ENCODE_BATCH = 512
PREFETCHED = 4

Report = dict[str, float]


@dataclass
class StageRun:
    """What a stage came to: its averaged model, its reports, a picture, and the seconds it took, warm-up included."""

    name: StageName
    model: DiffuseGAE
    config: PipelineConfig
    reports: list[Report] = field(default_factory=list)
    grid: UInt8[np.ndarray, "height width 3"] | None = None
    seconds: float = 0.0
    warm_seconds: float = 0.0
    num_samples: int = 0
    num_pieces: int = 1


@dataclass(frozen=True)
class Samples:
    """What stages train on, all of it on the device: pixels, or the latents of all images."""

    world: World
    values: Tensor  # uint8 [rows, size, size, 3] or float32 [rows, z_sem]
    device: torch.device
    channels_last: bool = False

    def batches(self, shared: int | None, batch_size: int, held_out: bool = False) -> Iterator[tuple[Any, FeedBatch]]:
        """Return batches [samples, members, ...] and their plans, planned ahead by a thread."""
        plans = prefetch(plan_batches(self.world, shared, batch_size, held_out), PREFETCHED)
        return ((self._take(plan), plan) for plan in plans)

    def held_out(self, shared: int | None, count: int) -> Any | None:
        """Return some held-out samples, None if too few rows are held out."""
        try:
            return self._take(next(plan_batches(self.world, shared, count, held_out=True)))
        except EmptyFeedError as error:
            logger.warning("no held-out figures: %s", error)
            return None

    def _take(self, plan: FeedBatch) -> Tensor:
        taken = self.values[rows_on(self.device, plan.columns["row"])]
        images = normalise(taken, self.channels_last) if taken.dtype == torch.uint8 else taken
        return images.unflatten(0, (plan.num_samples, plan.num_members))


def train_stage(name: StageName, inputs: StageInputs, samples: Samples, seconds: float) -> StageRun:
    """Train a stage so that it ends about `seconds` from now, at most on its config's samples."""
    started = time.monotonic()
    torch.manual_seed(inputs.config.seed)
    samples = replace(samples, channels_last=inputs.config.settings_of(name).channels_last)
    state = TrainingState(STAGES[name](inputs), samples.device, lambda module: module, inputs.config.seed)
    run = StageRun(name, state.ema.module, inputs.config)
    loop = _Loop(state, run, started + seconds)
    shared = shared_of(state.stage.config)
    held_out = samples.held_out(shared, MONITOR_SAMPLES // (4 if shared else 1))
    loop.follow(samples.batches(shared, state.stage.config.batch_size), held_out)
    if state.stage.paint is not None and held_out is not None:
        with torch.no_grad():
            run.grid = state.stage.paint(state.ema.module, held_out)
    run.num_samples, run.num_pieces, run.seconds = state.samples_seen, state.pieces, time.monotonic() - started
    return run


class _Loop:
    """Steps, reports, and the end of the stage moved to where the time ends."""

    def __init__(self, state: TrainingState, run: StageRun, deadline: float) -> None:
        self.state, self.run, self.deadline = state, run, deadline
        self.most = state.stage.config.num_samples
        self.meter, self.averages = Meter(state), Averages()
        self.began = time.monotonic()
        self.reported = self.began
        self.is_warm = False

    def follow(self, batches: Iterator[tuple[Any, FeedBatch]], held_out: Any | None) -> None:
        """Train until the stage's samples are used up."""
        state = self.state
        for batch, _ in self.meter.waiting(batches):
            self.averages.add(state.step(batch))
            if not self.is_warm and state.num_steps == WARM_STEPS:
                self._end_warm_up()
            is_done = state.samples_seen >= state.stage.config.num_samples
            if is_done or self._is_due():
                self._report(held_out)
                state.check_all_move()
            if state.samples_seen >= state.stage.config.num_samples:
                return

    def _end_warm_up(self) -> None:
        synchronise(self.state.device)
        self.run.warm_seconds = time.monotonic() - self.began
        self.is_warm, self.reported = True, time.monotonic()
        self.averages = Averages()
        self.meter.restart()

    def _is_due(self) -> bool:
        steps = self.state.num_steps - WARM_STEPS
        if steps < LEAST_STEPS or steps % LEAST_STEPS:
            return False
        spacing = max(LEAST_SECONDS, (self.deadline - self.began) / REPORTS)
        return time.monotonic() - self.reported >= (spacing if self.run.reports else LEAST_SECONDS)

    def _report(self, held_out: Any | None) -> None:
        """Note where the stage stands; the first report is the first time that the rate is known."""
        state = self.state
        synchronise(state.device)
        figures = self.meter.figures()
        report = {**self.averages.drain(), **figures}
        if held_out is not None:
            report |= {f"held_out/{name}": value for name, value in state.monitor(held_out).items()}
        seen, config = state.samples_seen, state.stage.config
        report |= {"samples": seen, "seconds": time.monotonic() - self.began}
        report["learning_rate"] = learning_rate_at(config, seen)
        if may_move_end(config, seen):
            left = self.deadline - time.monotonic()
            move_end(state, samples_in_time(config, seen, figures["samples_per_second"], left, self.most))
        report["planned_samples"] = state.stage.config.num_samples
        self.run.reports.append(report)
        logger.info("%s %d/%d  %s", self.run.name, seen, state.stage.config.num_samples, _shown(report))
        self.reported = time.monotonic()
        self.meter.restart()


def _shown(report: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in report.items())


@torch.no_grad()
def encode_all(model: DiffuseGAE, samples: Samples) -> Tensor:
    """Return z_sem of every row, float32 on the device."""
    with NO_TF32.held():
        return torch.cat([model.encode(normalise(pixels)) for pixels in samples.values.split(ENCODE_BATCH)])


def statistics_of(z: Tensor, world: World) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of the training rows' latents, as the encode job writes them."""
    train = z[rows_on(z.device, world.rows(held_out=False))].double()
    mean = train.mean(dim=0)
    covariance = train.T @ train / len(train) - torch.outer(mean, mean)
    return mean.float().cpu(), covariance.float().cpu()
