"""The search: Optuna draws points, ASHA stops trials early, Ray Tune runs them; the only file that knows Ray Tune.

What was before is taken from the ledger: finished trials are told to Optuna and to ASHA, those that were cut off are
drawn first, and each goes on from its own checkpoint.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from diffusegae import storage
from diffusegae.capacity import Ask, require_room
from diffusegae.config.tuning import TuneConfig
from diffusegae.data.latent_split import Split
from diffusegae.tuning.job import SweepJob
from diffusegae.tuning.ledger import Ledger, Report, Status, TrialRecord
from diffusegae.tuning.score import SCORE
from diffusegae.tuning.space import config_at, dimensions_of, distributions_of, own_point, schema_at
from diffusegae.tuning.trial import DIVERGED, Trial, run_trial
from diffusegae.tuning.watch import Watch

NUMBER, POINT, REPORTED, REPORT = "number", "point", "reported", "report"  # what a trial is told and reports
RAY_FOLDER = "ray"
SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


def search(job: SweepJob, split: Split, ledger: Ledger) -> None:
    """Run trials on the running Ray until as many are finished as the config asks for; failed ones are left out."""
    asked = job.config.tune
    remaining = asked.num_trials - sum(record.is_finished for record in ledger.records)
    if remaining <= 0:
        return
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in os.environ})
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for chatty in ("ray.tune", "ray.air"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    require_trial(job)
    storage.delete(job.path(RAY_FOLDER))
    watch = Watch(job, ledger)
    filesystem, path = storage.locate(job.folder)
    trainable = tune.with_parameters(train_trial, payload=job.model_dump(mode="json"), split=split)
    tune.Tuner(
        tune.with_resources(trainable, {name: amount for name, amount in asked.per_trial.items() if amount}),
        tune_config=tune.TuneConfig(
            search_alg=LedgerSearch(job, ledger, watch),
            scheduler=LedgerAsha(asked, ledger.records),
            num_samples=remaining,
            max_concurrent_trials=asked.concurrent,
            reuse_actors=True,  # starting a process takes longer than a rung of a short trial
        ),
        run_config=tune.RunConfig(
            name=RAY_FOLDER,
            storage_path=path,
            storage_filesystem=filesystem,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=asked.max_failures),
            callbacks=[Recorder(watch, asked)],
        ),
    ).fit()
    storage.delete(job.path(RAY_FOLDER))


def require_trial(job: SweepJob) -> None:
    """Return when the cluster has room for a trial; CapacityError if never."""
    asked, settings = job.config.tune, {"CPU": "tune.cpus_per_trial", "GPU": "tune.gpus_per_trial"}
    require_room(Ask("a trial", 1, asked.per_trial, settings), job.config.resources.wait_minutes)


def train_trial(told: dict[str, Any], payload: dict[str, Any], split: Split) -> None:
    """Train one trial; Ray Tune calls it in a process of its own, with the latents from the object store."""
    job = SweepJob.model_validate(payload)
    asked = job.config.tune
    torch.set_num_threads(max(1, int(asked.cpus_per_trial)))
    drawn = config_at(job.config, dimensions_of(job.config), told[POINT])
    config = drawn.model_copy(update={"refine": drawn.refine.model_copy(update={"num_samples": job.samples})})
    device = torch.device("cuda" if asked.gpus_per_trial else "cpu")
    trial = Trial(config, schema_at(job.attributes, config), split, device)
    for report in run_trial(trial, job.checkpoints(told[NUMBER]), asked.num_reports, told[REPORTED]):
        tune.report({SCORE: report.score, REPORT: report.number, "content": report.model_dump(mode="json")})


class LedgerSearch(OptunaSearch):
    """Optuna's TPE over what the ledger holds; the first trial of all is the config itself."""

    def __init__(self, job: SweepJob, ledger: Ledger, watch: Watch) -> None:
        dimensions, asked = dimensions_of(job.config), job.config.tune
        known = ledger.records
        first = [] if known else [own_point(job.config, dimensions)]
        open_records = [record for record in known if not record.is_finished]
        # Another seed after every restart, else it would draw again what it drew before.
        seed = int(np.random.SeedSequence(entropy=asked.seed, spawn_key=(len(known),)).generate_state(1)[0])
        super().__init__(
            space=distributions_of(dimensions),
            metric=SCORE,
            mode="max",
            points_to_evaluate=[*first, *(dict(record.point) for record in open_records)],
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(2, asked.num_trials // 3)),
        )
        for record in known:
            if record.is_finished and record.last is not None:
                self.add_evaluated_point(dict(record.point), record.last.score)
        self.watch = watch
        self._waiting = [record.number for record in open_records]
        self._next, self._last_report = len(known), asked.num_reports

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Draw a point, or take up one that was cut off, and enter it in the ledger."""
        point = super().suggest(trial_id)
        if point is None:
            return None
        if self._waiting:
            number = self._waiting.pop(0)
        else:
            number, self._next = self._next, self._next + 1
        # If all its reports are known but not its end, it makes the last one again.
        reported = min(self.watch.begin(number, point), self._last_report - 1)
        return {NUMBER: number, POINT: point, REPORTED: reported}


class LedgerAsha(ASHAScheduler):
    """ASHA that knows the reports made before a restart, and lets trial 0, the config itself, run to its end."""

    def __init__(self, asked: TuneConfig, records: Sequence[TrialRecord]) -> None:
        super().__init__(
            time_attr=REPORT,
            metric=SCORE,
            mode="max",
            max_t=asked.num_reports,
            grace_period=asked.grace_reports,
            reduction_factor=asked.reduction_factor,
            stop_last_trials=False,
        )
        self._known = {record.number: record for record in records}
        for record in records:
            if record.is_finished:
                self._add(None, SimpleNamespace(trial_id=f"finished-{record.number}"), record)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Take up a trial with the reports it made before it was cut off."""
        self._add(tune_controller, trial, self._known.get(trial.config[NUMBER]))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether a trial goes on."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return self.CONTINUE if trial.config[NUMBER] == 0 else decision

    def _add(self, tune_controller: Any, trial: Any, record: TrialRecord | None) -> None:
        super().on_trial_add(tune_controller, trial)
        for report in record.reports if record else ():
            super().on_trial_result(tune_controller, trial, {REPORT: report.number, SCORE: report.score})


class Recorder(tune.Callback):
    """Hands what Ray Tune hears of trials to the watch."""

    def __init__(self, watch: Watch, asked: TuneConfig) -> None:
        self.watch, self.asked = watch, asked

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Mapping[str, Any], **info: Any) -> None:
        """Enter a report."""
        self.watch.report(trial.config[NUMBER], Report.model_validate(result["content"]))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Enter the end of a trial, by itself or by ASHA."""
        number = trial.config[NUMBER]
        last = self.watch.ledger[number].last
        ended = last is not None and (last.number >= self.asked.num_reports or DIVERGED in last.metrics)
        status: Status = "done" if ended else "stopped"
        self.watch.finish(number, status)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Enter a failure; --resume tries the trial again."""
        self.watch.finish(trial.config[NUMBER], "failed")
