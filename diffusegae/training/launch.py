"""Launch a stage: the only place where a Ray trainer is assembled.

A stage keeps its files in `<root>/<stage>/`: Ray Train's run folder with the checkpoints, `plan.json` with the
fingerprint of all that decides its result and the number of lanes it began with, and, when it is finished, `done.json`
with the addresses of its checkpoints. The same name and config continue what was cut off, or return at once what is
done; another config under the same name is refused.

Ray Train restarts dead workers by itself and notes the checkpoints in a file of its own. That file is not written
atomically, so a launch that finds it damaged drops it; the checkpoints' names tell workers where to go on.
"""

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict
from ray.air.result import Result
from ray.train import TrainingFailedError
from ray.train.v2.api.callback import UserCallback
from ray.train.v2.api.config import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer

from diffusegae import storage
from diffusegae.baselines.table import BASELINES
from diffusegae.capacity import Ask, require_room
from diffusegae.checkpoint import furthest_checkpoint, samples_of
from diffusegae.config.data import NAMED_VALUES
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import ResourcesConfig
from diffusegae.data.records import LATENT
from diffusegae.data.windows import list_image_row_groups, list_latent_row_groups
from diffusegae.forecast import Forecast
from diffusegae.training.job import TrainingJob
from diffusegae.training.stages import StageName, column_of
from diffusegae.training.worker import RUN, address_of, train
from diffusegae.training.workload import stage_workload

logger = logging.getLogger(__name__)

REPORTING = {  # don't change the result
    "report_every_samples",
    "checkpoint_every_samples",
    "checkpoint_every_minutes",
    "grid_every_samples",
    "min_told",
}
RAY_SNAPSHOT = "checkpoint_manager_snapshot.json"
DONE, ADDRESSES = "done.json", ("checkpoint", "last", "best")
WORKER_ENVIRONMENT = {"RAY_TRAIN_ENABLE_PRINT_PATCH": "0"}
HARMLESS = "safe to ignore"  # in warnings with a traceback, where a busy machine answers a resource request too late
HARMLESS_LOGGERS = tuple(
    f"ray.train.v2._internal.execution.scaling_policy.{name}" for name in ("autoscaling_coordinator_client", "elastic")
)


class LaunchError(RuntimeError):
    """A run that can't start or go on: its name belongs to another config, or its workers failed too often."""


class QuietRetries(UserCallback):
    """Hides the warnings that Ray Train itself calls safe to ignore, and no others.

    Takes effect where it is unpickled: in the controller's process, before that asks for resources.
    """

    def __reduce__(self) -> tuple[Callable[[], "QuietRetries"], tuple[()]]:
        """Have the warnings hidden where the copy arrives."""
        return _quiet, ()


def _quiet() -> QuietRetries:
    for name in HARMLESS_LOGGERS:
        logging.getLogger(name).addFilter(_matters)
    return QuietRetries()


def _matters(record: logging.LogRecord) -> bool:
    return HARMLESS not in record.getMessage()


class StageDone(BaseModel):
    """What is known of a finished stage; `checkpoint` is the one that the next step starts from.

    Its file holds what leads from the stage's folder to the checkpoints, so that it stays true where that is moved.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: StageName
    fingerprint: str
    images: str = ""  # content of the data set that it was trained on, empty where that was not noted
    checkpoint: str
    last: str = ""
    best: str = ""
    seconds: float


def stage_fingerprint(config: PipelineConfig, stage: StageName, before: str) -> str:
    """Return a hash of all that decides a stage's result: data, networks, seed, its own settings, what came before.

    Stage 1 trains encoder and UNet on single images: neither the GAE's settings nor the partition of z_dis decide it.
    Baselines have no GAE. Lanes that nobody chose are those that the stage began with, however many workers go on.
    """
    data, model = config.data.model_dump(mode="json"), config.model.model_dump(mode="json")
    data["lanes"] = data["lanes"] or 1
    del data["max_skipped"]  # it says what is too little to train on, not what is trained on
    if stage not in BASELINES or data["named_values"] == NAMED_VALUES:
        del data["named_values"]  # only baselines have outputs for values
    if stage in (*BASELINES, "pretrain"):
        del model["gae"]
    if stage == "pretrain":
        del model["z_dis_width"]
        for attribute in data["attributes"].values():
            del attribute["width"]
    settings = {
        "seed": config.seed,
        "data": data,
        "model": model,
        "diffusion": config.diffusion.model_dump(mode="json"),
        "stage": config.settings_of(stage).model_dump(mode="json", exclude=REPORTING),
        "before": before,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def accepted_fingerprints(config: PipelineConfig, stage: StageName, before: str, images: str) -> list[str]:
    """Return the fingerprints that a stage's run may have, the one that a new run gets first.

    The first stages depend on the content of the images, those after them on the stage before. A first stage that was
    trained when contents had no hash is accepted, too, whatever the images were.
    """
    if before:
        return [stage_fingerprint(config, stage, before)]
    return [stage_fingerprint(config, stage, known) for known in dict.fromkeys((images, ""))]


def launch_stage(job: TrainingJob, root: str, before: str = "", images: str = "") -> StageDone:
    """Train a stage to its end on the running Ray, or return what an earlier call finished.

    `before` is the fingerprint of the stage before, `images` the content of the data set (`Manifest.content`).

    Raises:
        CapacityError: the cluster has no room for the fewest workers.
        LaunchError: the folder belongs to another config, the batch is smaller than the number of lanes or workers,
            or the workers failed more often than they may.
    """
    if problem := job.config.share_problem(job.stage):  # of baselines the config can't know which are trained
        raise LaunchError(f"{job.stage}: {problem}")
    folder = storage.join(storage.resolve(root), job.stage)
    accepted = accepted_fingerprints(job.config, job.stage, before, images)
    done = read_done(root, job.stage)
    if done is not None and done.fingerprint in accepted:
        logger.info("%s: already done, %s", job.stage, done.checkpoint)
        return done
    fingerprint, lanes = _claim(folder, accepted, job)
    job = _with_lanes(job, lanes)
    job = job.model_copy(update={"folder": folder})
    _drop_damaged_notes(folder)
    furthest = furthest_checkpoint(storage.join(folder, RUN))
    begun = samples_of(furthest) if furthest else 0
    logger.info(Forecast(stage_workload(job), job.config.resources.rates.get(job.stage, 0.0), begun).announce())
    started = time.monotonic()
    result = _fit(job, folder)
    if result.checkpoint is None:
        raise LaunchError(f"{job.stage}: the run ended without a checkpoint; see the worker's log above")
    last, best = _addresses(job, result)
    finished = StageDone(
        stage=job.stage,
        fingerprint=fingerprint,
        images=images,
        checkpoint=best if job.settings.hand_on == "best" else last,
        last=last,
        best=best,
        seconds=time.monotonic() - started,
    )
    noted = finished.model_copy(update={f: getattr(finished, f).removeprefix(f"{folder}/") for f in ADDRESSES})
    storage.write_bytes(storage.join(folder, DONE), noted.model_dump_json(indent=1).encode())
    return finished


def read_done(root: str, stage: StageName) -> StageDone | None:
    """Return what is known of a finished stage, None if it is not finished."""
    folder = storage.join(storage.resolve(root), stage)
    if not storage.exists(storage.join(folder, DONE)):
        return None
    noted = StageDone.model_validate_json(storage.read_bytes(storage.join(folder, DONE)))
    return noted.model_copy(update={f: _address_in(folder, getattr(noted, f)) for f in ADDRESSES if getattr(noted, f)})


def _address_in(folder: str, noted: str) -> str:
    """Return the address of what was noted of a stage's folder: a path below it, in older files a whole address."""
    _, of_a_run, name = noted.rpartition(f"/{folder.rpartition('/')[2]}/{RUN}/")
    if of_a_run:
        return storage.join(folder, RUN, name)
    return noted if "://" in noted or noted.startswith("/") else storage.join(folder, noted)


def _claim(folder: str, accepted: list[str], job: TrainingJob) -> tuple[str, int]:
    """Make a folder this job's, or find that it is; return its run's fingerprint and the lanes that it began with."""
    path = storage.join(folder, "plan.json")
    if not storage.exists(path):
        lanes = _begin_lanes(job)
        storage.write_bytes(path, json.dumps({"fingerprint": accepted[0], "lanes": lanes}).encode())
        return accepted[0], lanes
    plan = json.loads(storage.read_bytes(path))
    held, lanes = plan["fingerprint"], int(plan.get("lanes", 1))
    if held not in accepted or job.config.data.lanes not in (None, lanes):
        raise LaunchError(
            f"{folder} holds a run of another config or other images (fingerprint {held}, data.lanes {lanes}; this"
            f" one's are {accepted[0]}, {job.config.data.lanes}); choose another name, or delete the folder"
        )
    return held, lanes


def _begin_lanes(job: TrainingJob) -> int:
    """Return the lanes of a new run; where nobody chose them, no more than the set has row groups."""
    if job.config.data.lanes:
        return job.config.data.lanes
    listed = list_latent_row_groups if column_of(job.stage) == LATENT else list_image_row_groups
    return min(job.config.lanes, max(1, len(listed(job.rows))))


def _with_lanes(job: TrainingJob, lanes: int) -> TrainingJob:
    data = job.config.data.model_copy(update={"lanes": lanes})
    return job.model_copy(update={"config": job.config.model_copy(update={"data": data})})


def _drop_damaged_notes(folder: str) -> None:
    """Drop Ray's own notes if a death left them half written; the checkpoints tell where to go on."""
    snapshot = storage.join(folder, RUN, RAY_SNAPSHOT)
    if not storage.exists(snapshot):
        return
    try:
        json.loads(storage.read_bytes(snapshot))
    except ValueError:
        logger.warning("%s is damaged, as by a death while it was written; going on from the checkpoints", snapshot)
        storage.delete(snapshot)


def require_workers(name: str, resources: ResourcesConfig, count: int) -> None:
    """Return when the cluster has room for so many workers and for those who read for them; CapacityError if never."""
    fewer = "resources.num_workers" if count > 1 else ""
    require_room(Ask(name, count, resources.per_worker, resources.settings_per_worker, fewer), resources.wait_minutes)
    if readers := resources.reader_resources:
        settings = dict.fromkeys(readers, "resources.reader_resources")
        require_room(Ask(f"{name}'s reading", 1, readers, settings), resources.wait_minutes)


def _fit(job: TrainingJob, folder: str) -> Result:
    require_workers(job.stage, job.config.resources, job.config.resources.min_workers)
    try:
        return _trainer(job, folder).fit()
    except TrainingFailedError as error:
        causes = getattr(error, "worker_failures", {}) or {}
        first = next((f"worker {rank}: {cause}" for rank, cause in causes.items()), str(error))
        raise LaunchError(
            f"{job.stage}: training failed more often than resources.max_failures={job.config.resources.max_failures}"
            f" allows; the last time on {first.strip()}. What was trained is kept: the same command goes on from there"
        ) from error


def _trainer(job: TrainingJob, folder: str) -> TorchTrainer:
    resources, best_by = job.config.resources, job.settings.best_by
    filesystem, path = storage.locate(folder)
    return TorchTrainer(
        train,
        train_loop_config=job.model_dump(mode="json"),
        scaling_config=ScalingConfig(
            num_workers=resources.num_workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=resources.per_worker,
            placement_strategy=resources.placement,
            elastic_resize_monitor_interval_s=resources.resize_seconds,
        ),
        run_config=RunConfig(
            name=RUN,
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=resources.max_failures),
            checkpoint_config=CheckpointConfig(
                num_to_keep=resources.keep_checkpoints,
                checkpoint_score_attribute=f"{job.stage}/{best_by}" if best_by else None,
                checkpoint_score_order="min",
            ),
            worker_runtime_env={"env_vars": WORKER_ENVIRONMENT},
            logging_config=LoggingConfig(log_level="WARNING"),
            callbacks=[QuietRetries()],
        ),
    )


def _addresses(job: TrainingJob, result: Result) -> tuple[str, str]:
    """Return the URIs of a finished run's last and best checkpoint, the best by `best_by`, else the last."""
    assert result.checkpoint is not None
    last = address_of(result.checkpoint)
    best_by = job.settings.best_by
    if not best_by or not result.best_checkpoints:
        return last, last
    scores = [float(metrics[f"{job.stage}/{best_by}"]) for _, metrics in result.best_checkpoints]
    best = min(range(len(scores)), key=lambda number: (math.isnan(scores[number]), scores[number]))  # nan: not measured
    return last, address_of(result.best_checkpoints[best][0])
