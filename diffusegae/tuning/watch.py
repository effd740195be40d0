"""What becomes of the reports of a sweep: the ledger, the log, and one MLflow run per trial below the sweep's.

All of it is written by the process that runs the sweep, so an SQLite database has one writer.
"""

import logging

from diffusegae import storage
from diffusegae.forecast import Forecast, Workload
from diffusegae.tracking.runs import RunLogger, RunStatus, finish_run, open_trial_run
from diffusegae.tuning.job import SweepJob
from diffusegae.tuning.ledger import Ledger, Report, Status
from diffusegae.tuning.score import ERROR, LEAK, OWN
from diffusegae.tuning.space import config_at, dimensions_of, value_at

logger = logging.getLogger(__name__)

RUN_STATUS: dict[Status, RunStatus] = {"done": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class Watch:
    """Enters trials, their reports and their ends."""

    def __init__(self, job: SweepJob, ledger: Ledger) -> None:
        self.job, self.ledger = job, ledger
        self._runs: dict[int, RunLogger] = {}
        groups = job.config.tune.num_trials * job.samples
        self._forecast = Forecast(
            Workload("tune", groups, "GROUPs"), job.config.resources.rates.get("tune", 0.0), self._groups_seen()
        )
        logger.info("%s, if no trial is stopped early", self._forecast.announce())

    def _groups_seen(self) -> int:
        return sum(record.last.samples_seen for record in self.ledger.records if record.last)

    def begin(self, number: int, point: dict[str, float | str]) -> int:
        """Enter a trial before it starts; return how many reports it made before it was cut off."""
        record = self.ledger.begin(number, point)
        config, dimensions = self.job.config, dimensions_of(self.job.config)
        drawn = config_at(config, dimensions, point)
        settings = {key: value_at(drawn, key) for key in dimensions}
        logger.info("trial %d starts%s: %s", number, " again" if record.reports else "", settings)
        run_id = open_trial_run(self.job.tracking_uri, config, self.job.run_id, number, settings)
        self._runs[number] = RunLogger(self.job.tracking_uri, run_id)
        return len(record.reports)

    def report(self, number: int, report: Report) -> None:
        """Enter a report."""
        self._runs[number].log_metrics(report.metrics, report.samples_seen)
        self.ledger.report(number, report)
        values = report.metrics
        logger.info(
            "trial %d, report %d of %d: score %.4f (own %.4f, leak %.4f, error %.4f) after %s GROUPs",
            number, report.number, self.job.config.tune.num_reports, report.score, values[OWN], values[LEAK],
            values[ERROR], f"{report.samples_seen:,}",
        )  # fmt: skip
        if sharper := self._forecast.advance(self._groups_seen()):
            logger.info(sharper)

    def finish(self, number: int, status: Status) -> None:
        """Enter the end of a trial; the checkpoint of one that is not to go on is dropped."""
        finish_run(self.job.tracking_uri, self._runs[number].run_id, RUN_STATUS[status])
        self.ledger.finish(number, status)  # last: what the ledger holds for finished is not opened again
        if self.ledger[number].is_finished:
            storage.delete(self.job.checkpoints(number))
        ended = sum(record.is_finished for record in self.ledger.records)
        logger.info("trial %d %s; %d of %d trials finished", number, status, ended, self.job.config.tune.num_trials)
        if ended == self.job.config.tune.num_trials:
            logger.info(self._forecast.verdict())
