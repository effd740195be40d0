"""Launch a stage: the only place where a Ray trainer is assembled.

A stage keeps its files in `<root>/<stage>/`: Ray Train's run folder with the checkpoints, `plan.json` with the
fingerprint of all that decides its result, and, when it is finished, `done.json` with the address of the last
checkpoint. The same name and config continue what was cut off, or return at once what is done; another config under
the same name is refused.
"""

import hashlib
import json
import logging
import time
from typing import Any

import ray.train
from pydantic import BaseModel, ConfigDict
from ray.train.torch import TorchTrainer

from diffusegae import storage
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.training.stages import StageName
from diffusegae.training.worker import TrainingJob, train

logger = logging.getLogger(__name__)

REPORTING = {"report_every_samples", "checkpoint_every_samples", "grid_every_samples"}  # don't change the result
WORKER_ENVIRONMENT = {"GOMP_SPINCOUNT": "100000", "RAY_TRAIN_ENABLE_PRINT_PATCH": "0"}


class LaunchError(RuntimeError):
    """A run that can't start: its name belongs to another config, or its sizes don't divide."""


class StageDone(BaseModel):
    """What is known of a finished stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: StageName
    fingerprint: str
    checkpoint: str
    seconds: float


def stage_fingerprint(config: PipelineConfig, stage: StageName, before: str) -> str:
    """Return a hash of all that decides a stage's result: data, networks, seed, its own settings, what came before."""
    settings = {
        "seed": config.seed,
        "data": config.data.model_dump(mode="json"),
        "model": config.model.model_dump(mode="json"),
        "diffusion": config.diffusion.model_dump(mode="json"),
        "stage": getattr(config, stage).model_dump(mode="json", exclude=REPORTING),
        "before": before,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def launch_stage(job: TrainingJob, root: str, before: str = "") -> StageDone:
    """Train a stage to its end on the running Ray, or return what an earlier call finished.

    Raises:
        LaunchError: the folder belongs to another config, or the batch does not divide by the workers.
    """
    folder = storage.join(storage.resolve(root), job.stage)
    fingerprint = stage_fingerprint(job.config, job.stage, before)
    done = read_done(root, job.stage)
    if done is not None and done.fingerprint == fingerprint:
        logger.info("%s: already done, %s", job.stage, done.checkpoint)
        return done
    _claim(folder, fingerprint)
    started = time.monotonic()
    result = _trainer(job, folder).fit()
    if result.checkpoint is None:
        raise LaunchError(f"{job.stage}: the run ended without a checkpoint; see the worker's log above")
    address = _address(result.checkpoint)
    finished = StageDone(
        stage=job.stage, fingerprint=fingerprint, checkpoint=address, seconds=time.monotonic() - started
    )
    storage.write_bytes(storage.join(folder, "done.json"), finished.model_dump_json(indent=1).encode())
    return finished


def read_done(root: str, stage: StageName) -> StageDone | None:
    """Return what is known of a finished stage, None if it is not finished."""
    path = storage.join(storage.resolve(root), stage, "done.json")
    return StageDone.model_validate_json(storage.read_bytes(path)) if storage.exists(path) else None


def _claim(folder: str, fingerprint: str) -> None:
    path = storage.join(folder, "plan.json")
    if storage.exists(path):
        held = json.loads(storage.read_bytes(path))["fingerprint"]
        if held != fingerprint:
            raise LaunchError(
                f"{folder} holds a run of another config (fingerprint {held}, this one is {fingerprint});"
                " choose another name, or delete the folder"
            )
        return
    storage.write_bytes(path, json.dumps({"fingerprint": fingerprint}).encode())


def _trainer(job: TrainingJob, folder: str) -> TorchTrainer:
    resources = job.config.resources
    batch = getattr(job.config, job.stage).batch_size
    if batch % resources.num_workers:
        raise LaunchError(
            f"{job.stage}.batch_size={batch} does not divide by resources.num_workers={resources.num_workers};"
            " change one of them"
        )
    per_worker: dict[str, float] = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        per_worker["GPU"] = resources.gpus_per_worker
    filesystem, path = storage.locate(folder)
    return TorchTrainer(
        train,
        train_loop_config=job.model_dump(mode="json"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=resources.num_workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=per_worker,
        ),
        run_config=ray.train.RunConfig(  # type: ignore[call-arg]  # the checker sees Train V1's class
            name="run",
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=resources.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=resources.keep_checkpoints),
            worker_runtime_env={"env_vars": WORKER_ENVIRONMENT},
        ),
    )


def _address(checkpoint: Any) -> str:
    """Return a checkpoint's URI: Ray gives the path inside its file system."""
    is_s3 = checkpoint.filesystem.type_name == "s3"
    return f"s3://{checkpoint.path}" if is_s3 else str(checkpoint.path)
