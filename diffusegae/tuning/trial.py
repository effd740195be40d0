"""One trial: stage 2 of one config on latents in memory, scored as it goes; plain torch.

Modules, loss, order of GROUPs and step are those of training, so with the same config, seed and rows the GAE is the
same, bit for bit on a CPU. A trial's checkpoint is a training checkpoint: it goes on from one as if nothing had been.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

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
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.feed import Feed, FeedBatch, GroupSampler
from diffusegae.data.latent_split import LatentRows, Split
from diffusegae.data.records import LATENT
from diffusegae.editing.shard_encoder import local_checkpoint
from diffusegae.metrics.probe import LabelledCodes, measure_parts
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.schema import AttributeSchema
from diffusegae.training.refine import build_refine
from diffusegae.training.stages import Stage, StageInputs
from diffusegae.training.step import Averages, TrainingError, TrainingState
from diffusegae.tuning.ledger import Report
from diffusegae.tuning.matrix import ProbeMatrix
from diffusegae.tuning.score import WORST, score_of

DIVERGED = "diverged"  # reported by a trial whose loss is no number; it ends there
_ENCODE_ROWS = 4096  # per network call when a trial is judged


@dataclass(frozen=True)
class _Codes:
    z_dis: Float[np.ndarray, "rows z_dis"]
    rebuilt: Float[np.ndarray, "rows z_sem"]


class Trial:
    """A GAE in training on a split's fitted rows, to be scored by its judged rows."""

    def __init__(self, config: PipelineConfig, schema: AttributeSchema, split: Split, device: torch.device) -> None:
        self.config, self.schema, self.split = config, schema, split
        torch.manual_seed(config.seed)
        self.state = TrainingState(_build(config, schema, split), device, lambda module: module, config.seed)
        self.position = Position()
        self.averages = Averages()
        self._batches: Iterator[FeedBatch] | None = None

    @property
    def samples_seen(self) -> int:
        """GROUPs trained on so far."""
        return self.state.samples_seen

    def train_to(self, samples: int) -> None:
        """Train until so many GROUPs have been seen; TrainingError if a weight gets no gradient."""
        while self.state.samples_seen < samples:
            batch = next(self._feed())
            z = torch.from_numpy(batch.columns[LATENT]).to(self.state.device)
            self.averages.add(self.state.step(z.unflatten(0, (batch.num_samples, batch.num_members))))
            self.position = batch.positions[0]

    def judge(self) -> dict[str, float]:
        """Return the score, its parts, the probe matrix and the mean losses since the last call.

        Raises:
            TrainingError: a loss is not a number.
        """
        losses = {f"loss/{name}": value for name, value in self.averages.drain().items()}
        judged, split = self._codes(self.split.judged), self.split
        probe = self._probe(judged)
        score = score_of(probe, split.judged.z, judged.rebuilt, split.mean, split.spread)
        return {**score.as_metrics(self.config.tune.weights), **probe.as_metrics(), **losses}

    def save(self, folder: Path) -> None:
        """Write all that `restore` needs."""
        meta = CheckpointMeta(
            stage="refine",
            samples_seen=self.samples_seen,
            positions=(self.position,),
            config=self.config,
            attributes=self.schema,
            versions={},
        )
        save_checkpoint(folder, meta, self.state.tensors())

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint of the same trial."""
        meta = read_meta(folder)
        self.state.restore(lambda name: read_tensors(folder, name), meta.samples_seen)
        self.position = meta.positions[0]
        self._batches = None

    def _feed(self) -> Iterator[FeedBatch]:
        if self._batches is None:
            refine = self.config.refine
            sampler = GroupSampler(refine.shared, refine.partners, refine.balance)
            feed = Feed([self.split.fitted], sampler, batch_size=refine.batch_size, seed=self.config.seed)
            self._batches = feed.batches([self.position])
        return self._batches

    @torch.no_grad()
    def _codes(self, rows: LatentRows) -> _Codes:
        model = self.state.ema.module.eval()
        z_dis: list[Tensor] = []
        rebuilt: list[Tensor] = []
        for start in range(0, rows.num_rows, _ENCODE_ROWS):
            z = torch.from_numpy(rows.z[start : start + _ENCODE_ROWS].copy()).to(self.state.device)
            codes = model.disentangle(z)
            z_dis.append(codes.cpu())
            rebuilt.append(model.entangle(codes).cpu())
        return _Codes(torch.cat(z_dis).numpy(), torch.cat(rebuilt).numpy())

    def _probe(self, judged: _Codes) -> ProbeMatrix:
        """Learn the probes from fitted rows, the same ones for every trial, and try them on the judged ones."""
        schema, tune = self.schema, self.config.tune
        learned, others = self.split.fitted.draw(tune.probe_rows, tune.seed), self.split.judged
        readings = measure_parts(
            LabelledCodes(self._codes(learned).z_dis, learned.judged_labels, learned.group_labels),
            LabelledCodes(judged.z_dis, others.judged_labels, others.group_labels),
            schema.slices,
            schema.names,
            schema.cardinalities,
            seed=tune.seed,
            shuffles=1,
            full=False,
        )
        return ProbeMatrix.of(readings)


def _build(config: PipelineConfig, schema: AttributeSchema, split: Split) -> Stage[DiffuseGAE]:
    """Return stage 2 without encoder and UNet, which latents have no use for.

    They are built and thrown away, because the GAE's first weights are drawn after theirs.
    """
    mean, covariance = torch.from_numpy(split.mean.copy()), torch.from_numpy(split.covariance.copy())
    stage = build_refine(StageInputs(config, schema, latent_mean=mean, latent_covariance=covariance))
    for part in ("encoder", "unet"):
        setattr(stage.model, part, nn.Identity())
    return stage


def run_trial(trial: Trial, folder: str, num_reports: int, reported: int = 0) -> Iterator[Report]:
    """Train to the end of `refine.num_samples`, judging and saving at even distances; yield each report.

    `folder` keeps the latest checkpoint, from which it goes on after a death: first with the report that belongs to it,
    unless that is among the first `reported`, which are known. A diverged trial ends with the worst of all scores.
    """
    found = furthest_checkpoint(folder)
    if found:
        with local_checkpoint(found) as local:
            trial.restore(local)
    goals = [-(-trial.config.refine.num_samples * number // num_reports) for number in range(1, num_reports + 1)]
    passed = sum(goal <= trial.samples_seen for goal in goals)
    first = passed + 1 if passed <= reported else passed
    for number, goal in list(enumerate(goals, start=1))[first - 1 :]:
        try:
            trial.train_to(goal)
            metrics = trial.judge()
        except TrainingError:
            yield Report(number=number, samples_seen=trial.samples_seen, metrics=_worst(trial))
            return
        _publish(trial, folder)
        yield Report(number=number, samples_seen=trial.samples_seen, metrics=metrics)


def _worst(trial: Trial) -> dict[str, float]:
    return {**WORST.as_metrics(trial.config.tune.weights), DIVERGED: 1.0}


def _publish(trial: Trial, folder: str) -> None:
    """Store a checkpoint, then drop the one before, so that there is a whole one at any time."""
    before, target = furthest_checkpoint(folder), storage.join(folder, f"{trial.samples_seen:012d}")
    if before == target:
        return
    local = Path(tempfile.mkdtemp(prefix="trial-"))
    trial.save(local)
    storage.publish_directory(local, target, META)
    if before:
        storage.delete(before)
