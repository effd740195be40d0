"""Evaluation on a cluster: every missing piece as a task of Ray's, on as many GPUs or CPUs as there are."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import ray
import torch

from diffusegae import storage
from diffusegae.baselines.latent_diffusion import LatentDiffusionMethod
from diffusegae.capacity import Ask, require_room
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import ResourcesConfig
from diffusegae.editing.network import device_at_hand
from diffusegae.editing.shard_encoder import local_checkpoint
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.context import JUDGE, Context, load_context, prepare_context, read_plan
from diffusegae.evaluation.finish import finish
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.pieces import Assignment, Piece, plan_pieces
from diffusegae.evaluation.running import run_piece
from diffusegae.evaluation.subjects import Subject, load_subject
from diffusegae.evaluation.ways import CHOSEN, prepare_ways, take_ways
from diffusegae.forecast import Forecast, Workload

logger = logging.getLogger(__name__)
MAX_DEATHS = 3  # of a piece's process, after which it is begun again
LOG_SECONDS = 10.0


def measure_all(assignments: Sequence[Assignment], job: str, rate: float = 0.0) -> list[Measured]:
    """Measure subjects that are judged alike, on the running Ray; pieces that are kept are not done again.

    `rate` is known from before, in denoising steps of an image per second, or 0; it serves the forecast alone.
    """
    first = assignments[0]
    resources = first.config.resources
    if not storage.exists(storage.join(first.context, JUDGE)):
        run_remotely(prepare_context, (first.config, first.images), resources)
    plan = read_plan(first.context)
    for assignment in assignments:
        if assignment.edits_codes and not storage.exists(storage.join(assignment.folder, CHOSEN)):
            logger.info("%s: choosing how codes of %s are edited", job, assignment.method)
            run_remotely(choose_ways, (assignment,), resources)
    planned = {each.folder: plan_pieces(each.method, each.config, plan, compared=each.compared) for each in assignments}
    _run_missing([(each, piece) for each in assignments for piece in planned[each.folder]], job, resources, rate)
    return [finish([_read(each, piece) for piece in planned[each.folder]]) for each in assignments]


def run_remotely(function: Callable[..., Any], arguments: tuple[Any, ...], resources: ResourcesConfig) -> Any:
    """Return what a function returns in a process that has a training worker's CPUs and GPUs.

    Raises:
        CapacityError: the cluster has no room for that.
    """
    _require_room(function, resources)
    return ray.get(as_task(function, resources).remote(*arguments))


def choose_ways(assignment: Assignment) -> None:
    """Fit and choose the ways in which a subject's codes are edited."""
    _settle(assignment.config.resources)
    subject = _load(assignment)
    prepare_ways(Bench.of(subject.method, _context(assignment.model_dump_json())), assignment.folder)


def measure_piece(assignment: Assignment, piece: Piece) -> None:
    """Measure a piece and keep what was found."""
    _settle(assignment.config.resources)
    key = assignment.model_dump_json()
    measured = run_piece(_bench(key) if assignment.method else _context(key), piece)
    storage.write_bytes(storage.join(assignment.folder, piece.file), measured.to_bytes())


def _run_missing(works: Sequence[tuple[Assignment, Piece]], job: str, resources: ResourcesConfig, rate: float) -> None:
    """Run the pieces that are not kept, logging a forecast, progress and the time left."""
    missing = [(assignment, piece) for assignment, piece in works if not piece.is_kept(assignment.folder)]
    if not missing:
        logger.info("%s: all %d pieces are measured already", job, len(works))
        return
    total, left = (sum(piece.work for _, piece in each) for each in (works, missing))
    forecast = Forecast(Workload(job, total, "denoising steps of an image"), rate, total - left)
    logger.info("%s, in %d pieces of %d", forecast.announce(), len(missing), len(works))
    _require_room(measure_piece, resources)
    remote = as_task(measure_piece, resources)
    running = {remote.remote(assignment, piece): piece for assignment, piece in missing}
    done, started, logged = total - left, time.monotonic(), time.monotonic()
    while running:
        (finished,), _ = ray.wait(list(running))
        ray.get(finished)
        done += running.pop(finished).work
        if sharper := forecast.advance(done):
            logger.info(sharper)
        if (now := time.monotonic()) - logged >= LOG_SECONDS and running:
            logged, seconds = now, (now - started) * (total - done) / max(1, done - total + left)
            logger.info("%s: %.0f %% done, %d pieces and %.0f s left", job, 100 * done / total, len(running), seconds)
    logger.info(forecast.verdict())


def as_task(function: Callable[..., Any], resources: ResourcesConfig) -> Any:
    """Return a function as a task: with a worker's share of a GPU, or on one CPU, as many side by side as there are."""
    needs = _needs(resources)
    return ray.remote(num_cpus=needs["CPU"], num_gpus=needs["GPU"], max_retries=MAX_DEATHS)(function)


def _needs(resources: ResourcesConfig) -> dict[str, float]:
    gpus = resources.gpus_per_worker
    return {"CPU": resources.cpus_per_worker if gpus else 1, "GPU": gpus}


def _require_room(function: Callable[..., Any], resources: ResourcesConfig) -> None:
    ask = Ask(function.__name__, 1, _needs(resources), resources.settings_per_worker)
    require_room(ask, resources.wait_minutes)


def _read(assignment: Assignment, piece: Piece) -> Measured:
    return Measured.from_bytes(storage.read_bytes(storage.join(assignment.folder, piece.file)))


def log_here() -> None:
    """Let the lines of a process of Ray's reach the driver's log."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S")


def _settle(resources: ResourcesConfig) -> None:
    """Log, and take no more threads than were asked for."""
    log_here()
    torch.set_num_threads(int(resources.cpus_per_worker) if resources.gpus_per_worker else 1)


@lru_cache(maxsize=1)
def _bench(key: str) -> Bench:
    """Load a subject, which the process keeps until it measures another one."""
    assignment = Assignment.model_validate_json(key)
    subject = _load(assignment)
    if assignment.edits_codes and isinstance(subject.method, LatentDiffusionMethod):
        take_ways(subject.method, assignment.folder)
    return Bench.of(subject.method, _context(key))


def _context(key: str) -> Context:
    assignment = Assignment.model_validate_json(key)
    return _load_context(assignment.config.model_dump_json(), assignment.images, assignment.context)


@lru_cache(maxsize=1)
def _load_context(config: str, images: str, folder: str) -> Context:
    return load_context(PipelineConfig.model_validate_json(config), images, folder)


def _load(assignment: Assignment) -> Subject:
    assert assignment.method
    context = _context(assignment.model_dump_json())
    with local_checkpoint(assignment.checkpoint) as folder:
        return load_subject(assignment.method, folder, context.schema, device_at_hand())
