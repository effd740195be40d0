"""A sweep from beginning to end: claim its folder, search, write tables, picture and the winner's config.

The folder holds `plan.json` (what the sweep is of), `trials/` (the ledger), `checkpoints/` of unfinished trials, and
when it ends `trials.csv`, `pareto.md`, `parallel.png` and `winner.yaml`, which are also artifacts of its MLflow run.
"""

import hashlib
import json
import logging
import tempfile
import uuid
from pathlib import Path

from diffusegae import storage
from diffusegae.config.base import Config
from diffusegae.data.latent_split import read_validation_split
from diffusegae.data.latents import read_latent_manifest
from diffusegae.tracking.runs import RunLogger, finish_run, open_stage_run
from diffusegae.training.launch import stage_fingerprint
from diffusegae.tuning.job import SweepError, SweepJob
from diffusegae.tuning.ledger import Ledger
from diffusegae.tuning.picture import draw_sweep
from diffusegae.tuning.results import read_results, winner_of, write_pareto, write_table, write_winner
from diffusegae.tuning.search import search
from diffusegae.tuning.space import check_space, dimensions_of

logger = logging.getLogger(__name__)

# What neither changes a trial nor which ones are drawn.
_NOT_PLANNED = {"concurrent", "cpus_per_trial", "gpus_per_trial", "max_failures", "confirm_seeds"}


def run_sweep(job: SweepJob, resume: bool) -> str:
    """Run the sweep on the running Ray, or the rest of it; return what it found, in a few lines.

    Raises:
        SweepError: the folder holds a sweep that is not to be resumed or is another one, it was interrupted, or no
            trial came to its end.
        SpaceError: the search space holds impossible settings.
    """
    check_space(job.config, dimensions_of(job.config))
    ledger = Ledger(job.trials)
    _claim(job, ledger, resume)
    job = open_run(job)
    search(job, read_validation_split(job.latents, job.attributes, job.config.tune), ledger)
    _require_end(job, ledger)
    summary = _write(job, ledger)
    finish_run(job.tracking_uri, job.run_id, "FINISHED")
    return summary


class Plan(Config):
    """Which sweep a folder holds; `name` tells it from an earlier one of the same pipeline, for MLflow."""

    name: str
    fingerprint: str


def open_run(job: SweepJob) -> SweepJob:
    """Return the job with the MLflow run of the sweep that its folder holds, set to RUNNING.

    Raises:
        SweepError: the folder holds none, or that of another config.
    """
    plan = _read_plan(job)
    if plan is None:
        raise SweepError(f"there is no sweep in {job.folder}; run jobs/tune.py without --confirm first")
    return job.model_copy(
        update={"run_id": open_stage_run(job.tracking_uri, job.config, job.pipeline_run_id, plan.name)}
    )


def plan_fingerprint(job: SweepJob) -> str:
    """Return a hash of all that decides what a sweep finds."""
    stage = stage_fingerprint(job.config, "refine", read_latent_manifest(job.latents).encoder)
    settings = job.config.tune.model_dump(mode="json", exclude=_NOT_PLANNED)
    return hashlib.sha256(json.dumps([stage, settings], sort_keys=True).encode()).hexdigest()[:16]


def _claim(job: SweepJob, ledger: Ledger, resume: bool) -> None:
    if _read_plan(job) is None:
        plan = Plan(name=f"tune-{uuid.uuid4().hex[:8]}", fingerprint=plan_fingerprint(job))
        storage.write_bytes(job.plan, plan.model_dump_json().encode())
        return
    finished = f"{sum(record.is_finished for record in ledger.records)} of {job.config.tune.num_trials} trials finished"
    if not resume:
        raise SweepError(
            f"{job.folder} holds a sweep with {finished}; --resume goes on with it, or delete the folder to begin anew"
        )
    logger.info("resuming: %s", finished)


def _require_end(job: SweepJob, ledger: Ledger) -> None:
    ended = sum(record.status != "running" for record in ledger.records)
    if ended < job.config.tune.num_trials:
        raise SweepError(
            f"the sweep was interrupted after {ended} of {job.config.tune.num_trials} trials; --resume goes on with it"
        )


def _read_plan(job: SweepJob) -> Plan | None:
    """Return the plan of the sweep in the folder, None without one; SweepError if it is another config's."""
    if not storage.exists(job.plan):
        return None
    plan = Plan.model_validate_json(storage.read_bytes(job.plan))
    if plan.fingerprint != plan_fingerprint(job):
        raise SweepError(
            f"{job.folder} holds a sweep of another config; give the same --config, --set and --trials as at first, or"
            " delete the folder to begin anew"
        )
    return plan


def _write(job: SweepJob, ledger: Ledger) -> str:
    config, results = job.config, read_results(job.config, ledger.records)
    winner = winner_of(results)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        (output / "trials.csv").write_text(write_table(results))
        (output / "pareto.md").write_text(write_pareto(config, results))
        (output / "parallel.png").write_bytes(draw_sweep(results, dimensions_of(config)))
        (output / "winner.yaml").write_text(write_winner(config, results))
        storage.upload_directory(output, job.folder)
        run = RunLogger(job.tracking_uri, job.run_id)
        run.log_metrics({f"tune/{name}": value for name, value in winner.figures.items()}, 0)
        run.log_directory(output, "tune")
    own = next((result.score for result in results if result.number == 0 and result.is_whole), None)
    failed = [record.number for record in ledger.records if record.status == "failed"]
    return "\n".join(
        [
            *([f"trials {failed} failed; --resume tries them again"] if failed else []),
            f"the config:  {'-' if own is None else f'{own:.4f}'}  (trial 0, validation score)",
            f"the winner:  {winner.score:.4f}  (trial {winner.number} of {len(ledger.records)})",
            f"table:       {job.path('pareto.md')}",
            f"picture:     {job.path('parallel.png')}",
            f"its config:  {job.winner}",
        ]
    )
