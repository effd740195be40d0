"""Who may begin, resume and confirm a sweep; a sweep of nothing but finished trials only writes its tables."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from diffusegae import storage
from diffusegae.config.load import validate_config
from diffusegae.tracking.client import connect
from diffusegae.tuning.confirm import CONFIG, WINNER, confirm, plan_candidates, write_comparison
from diffusegae.tuning.job import SweepError, SweepJob
from diffusegae.tuning.ledger import Ledger, Report
from diffusegae.tuning.space import SpaceError, dimensions_of, own_point
from diffusegae.tuning.sweep import open_run, plan_fingerprint, run_sweep
from diffusegae.tuning.watch import Watch
from tests.stored_latents import sweep_config


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}", create=True)
    return path


@pytest.fixture
def tracked(job: SweepJob, empty_database: Path) -> SweepJob:
    shutil.copyfile(empty_database, job.tracking_uri.removeprefix("sqlite:///"))
    return job.model_copy(update={"pipeline_run_id": "0" * 32})


def figures(score: float) -> dict[str, float]:
    return {
        "score": score, "own": 1.0, "leak": 0.1, "error": 0.2, "probe/mean_leak": 0.0, "probe/max_leak": 0.1,
        "probe/pose/pose": 0.9, "probe/pose/ground": 0.2,
    }  # fmt: skip


def begin(job: SweepJob, scores: list[float]) -> SweepJob:
    """Claim the folder as a sweep would, with trials that are done."""
    storage.write_bytes(job.plan, json.dumps({"name": "tune-x", "fingerprint": plan_fingerprint(job)}).encode())
    job = open_run(job)
    watch = Watch(job, Ledger(job.trials))
    dimensions = dimensions_of(job.config)
    for number, score in enumerate(scores):
        watch.begin(number, own_point(job.config, dimensions) | {"refine.lambda_ss": 1.0 + number})
        for report in range(1, 5):
            watch.report(number, Report(number=report, samples_seen=80 * report, metrics=figures(score * report / 4)))
        watch.finish(number, "done")
    return job


def with_trials(job: SweepJob, count: int, *overrides: str) -> SweepJob:
    config = sweep_config(f"tune.num_trials={count}", f"storage={job.config.storage}", *overrides)
    return job.model_copy(update={"config": config})


def test_a_finished_sweep_writes_its_tables_without_ray_and_keeps_its_records(tracked: SweepJob) -> None:
    job = begin(with_trials(tracked, 3), [0.5, 0.8, 0.6])
    before = {path.name: path.stat().st_mtime_ns for path in Path(job.trials).iterdir()}
    text = run_sweep(with_trials(tracked, 3), resume=True)
    assert {path.name: path.stat().st_mtime_ns for path in Path(job.trials).iterdir()} == before
    assert "the winner:  0.8000  (trial 1 of 3)" in text
    assert {path.name for path in Path(job.folder).iterdir() if path.is_file()} == {
        "plan.json", "trials.csv", "pareto.md", "parallel.png", "winner.yaml",
    }  # fmt: skip

    client = MlflowClient(tracking_uri=job.tracking_uri)
    runs = client.search_runs(["1"])
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == job.run_id]
    assert {run.info.run_name for run in children} == {"trial 0", "trial 1", "trial 2"}
    assert {run.info.status for run in children} == {"FINISHED"}
    third = next(run for run in children if run.info.run_name == "trial 2")
    assert third.data.params["refine.lambda_ss"] == "3.0"
    assert set(third.data.params) == set(dimensions_of(job.config))
    history = client.get_metric_history(third.info.run_id, "score")
    assert [(point.step, round(point.value, 6)) for point in history] == [
        (80, 0.15),
        (160, 0.3),
        (240, 0.45),
        (320, 0.6),
    ]
    sweep = client.get_run(job.run_id)
    assert sweep.data.tags["mlflow.parentRunId"] == tracked.pipeline_run_id
    assert sweep.info.status == "FINISHED"
    assert {item.path for item in client.list_artifacts(job.run_id, "tune")} >= {"tune/pareto.md", "tune/winner.yaml"}


def test_a_sweep_says_what_it_will_take_and_how_far_off_that_was(
    tracked: SweepJob, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "diffusegae.tuning")
    job = with_trials(tracked, 2, "resources.rates={tune: 100}")
    begin(job, [0.5, 0.8])
    total = 2 * job.samples
    assert f"tune: {total:,} GROUPs; about" in caplog.messages[0]
    assert "at the given 100 GROUPs/s, if no trial is stopped early" in caplog.messages[0]
    assert any(message.startswith("tune: took 0:0") and "at the given rate" in message for message in caplog.messages)


def test_a_sweep_that_is_there_is_neither_begun_again_nor_mixed_with_another(tracked: SweepJob) -> None:
    begin(with_trials(tracked, 3), [0.5])
    with pytest.raises(SweepError, match=r"holds a sweep with 1 of 3 trials finished; --resume goes on with it"):
        run_sweep(with_trials(tracked, 3), resume=False)
    for other in (with_trials(tracked, 4), with_trials(tracked, 3, "refine.lambda_agree=1")):
        with pytest.raises(SweepError, match="holds a sweep of another config"):
            run_sweep(other, resume=True)


def test_an_interrupted_sweep_says_so(tracked: SweepJob, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(with_trials(tracked, 3), [0.5])
    monkeypatch.setattr("diffusegae.tuning.sweep.search", lambda *_: None)
    with pytest.raises(SweepError, match="interrupted after 1 of 3 trials; --resume goes on"):
        run_sweep(with_trials(tracked, 3), resume=True)


def test_resources_may_change_between_two_starts(tracked: SweepJob) -> None:
    more = with_trials(tracked, 3, "tune.concurrent=4", "tune.cpus_per_trial=2", "tune.confirm_seeds=5")
    assert plan_fingerprint(more) == plan_fingerprint(with_trials(tracked, 3))
    assert plan_fingerprint(with_trials(tracked, 3, "tune.length=0.5")) != plan_fingerprint(more)
    assert plan_fingerprint(with_trials(tracked, 3, "refine.learning_rate=1")) != plan_fingerprint(more)


def test_an_impossible_space_is_refused_before_the_folder_is_claimed(tracked: SweepJob) -> None:
    job = with_trials(tracked, 3, "tune.space={refine.lambda_ss: {kind: uniform, low: 5, high: 6}}")
    with pytest.raises(SpaceError, match="does not hold the config's"):
        run_sweep(job, resume=False)
    assert not Path(job.folder).exists()


def test_a_confirmation_needs_a_sweep_and_a_winner(tracked: SweepJob) -> None:
    job = with_trials(tracked, 2)
    with pytest.raises(SweepError, match="there is no sweep in"):
        confirm(job)
    begin(job, [0.5])
    with pytest.raises(SweepError, match=r"there is no .*winner.yaml; run the sweep to its end first"):
        confirm(job)


def test_a_confirmation_trains_both_with_the_same_seeds_at_full_length(tracked: SweepJob) -> None:
    job = with_trials(tracked, 2, "tune.length=0.5", "seed=4")
    begin(job, [0.5, 0.6])
    run_sweep(job, resume=True)
    candidates = plan_candidates(job)
    assert [c.name for c in candidates] == [f"{who}-{seed}" for seed in (4, 5, 6) for who in (CONFIG, WINNER)]
    assert {c.config.refine.num_samples for c in candidates} == {job.config.refine.num_samples}
    winner = validate_config(yaml.safe_load(Path(job.winner).read_text()), "winner")
    assert [c.config.refine.lambda_ss for c in candidates[:2]] == [1.0, winner.refine.lambda_ss] == [1.0, 2.0]


def test_what_was_confirmed_is_not_trained_again(tracked: SweepJob) -> None:
    job = with_trials(tracked, 2)
    begin(job, [0.5, 0.6])
    run_sweep(job, resume=True)
    for place, candidate in enumerate(plan_candidates(job)):
        path = storage.join(job.folder, "confirm", f"{candidate.name}.json")
        storage.write_bytes(path, json.dumps(figures(0.8 + 0.01 * place)).encode())
    table = confirm(job)  # without Ray
    assert "| score | 0.8200 ± 0.0200 | 0.8300 ± 0.0200 | +0.0100 ± 0.0000 |" in table
    assert "| pose from its part |" in table
    assert "better with 3 of 3 seeds" in table
    assert (Path(job.folder) / "confirm.md").read_text() == table


def test_the_comparison_counts_seeds() -> None:
    table = write_comparison({CONFIG: [figures(0.5), figures(0.7)], WINNER: [figures(0.6), figures(0.6)]})
    assert "better with 1 of 2 seeds" in table
    assert "| own | 1.0000 ± 0.0000 | 1.0000 ± 0.0000 | +0.0000 ± 0.0000 |" in table
