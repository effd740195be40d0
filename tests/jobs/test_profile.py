"""The profiling job, and that its name hides nothing of Python's."""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from diffusegae.config.load import load_config
from diffusegae.pipeline import Pipeline
from diffusegae.tracking.runs import open_stage_run, read_history
from diffusegae.training.stages import StageName
from jobs.cli import PRESETS, run
from tests.jobs import road
from tests.jobs.conftest import FinishedRoad


def test_no_job_hides_a_module_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch imports cProfile and with it `profile`; `python jobs/x.py` puts jobs/ before Python's own modules."""
    jobs, found = str(road.ROOT / "jobs"), []
    monkeypatch.setattr(sys, "path", [jobs, *sys.path])
    monkeypatch.delitem(sys.modules, "profile", raising=False)
    run(lambda: found.append(importlib.util.find_spec("profile")))
    (spec,) = found
    assert spec is not None
    assert Path(spec.origin).parent != Path(jobs)


@pytest.mark.e2e
@pytest.mark.parametrize("stage", ["pretrain", "refine", "finetune"])
def test_every_report_of_every_stage_says_what_its_steps_took(finished_road: FinishedRoad, stage: StageName) -> None:
    config = load_config("smoke", [f"storage={finished_road.storage}"], PRESETS)
    pipeline = Pipeline(config)
    run_id = open_stage_run(pipeline.tracking, config, pipeline.run_id, stage)
    histories = {
        name: dict(read_history(pipeline.tracking, run_id, f"{stage}/{name}"))
        for name in ("samples_per_second", "images_per_second", "step_seconds", "data_wait", "mfu")
    }
    settings = config.settings_of(stage)
    every = settings.report_every_samples
    members = 1 if stage == "pretrain" else 1 + len(config.data.attributes)
    for count in range(every, settings.num_samples + 1, every):
        took = {name: history[count] for name, history in histories.items()}
        assert took["samples_per_second"] == pytest.approx(settings.batch_size / took["step_seconds"])
        assert took["images_per_second"] == pytest.approx(members * took["samples_per_second"])
        assert 0 <= took["data_wait"] < 1
        assert took["mfu"] > 0


@pytest.mark.e2e
def test_profiling_a_stage_writes_its_trace_and_nothing_else(finished_road: FinishedRoad) -> None:
    storage, _ = finished_road

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in storage.rglob("*") if path.is_file()}

    before, trace = files(), storage / "smoke" / "profile" / "refine.json.gz"
    text = road.run("profile", storage, "--stage", "refine")
    assert {path for path, changed in files().items() if before.get(path) != changed} == {trace}
    assert "refine of smoke: 20 steps on cpu" in text
    assert text.splitlines()[-1] == f"trace: {trace}"
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert len({event["name"] for event in events if event.get("name", "").startswith("ProfilerStep#")}) == 20


@pytest.mark.e2e
def test_profiling_needs_what_the_stage_needs(tmp_path: Path) -> None:
    text = road.run("profile", tmp_path / "runs", "--stage", "finetune", code=2)
    assert "error: stage 'refine' of 'smoke' is not done; run jobs/train.py --stage refine" in text
