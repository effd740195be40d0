"""What a stage will read, train and write, computed from its config and its data before it starts."""

from dataclasses import replace

import torch

from diffusegae.baselines.table import BASELINES
from diffusegae.data.latents import read_latent_manifest
from diffusegae.data.shards import read_manifest
from diffusegae.forecast import Workload
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.training.job import TrainingJob
from diffusegae.training.stages import column_of, shared_of

_FLOAT_BYTES = 4
_TRAINED = {"pretrain": ("encoder", "unet"), "refine": ("gae",)}


def stage_samples(job: TrainingJob) -> Workload:
    """Return a stage's samples and steps, which the config alone says."""
    stage = job.settings
    return Workload(
        name=job.stage,
        amount=stage.num_samples,
        unit="GROUPs" if shared_of(stage) else "images",
        steps=-(-stage.num_samples // stage.batch_size),
    )


def stage_workload(job: TrainingJob) -> Workload:
    """Return a stage's samples and steps, and the bytes that all of its workers read and write."""
    stage = job.settings
    checkpoints = -(-stage.num_samples // stage.checkpoint_every_samples)
    return replace(
        stage_samples(job),
        bytes_read=_bytes_read(job, stage.num_samples),
        bytes_written=checkpoints * checkpoint_bytes(job),
    )


def checkpoint_bytes(job: TrainingJob) -> int:
    """Return the size of a checkpoint: weights, their average, and two moments of all that trains, as float32."""
    with torch.device("meta"):
        if job.stage in BASELINES:
            baseline = BASELINES[job.stage](job.config, job.attributes)
            counts, trained = baseline.parameter_counts(), {part for goal in baseline.goals() for part in goal.trains}
        else:
            counts = DiffuseGAE(job.config.model, job.attributes).parameter_counts()
            trained = set(_TRAINED.get(job.stage, job.config.finetune.train))
    return _FLOAT_BYTES * (2 * sum(counts.values()) + 2 * sum(counts[part] for part in trained))


def _bytes_read(job: TrainingJob, num_samples: int) -> int:
    """Count a set that fits its window once for every worker that needs it, a larger one once per epoch.

    Of latents, whose training rows are not counted, pairs and values held out are taken for training rows.
    """
    data, workers = job.config.data, job.config.resources.max_workers
    if column_of(job.stage) == "z":
        manifest = read_latent_manifest(job.rows)
        rows = sum(shard.num_rows for shard in manifest.shards)
        num_train = rows * (1 - data.holdout.images / 100)
        size = rows * manifest.width * _FLOAT_BYTES
    else:
        images = read_manifest(job.rows)
        rows, num_train = images.num_rows, float(images.num_train)
        size = sum(shard.num_bytes for shard in images.shards)
    passes = 1.0 if rows <= data.window_rows else num_samples / num_train
    return round(size * passes * max(1, workers / job.config.lanes))
