"""The confirmation: the config and the sweep's winner at full length with several seeds, scored on the test split.

This is the only part of tuning that sees held-out rows. A run that was finished before is not run again.
"""

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
import yaml

from diffusegae import storage
from diffusegae.config.load import validate_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.latent_split import Split, read_test_split
from diffusegae.tracking.runs import RunLogger, finish_run
from diffusegae.tuning.job import SweepError, SweepJob
from diffusegae.tuning.ledger import Report
from diffusegae.tuning.score import ERROR, LEAK, OWN, SCORE
from diffusegae.tuning.search import require_trial
from diffusegae.tuning.space import schema_at
from diffusegae.tuning.sweep import open_run
from diffusegae.tuning.trial import Trial, run_trial

logger = logging.getLogger(__name__)

CONFIG, WINNER = "config", "winner"
MEASURED = {
    SCORE: "score", OWN: "own", LEAK: "leak", ERROR: "error",
    "probe/mean_leak": "mean leak", "probe/max_leak": "largest leak",
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """One training of one of the two configs."""

    who: str
    config: PipelineConfig

    @property
    def name(self) -> str:
        """Its name in folders and logs."""
        return f"{self.who}-{self.config.seed}"


def confirm(job: SweepJob) -> str:
    """Train both configs with each seed on the running Ray; return the table of test figures as Markdown.

    Raises:
        SweepError: there is no winner yet.
    """
    job = open_run(job)
    candidates = plan_candidates(job)
    measured = {candidate.name: _read(job, candidate) for candidate in candidates}
    waiting = [candidate for candidate in candidates if measured[candidate.name] is None]
    if waiting:
        measured |= _train(job, waiting, read_test_split(job.latents, job.attributes, job.config.tune))
    figures = {
        who: [measured[c.name] or {} for c in candidates if c.who == who] for who in (CONFIG, WINNER)
    }  # every one is measured now
    table = write_comparison(figures)
    storage.write_bytes(job.path("confirm.md"), table.encode())
    _track(job, figures, table)
    return table


def plan_candidates(job: SweepJob) -> list[Candidate]:
    """Return the trainings of a confirmation, the two configs side by side seed by seed."""
    if not storage.exists(job.winner):
        raise SweepError(f"there is no {job.winner}; run the sweep to its end first")
    winner = validate_config(yaml.safe_load(storage.read_bytes(job.winner)), job.winner)
    seeds = [job.config.seed + offset for offset in range(job.config.tune.confirm_seeds)]
    both = {CONFIG: job.config, WINNER: winner}
    return [Candidate(who, config.model_copy(update={"seed": seed})) for seed in seeds for who, config in both.items()]


def write_comparison(figures: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return mean and standard deviation over seeds of both, and what the winner gains seed by seed."""
    count = len(figures[CONFIG])
    lines = [
        f"Test split, {count} seeds, mean ± standard deviation; gain: winner less config, seed by seed.",
        "",
        "| | config | winner | gain |",
        "| --- | --- | --- | --- |",
    ]
    diagonal = [name for name in figures[CONFIG][0] if _is_diagonal(name)]
    for name, title in {**MEASURED, **{name: f"{name.split('/')[1]} from its part" for name in diagonal}}.items():
        config, winner = (np.array([run[name] for run in figures[who]]) for who in (CONFIG, WINNER))
        lines.append(f"| {title} | {_spread(config)} | {_spread(winner)} | {_spread(winner - config, signed=True)} |")
    gains = [w[SCORE] - c[SCORE] for c, w in zip(figures[CONFIG], figures[WINNER], strict=True)]
    better = sum(gain > 0 for gain in gains)
    return "\n".join([*lines, "", f"The winner's score is better with {better} of {count} seeds."]) + "\n"


def _spread(values: np.ndarray, signed: bool = False) -> str:
    mean = f"{values.mean():+.4f}" if signed else f"{values.mean():.4f}"
    return f"{mean} ± {values.std(ddof=1):.4f}"


def _is_diagonal(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 3 and parts[0] == "probe" and parts[1] == parts[2]


def _result(job: SweepJob, candidate: Candidate) -> str:
    return job.path("confirm", f"{candidate.name}.json")


def _read(job: SweepJob, candidate: Candidate) -> dict[str, float] | None:
    path = _result(job, candidate)
    return dict(json.loads(storage.read_bytes(path))) if storage.exists(path) else None


def _train(job: SweepJob, waiting: Sequence[Candidate], split: Split) -> dict[str, dict[str, float]]:
    """Train candidates side by side, as many as trials in the sweep; store each result as it comes."""
    require_trial(job)
    asked, held = job.config.tune, ray.put(split)
    remote = ray.remote(num_cpus=asked.cpus_per_trial, num_gpus=asked.gpus_per_trial)(train_candidate)
    remote = remote.options(max_retries=asked.max_failures)
    left, running = list(waiting), dict[Any, Candidate]()
    measured: dict[str, dict[str, float]] = {}
    while left or running:
        while left and len(running) < asked.concurrent:
            candidate = left.pop(0)
            logger.info("%s starts: %s GROUPs", candidate.name, f"{candidate.config.refine.num_samples:,}")
            running[remote.remote(job.model_dump(mode="json"), candidate.config.model_dump(mode="json"),
                                  candidate.name, held)] = candidate  # fmt: skip
        (done,), _ = ray.wait(list(running))
        candidate = running.pop(done)
        metrics: dict[str, float] = ray.get(done)
        storage.write_bytes(_result(job, candidate), json.dumps(metrics).encode())
        storage.delete(job.path("confirm", candidate.name))
        measured[candidate.name] = metrics
        logger.info("%s: test score %.4f; %d to go", candidate.name, metrics[SCORE], len(left) + len(running))
    return measured


def train_candidate(payload: dict[str, Any], config: dict[str, Any], name: str, split: Split) -> dict[str, float]:
    """Train one candidate to its end, from its checkpoint if it was cut off; return what the test split says."""
    job, drawn = SweepJob.model_validate(payload), PipelineConfig.model_validate(config)
    asked = job.config.tune
    torch.set_num_threads(max(1, int(asked.cpus_per_trial)))
    device = torch.device("cuda" if asked.gpus_per_trial else "cpu")
    trial = Trial(drawn, schema_at(job.attributes, drawn), split, device)
    reports: list[Report] = list(run_trial(trial, job.path("confirm", name), asked.num_reports))
    return dict(reports[-1].metrics)


def _track(job: SweepJob, figures: Mapping[str, Sequence[Mapping[str, float]]], table: str) -> None:
    run = RunLogger(job.tracking_uri, job.run_id)
    for who, runs in figures.items():
        for seed, metrics in enumerate(runs, start=job.config.seed):
            run.log_metrics({f"confirm/{who}/{name}": value for name, value in metrics.items()}, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "confirm.md")
        path.write_text(table)
        run.log_file(path, "tune")
    finish_run(job.tracking_uri, job.run_id, "FINISHED")
