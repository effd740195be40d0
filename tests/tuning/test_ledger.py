"""The ledger: what is written survives, what is finished stays so."""

from pathlib import Path

from diffusegae.tuning.ledger import Ledger, Report


def report(number: int, score: float) -> Report:
    return Report(number=number, samples_seen=80 * number, metrics={"score": score})


def test_records_are_found_again_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    for number in (1, 0, 10):
        ledger.begin(number, {"refine.lambda_ss": 1.0 + number, "model.gae.widths": "0.5"})
    ledger.report(1, report(1, 0.3))
    ledger.report(1, report(2, 0.4))
    ledger.finish(1, "stopped")
    ledger.finish(0, "failed")

    again = Ledger(str(tmp_path))
    assert again.records == ledger.records
    assert [record.number for record in again.records] == [0, 1, 10]
    assert [record.is_finished for record in again.records] == [False, True, False]
    assert again[1].last == report(2, 0.4)
    assert again[10].last is None


def test_a_trial_that_begins_again_keeps_its_reports_and_replaces_those_it_makes_again(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.begin(0, {})
    for number in (1, 2, 3):
        ledger.report(0, report(number, number / 10))
    ledger.finish(0, "failed")
    record = Ledger(str(tmp_path)).begin(0, {})
    assert (record.status, len(record.reports)) == ("running", 3)
    ledger.report(0, report(2, 0.9))
    assert [(known.number, known.score) for known in ledger[0].reports] == [(1, 0.1), (2, 0.9)]
