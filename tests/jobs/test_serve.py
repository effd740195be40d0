"""What keeps a service from coming up is told before Ray is started: in one line, without a traceback."""

import os
import re
import socket
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
    code, told = _told(database, free_port(), options, tmp_path)
    assert (code, bool(re.match(line, told))) == (2, True), told


def test_a_port_in_use_is_told_as_an_error_of_the_world(tmp_path: Path, database: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, told = _told(database, port, (), tmp_path)
    line = rf"error: cannot listen at 127.0.0.1 port {port} \(.*\); end the program that listens there, or take another"
    assert (code, bool(re.match(line, told))) == (3, True), told


def test_the_former_name_of_a_rollout_works_and_names_the_new_one() -> None:
    command = [sys.executable, "-m", "jobs.swap", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--to VERSION" in done.stdout
    assert "is now python -m jobs.rollout" in done.stderr


def _told(database: Path, port: int, options: tuple[str, ...], folder: Path) -> tuple[int, str]:
    """Return the exit code of the job and its only line of errors."""
    command = ["-m", "jobs.serve", "--config", "smoke", "--set", f"storage={database.parent}"]
    command += ["--port", str(port), *options]
    # A Ray can't start here, and would say so.
    variables = {**os.environ, "RAY_TMPDIR": str(folder / ("long" * 30)), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    (told,) = done.stderr.splitlines()
    return done.returncode, told
