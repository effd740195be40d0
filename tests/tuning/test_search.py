"""The search: the config itself first, nothing finished again, Optuna and ASHA know what was before a restart."""

from types import SimpleNamespace
from typing import Any

import pytest

from diffusegae.tuning.job import SweepJob
from diffusegae.tuning.ledger import Ledger, Report
from diffusegae.tuning.search import NUMBER, POINT, REPORT, REPORTED, LedgerAsha, LedgerSearch, Recorder
from diffusegae.tuning.space import dimensions_of, own_point
from diffusegae.tuning.trial import DIVERGED
from diffusegae.tuning.watch import Watch
from tests.stored_latents import sweep_config


class LedgerOnly(Watch):
    """A watch without MLflow."""

    def __init__(self, job: SweepJob) -> None:
        super().__init__(job, Ledger(job.trials))

    def begin(self, number: int, point: dict[str, float | str]) -> int:
        return len(self.ledger.begin(number, point).reports)

    def report(self, number: int, report: Report) -> None:
        self.ledger.report(number, report)

    def finish(self, number: int, status: Any) -> None:
        self.ledger.finish(number, status)


def open_search(job: SweepJob) -> tuple[LedgerSearch, Ledger]:
    watch = LedgerOnly(job)
    return LedgerSearch(job, watch.ledger, watch), watch.ledger


def report(number: int, score: float, **more: float) -> Report:
    return Report(number=number, samples_seen=80 * number, metrics={"score": score, **more})


def test_the_first_trial_is_the_config_itself_and_the_others_differ(job: SweepJob) -> None:
    search, ledger = open_search(job)
    told = [search.suggest(name) for name in "abcd"]
    assert [entry[NUMBER] for entry in told] == [0, 1, 2, 3]
    assert told[0][POINT] == own_point(job.config, dimensions_of(job.config))
    assert len({str(entry[POINT]) for entry in told}) == 4
    assert [dict(record.point) for record in ledger.records] == [entry[POINT] for entry in told]


def test_a_restart_takes_up_what_was_cut_off_and_draws_new_numbers_and_points(job: SweepJob) -> None:
    search, ledger = open_search(job)
    before = [search.suggest(name) for name in "abcd"]
    for number, status in ((0, "done"), (2, "stopped"), (3, "failed")):
        ledger.report(number, report(1, 0.1 * number))
        ledger.finish(number, status)

    again, _ = open_search(job)
    told = [again.suggest(name) for name in "efg"]
    assert [(entry[NUMBER], entry[REPORTED]) for entry in told] == [(1, 0), (3, 1), (4, 0)]
    assert told[0][POINT] == before[1][POINT]
    assert told[1][POINT] == before[3][POINT]
    assert told[2][POINT] not in [entry[POINT] for entry in before]
    assert sorted(trial.value for trial in again._ot_study.trials if trial.value is not None) == [0.0, 0.2]


def test_the_same_sweep_draws_the_same_points(job: SweepJob) -> None:
    points = []
    for name in ("one", "two"):
        search, _ = open_search(job.model_copy(update={"folder": f"{job.folder}-{name}"}))
        points.append([search.suggest(str(place))[POINT] for place in range(4)])
    assert points[0] == points[1]


class TestAsha:
    """With rungs at reports 1, 2 and 4 the lower half is stopped at each."""

    asked = sweep_config("tune.reduction_factor=2").tune

    def result(self, number: int, score: float) -> dict[str, Any]:
        return {REPORT: number, "score": score}

    def trial(self, number: int) -> SimpleNamespace:
        return SimpleNamespace(trial_id=f"ray-{number}", config={NUMBER: number})

    def decide(self, asha: LedgerAsha, number: int, *scores: float) -> list[str]:
        trial = self.trial(number)
        asha.on_trial_add(None, trial)
        return [asha.on_trial_result(None, trial, self.result(place, s)) for place, s in enumerate(scores, start=1)]

    def test_the_worse_is_stopped_and_the_config_itself_never(self) -> None:
        asha = LedgerAsha(self.asked, [])
        assert self.decide(asha, 1, 0.5) == ["CONTINUE"]
        assert self.decide(asha, 2, 0.4) == ["STOP"]
        assert self.decide(asha, 0, 0.1, 0.1) == ["CONTINUE", "CONTINUE"]
        assert self.decide(asha, 3, 0.6) == ["CONTINUE"]

    def test_after_a_restart_trials_are_held_against_the_finished_ones(self, job: SweepJob) -> None:
        ledger = Ledger(job.trials)
        for number, score in ((1, 0.5), (2, 0.4)):
            ledger.begin(number, {})
            ledger.report(number, report(1, score))
            ledger.finish(number, "stopped")
        assert self.decide(LedgerAsha(self.asked, ledger.records), 3, 0.44) == ["STOP"]
        assert self.decide(LedgerAsha(self.asked, []), 3, 0.44) == ["CONTINUE"]

    def test_a_trial_that_goes_on_stands_on_the_rungs_it_passed(self, job: SweepJob) -> None:
        ledger = Ledger(job.trials)
        ledger.begin(1, {})
        ledger.report(1, report(1, 0.3))
        asha = LedgerAsha(self.asked, ledger.records)
        trial = self.trial(1)
        asha.on_trial_add(None, trial)
        assert asha.on_trial_result(None, trial, self.result(2, 0.9)) == "CONTINUE"
        assert asha._brackets[0]._rungs[-1][1] == {"ray-1": 0.3}  # the first rung holds its first report, not 0.9


def test_a_trial_whose_end_was_not_heard_makes_its_last_report_again(job: SweepJob) -> None:
    search, ledger = open_search(job)
    search.suggest("a")
    for number in (1, 2, 3, 4):
        ledger.report(0, report(number, 0.1))
    again, _ = open_search(job)
    told = again.suggest("b")
    assert (told[NUMBER], told[REPORTED]) == (0, 3)


@pytest.mark.parametrize(
    ("reports", "status"),
    [
        ([report(1, 0.1)], "stopped"),
        ([report(number, 0.1) for number in (1, 2, 3, 4)], "done"),
        ([report(1, -2.0, **{DIVERGED: 1.0})], "done"),
    ],
)
def test_the_end_of_a_trial_is_told_from_its_last_report(job: SweepJob, reports: list[Report], status: str) -> None:
    watch = LedgerOnly(job)
    watch.begin(5, {})
    recorder = Recorder(watch, job.config.tune)
    trial = SimpleNamespace(config={NUMBER: 5})
    for entry in reports:
        recorder.on_trial_result(0, [], trial, {"content": entry.model_dump(mode="json")})
    recorder.on_trial_complete(0, [], trial)
    assert watch.ledger[5].status == status
    assert watch.ledger[5].reports == tuple(reports)
