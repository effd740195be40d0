"""A trial: the step of training, the same after a death, scored on rows that it was not fitted to."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.feed import Feed, GroupSampler
from diffusegae.data.latent_split import LatentRows, Split
from diffusegae.data.records import LATENT
from diffusegae.schema import AttributeSchema
from diffusegae.training.stages import StageInputs
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from diffusegae.tuning.ledger import Report
from diffusegae.tuning.score import ERROR, LEAK, OWN, SCORE, WORST
from diffusegae.tuning.trial import DIVERGED, Trial, run_trial
from tests.stored_latents import sweep_config

CPU = torch.device("cpu")
SHORT = ("refine.num_samples=128", "refine.learning_rate=0.004")


def weights(trial: Trial) -> dict[str, torch.Tensor]:
    return dict(trial.state.ema.module.gae.state_dict())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, b[name]) for name, value in a.items())


def make(schema: AttributeSchema, split: Split, config: PipelineConfig | None = None) -> Trial:
    return Trial(config or sweep_config(*SHORT), schema, split, CPU)


def test_a_trial_trains_as_stage_2_does(schema: AttributeSchema, split: Split) -> None:
    config = sweep_config(*SHORT)
    trial = make(schema, split, config)
    trial.train_to(64)
    torch.manual_seed(config.seed)
    mean, covariance = torch.from_numpy(split.mean), torch.from_numpy(split.covariance)
    stage = STAGES["refine"](StageInputs(config, schema, latent_mean=mean, latent_covariance=covariance))
    state = TrainingState(stage, CPU, lambda module: module, config.seed)
    feed = Feed([split.fitted], GroupSampler(1), batch_size=config.refine.batch_size, seed=config.seed)
    for batch in islice(feed.batches(), 4):
        state.step(torch.from_numpy(batch.columns[LATENT]).unflatten(0, (batch.num_samples, batch.num_members)))
    assert same(dict(state.ema.module.gae.state_dict()), weights(trial))


def test_scores_rise_with_training_and_name_every_part(schema: AttributeSchema, split: Split) -> None:
    trial = make(schema, split, sweep_config("refine.num_samples=1600", "refine.learning_rate=0.004"))
    trial.train_to(16)
    first = trial.judge()
    trial.train_to(1600)
    last = trial.judge()
    assert last[SCORE] > first[SCORE] + 0.2
    assert last[SCORE] == pytest.approx(last[OWN] - last[LEAK] - 0.5 * last[ERROR])
    assert {"probe/vehicle/ground", "probe/mean_leak", "loss/swap", "loss/reconstruction"} <= set(last)


def test_judging_does_not_touch_the_fitted_rows_labels_or_the_weights(schema: AttributeSchema, split: Split) -> None:
    trial, other = make(schema, split), make(schema, split)
    trial.train_to(64)
    trial.judge()
    trial.train_to(128)
    other.train_to(128)
    assert same(weights(trial), weights(other))


def test_a_trial_killed_anywhere_ends_with_the_same_weights_and_reports(
    schema: AttributeSchema, split: Split, tmp_path: Path
) -> None:
    straight = make(schema, split)
    whole = list(run_trial(straight, str(tmp_path / "straight"), num_reports=4))
    assert [(report.number, report.samples_seen) for report in whole] == [(1, 32), (2, 64), (3, 96), (4, 128)]
    reports: list[Report] = []
    while len(reports) < 4:  # one report per life
        cut = make(schema, split)
        reports.append(next(iter(run_trial(cut, str(tmp_path / "cut"), num_reports=4, reported=len(reports)))))
    assert same(weights(straight), weights(cut))
    assert reports == whole
    assert len(list((tmp_path / "cut").iterdir())) == 1  # earlier checkpoints are dropped


def test_a_report_that_was_saved_but_never_heard_is_made_again(
    schema: AttributeSchema, split: Split, tmp_path: Path
) -> None:
    lost = next(iter(run_trial(make(schema, split), str(tmp_path), num_reports=4)))
    again = next(iter(run_trial(make(schema, split), str(tmp_path), num_reports=4, reported=0)))
    assert (again.number, again.samples_seen) == (1, 32)
    assert again.score == lost.score


def test_a_process_that_starts_again_does_not_make_early_reports_of_later_weights(
    schema: AttributeSchema, split: Split, tmp_path: Path
) -> None:
    """Ray Tune restarts a dead process with what it was told at first, when no report was known."""
    before = list(islice(run_trial(make(schema, split), str(tmp_path), num_reports=4), 2))
    after = list(run_trial(make(schema, split), str(tmp_path), num_reports=4, reported=0))
    assert [report.number for report in after] == [2, 3, 4]
    assert after[0].score == before[1].score


def test_remains_of_a_checkpoint_that_was_cut_off_are_not_taken_for_one(
    schema: AttributeSchema, split: Split, tmp_path: Path
) -> None:
    next(iter(run_trial(make(schema, split), str(tmp_path), num_reports=4)))
    remains = tmp_path / ".000000000064.0a1b.tmp"
    remains.mkdir()
    (remains / "meta.json").write_text("{}")
    report = next(iter(run_trial(make(schema, split), str(tmp_path), num_reports=4, reported=1)))
    assert report.number == 2


def test_a_trial_that_diverges_ends_with_the_worst_score(schema: AttributeSchema, split: Split, tmp_path: Path) -> None:
    rows = split.fitted
    poisoned = LatentRows(np.full_like(rows.z, np.inf), rows.judged_labels, rows.group_labels)
    trial = make(schema, Split(poisoned, split.judged, split.mean, split.covariance))
    (report,) = run_trial(trial, str(tmp_path), num_reports=4)
    assert report.score == WORST.total(trial.config.tune.weights)
    assert report.metrics[DIVERGED] == 1
