"""A sweep as a user runs it: killed in the middle, continued, its winner handed to the next job."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from diffusegae.config.load import load_config
from diffusegae.pipeline import Pipeline
from diffusegae.schema import build_schema
from diffusegae.tuning.ledger import Ledger
from tests.jobs import road
from tests.stored_images import write_images
from tests.stored_latents import WIDTH, write_latents
from tests.tiny import save_tiny_checkpoint, smoke_config

pytestmark = pytest.mark.e2e

COLUMNS = {"category": 4, "background": 6, "pose": 4}
TRIALS = 4
SETTINGS = (
    "--trials", str(TRIALS), "--set", "refine.num_samples=3200", "--set", "tune.length=1",
    "--set", "tune.reduction_factor=2", "--set", "data.attributes.identity.group_column=category",
)  # fmt: skip


def write_stage_1(root: Path) -> None:
    """Write what a sweep finds: images, a trained stage 1, latents. None of it is any good, and none is trained."""
    manifest = write_images(str(root / "images"), COLUMNS)
    config = smoke_config("data.attributes.identity.group_column=category")
    assert config.model.z_sem_width == WIDTH
    checkpoint = root / "stages" / "pretrain" / "checkpoint"
    save_tiny_checkpoint(checkpoint, config, build_schema(config.data.attributes, manifest.columns))
    done = {"stage": "pretrain", "fingerprint": "stage-1", "checkpoint": str(checkpoint), "seconds": 1.0}
    (root / "stages" / "pretrain" / "done.json").write_text(json.dumps(done))
    write_latents(str(root / "latents"), COLUMNS, encoder="stage-1")


def wait_until_one_is_finished_and_one_has_reported(trials: Path, alive: object, deadline: float) -> None:
    while True:
        records = Ledger(str(trials)).records if trials.exists() else []
        if any(r.is_finished for r in records) and any(not r.is_finished and r.reports for r in records):
            return
        assert alive() is None  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_sweep_continues_without_running_a_finished_trial_again_or_losing_one(
    tmp_path: Path, ray_cluster: None
) -> None:
    storage, log = tmp_path / "runs", tmp_path / "killed.log"
    root = storage / "smoke"
    write_stage_1(root)
    process = road.start("tune", storage, *SETTINGS, log=log)
    try:
        wait_until_one_is_finished_and_one_has_reported(root / "tune" / "trials", process.poll, time.monotonic() + 300)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    killed = Ledger(str(root / "tune" / "trials")).records
    assert not (root / "tune" / "winner.yaml").exists()
    finished = [record for record in killed if record.is_finished]
    cut = [record for record in killed if not record.is_finished]
    text = road.run("tune", storage, *SETTINGS, "--resume")
    after = {record.number: record for record in Ledger(str(root / "tune" / "trials")).records}
    assert sorted(after) == list(range(TRIALS))
    assert all(record.is_finished for record in after.values())
    for record in finished:
        assert after[record.number] == record
        assert f"trial {record.number} starts" not in text
    for record in cut:
        assert after[record.number].point == record.point
        assert after[record.number].reports[: len(record.reports)] == record.reports
        assert f"trial {record.number} starts{' again' if record.reports else ''}:" in text
        for report in record.reports:  # it went on from its checkpoint
            assert f"trial {record.number}, report {report.number} of" not in text

    client = MlflowClient(tracking_uri=f"sqlite:///{storage}/mlflow.db")
    runs = [run for run in client.search_runs(["1"]) if run.info.run_name.startswith("trial ")]
    assert len(runs) == TRIALS
    assert len({run.data.tags["mlflow.parentRunId"] for run in runs}) == 1
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    for name in ("trials.csv", "pareto.md", "parallel.png"):
        assert (root / "tune" / name).stat().st_size > 100

    winner = root / "tune" / "winner.yaml"
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    pipeline = Pipeline(load_config(str(winner), ["refine.num_samples=320"]))
    done = pipeline.train("refine")  # as jobs/train.py does
    assert done.checkpoint.startswith(str(storage / "smoke-tuned" / "stages" / "refine"))
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before
