"""--print-config: every job prints the config that it would run with, and ends before anything is started."""

import importlib
import sys

import pytest

JOBS = ("compare", "encode", "evaluate", "ingest", "pipeline", "profile", "serve", "train", "tune")


@pytest.mark.parametrize("name", JOBS)
def test_a_job_prints_its_config_and_ends(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = importlib.import_module(f"jobs.{name}")
    monkeypatch.setattr(job, "connect", None)
    needed = ["--stage", "refine"] if name in ("train", "profile") else []
    monkeypatch.setattr(sys, "argv", [name, "--config", "smoke", "--set", "seed=7", "--print-config", *needed])
    with pytest.raises(SystemExit) as ended:
        job.main()
    assert ended.value.code == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["seed:", "7", "#", "--set"] in lines
    assert ["z_sem_width:", "32", "#", "preset", "smoke"] in lines
