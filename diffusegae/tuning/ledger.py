"""The ledger of a sweep: one small file per trial, written whole at every report, by which a killed sweep goes on.

Ray Tune's own snapshot is written every ten seconds, not atomically, and without what ASHA knows; the ledger is what a
sweep believes. A trial is entered before it starts, and is finished when it ran to its end or was stopped.
"""

from collections.abc import Mapping
from typing import Literal

from diffusegae import storage
from diffusegae.config.base import Config
from diffusegae.tuning.score import SCORE

Status = Literal["running", "done", "stopped", "failed"]
FINISHED: tuple[Status, ...] = ("done", "stopped")


class Report(Config):
    """What a trial measured after so many GROUPs; the first is number 1."""

    number: int
    samples_seen: int
    metrics: dict[str, float]

    @property
    def score(self) -> float:
        """What the search maximises."""
        return self.metrics[SCORE]


class TrialRecord(Config):
    """All that is known of a trial; `point` is what was drawn for it."""

    number: int
    point: dict[str, float | str]
    status: Status = "running"
    reports: tuple[Report, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Tell whether it is not to be run again."""
        return self.status in FINISHED

    @property
    def last(self) -> Report | None:
        """Its latest report, None if it never made one."""
        return self.reports[-1] if self.reports else None


class Ledger:
    """The records of a sweep's trials; there is one writer, the process that runs the sweep."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        contents = [storage.read_bytes(path) for path in storage.list_files(folder, ".json")]
        records = [TrialRecord.model_validate_json(content) for content in contents]
        self._records = {record.number: record for record in records}

    @property
    def records(self) -> list[TrialRecord]:
        """All trials in the order in which they were drawn."""
        return [self._records[number] for number in sorted(self._records)]

    def __getitem__(self, number: int) -> TrialRecord:
        return self._records[number]

    def begin(self, number: int, point: Mapping[str, float | str]) -> TrialRecord:
        """Enter a trial, or take one up again that was cut off or failed; what it reported stays."""
        known = self._records.get(number)
        return self._put(TrialRecord(number=number, point=dict(point), reports=known.reports if known else ()))

    def report(self, number: int, report: Report) -> None:
        """Add a report; one of the same number, made before a death, is replaced."""
        record = self._records[number]
        kept = tuple(known for known in record.reports if known.number < report.number)
        self._put(record.model_copy(update={"reports": (*kept, report)}))

    def finish(self, number: int, status: Status) -> None:
        """Note how a trial ended."""
        self._put(self._records[number].model_copy(update={"status": status}))

    def _put(self, record: TrialRecord) -> TrialRecord:
        storage.write_bytes(storage.join(self.folder, f"{record.number:04d}.json"), record.model_dump_json().encode())
        self._records[record.number] = record
        return record
