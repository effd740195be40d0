"""Tables, Pareto front, the winner's config and the picture, from records alone."""

import csv
import io
from pathlib import Path

import pytest

from diffusegae.config.load import load_config
from diffusegae.images import decode_image
from diffusegae.tuning.job import SweepError
from diffusegae.tuning.ledger import Report, Status, TrialRecord
from diffusegae.tuning.picture import draw_sweep
from diffusegae.tuning.results import (
    TrialResult,
    pareto_front,
    read_results,
    shown,
    winner_of,
    write_pareto,
    write_table,
    write_winner,
)
from diffusegae.tuning.space import dimensions_of, own_point
from diffusegae.tuning.trial import DIVERGED
from tests.stored_latents import sweep_config

CONFIG = sweep_config("name=mine")
DIMENSIONS = dimensions_of(CONFIG)


def record(number: int, status: Status, leak: float, error: float, **point: float | str) -> TrialRecord:
    metrics = {"score": 1 - leak - 0.5 * error, "own": 1.0, "leak": leak, "error": error, "probe/mean_leak": leak / 2}
    drawn = own_point(CONFIG, DIMENSIONS) | {key.replace("__", "."): value for key, value in point.items()}
    report = Report(number=4, samples_seen=320, metrics=metrics)
    return TrialRecord(number=number, point=drawn, status=status, reports=(report,))


RECORDS = [
    record(0, "done", 0.20, 0.30),
    record(1, "done", 0.10, 0.25, refine__lambda_ss=3.0, data__attributes__pose__width=2.0),
    record(2, "done", 0.30, 0.05, refine__lambda_ss=0.5, model__gae__widths="2"),
    record(3, "stopped", 0.01, 0.01, refine__learning_rate=0.5),
    record(4, "done", 0.12, 0.26, model__gae__normalise_parts="false"),
    TrialRecord(number=5, point=own_point(CONFIG, DIMENSIONS), status="failed"),
]


@pytest.fixture
def results() -> list[TrialResult]:
    return read_results(CONFIG, RECORDS)


def test_the_winner_is_the_best_of_those_that_ran_to_their_end(results: list[TrialResult]) -> None:
    assert [result.number for result in results] == [0, 1, 2, 3, 4]
    assert winner_of(results).number == 1
    with pytest.raises(SweepError, match="no trial ran to its end"):
        winner_of([result for result in results if not result.is_whole])


def test_a_diverged_trial_cannot_win(results: list[TrialResult]) -> None:
    worst = RECORDS[1].model_copy(
        update={"reports": (Report(number=1, samples_seen=16, metrics={"score": 9.0, DIVERGED: 1.0}),)}
    )
    assert winner_of([*results, *read_results(CONFIG, [worst])]).score < 9


def test_the_front_holds_what_none_beats_in_leak_and_error_at_once(results: list[TrialResult]) -> None:
    assert [result.number for result in pareto_front(results)] == [1, 2]


def test_the_table_has_every_trial_with_the_settings_it_ran_with(results: list[TrialResult]) -> None:
    rows = list(csv.DictReader(io.StringIO(write_table(results))))
    assert [row["trial"] for row in rows] == ["1", "4", "2", "0", "3"]
    first = rows[0]
    assert (first["refine.lambda_ss"], first["data.attributes.pose.width"], first["groups"]) == ("3", "12", "320")
    assert [rows[2]["model.gae.widths"], rows[1]["model.gae.normalise_parts"]] == ["4 x 64", "false"]
    assert float(first["mean_leak"]) == 0.05


def test_the_markdown_names_the_front_the_winner_and_the_config(results: list[TrialResult]) -> None:
    text = write_pareto(CONFIG, results)
    front, everything = text.split("## All trials")
    assert "5 trials, 1 stopped early" in text
    assert front.count("\n| ") == 4  # titles, line, two trials
    assert "| 1 (winner) |" in front
    assert "| 0 (config) |" in everything


def test_the_winners_yaml_is_a_whole_config_that_shares_stage_1(results: list[TrialResult], tmp_path: Path) -> None:
    path = tmp_path / "winner.yaml"
    path.write_text(write_winner(CONFIG, results))
    assert "validation score 0.7750, the config's own 0.6500" in path.read_text()
    loaded = load_config(str(path))
    assert (loaded.name, loaded.base) == ("mine-tuned", "mine")
    assert loaded.refine.lambda_ss == 3 * CONFIG.refine.lambda_ss
    assert loaded.refine.num_samples == CONFIG.refine.num_samples
    assert [spec.width for spec in loaded.data.attributes.values()] == [6, 6, 12]


@pytest.mark.parametrize("chosen", [slice(None), slice(0, 1), slice(0, 3)])
def test_the_picture_is_drawn_whatever_varies(results: list[TrialResult], chosen: slice) -> None:
    pixels = decode_image(draw_sweep(results[chosen], DIMENSIONS), 64)
    assert pixels.shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00123456, "0.00123"),
        ([256, 256], "2 x 256"),
        ([64, 128], "64-128"),
        (True, "true"),
        (3, "3"),
        ("layer", "layer"),
    ],
)
def test_settings_are_shown_short(value: object, text: str) -> None:
    assert shown(value) == text
