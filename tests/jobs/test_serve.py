"""What keeps a service from coming up is told before Ray is started: in one line, without a traceback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from diffusegae.tracking.client import connect
from tests.jobs.road import ROOT
from tests.ports import free_port


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an MLflow database without a model, as it is before a pipeline has ended."""
    path = tmp_path_factory.mktemp("runs") / "mlflow.db"
    connect(f"sqlite:///{path}", create=True)
    return path


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            (),
            r"error: there is no models:/diffusegae@champion at sqlite:///.*/mlflow.db; its models are: none. Run the",
        ),
        (
            ("--argument", "max_replica=2"),
            "error: arguments of the service: max_replica: Extra inputs are not permitted",
        ),
        (("--argument", "steps=0"), "error: arguments of the service: steps: Input should be greater than or equal"),
        (("--host", "0.0.0.0"), "error: host '0.0.0.0' can be reached from other machines, and no tokens are set"),
        (("--tracking-uri", "sqlite:////nowhere/m.db"), "error: there is no MLflow database /nowhere/m.db; run the"),
    ],
)
def test_one_line_before_anything_starts(options: tuple[str, ...], line: str, tmp_path: Path, database: Path) -> None:
    command = ["-m", "jobs.serve", "--config", "smoke", "--set", f"storage={database.parent}"]
    command += ["--port", str(free_port()), *options]
    # A Ray can't start here, and would say so.
    variables = {**os.environ, "RAY_TMPDIR": str(tmp_path / ("long" * 30)), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    (told,) = done.stderr.splitlines()
    assert re.match(line, told), told
