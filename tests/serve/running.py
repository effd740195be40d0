"""The service as a process of its own, for tests and benchmarks: registered versions, Ray Serve, HTTP."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.tracking.registry import register_model
from diffusegae.tracking.runs import open_pipeline_run, tracking_uri
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 300
LOCAL_RAY = {
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # a busy test machine starts processes slowly
}


class RunningService(NamedTuple):
    """Where the service and its dashboard are, the registry behind it, and the process that all others descend from."""

    url: str
    dashboard: str
    tracking: str
    process: "subprocess.Popen[bytes]"

    def rollout(self, *options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "jobs.rollout", "--dashboard", self.dashboard, *options]
        environment = {**os.environ, **LOCAL_RAY}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def set_champion(self, version: str) -> None:
        MlflowClient(self.tracking, self.tracking).set_registered_model_alias("diffusegae", "champion", version)


def register(config: PipelineConfig, checkpoints: Sequence[Path]) -> str:
    """Register checkpoints as versions 1, 2, … of which the first is champion; return the tracking URI."""
    uri = tracking_uri(config)
    for checkpoint in checkpoints:
        register_model(uri, open_pipeline_run(uri, config), checkpoint, config)
    MlflowClient(uri, uri).set_registered_model_alias("diffusegae", "champion", "1")
    return uri


@contextmanager
def running_service(folder: Path, tracking: str, *options: str) -> Iterator[RunningService]:
    """Serve the champion on a free port; `folder` is the config's storage, and gets the log."""
    port = free_port()
    command = [sys.executable, "-m", "jobs.serve", "--config", "smoke", "--set", f"storage={folder}"]
    command += ["--tracking-uri", tracking, "--port", str(port), *options]
    with (folder / "log").open("wb") as log:
        environment = {**os.environ, **LOCAL_RAY, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        dashboard = _wait(process, folder / "log")
        yield RunningService(f"http://127.0.0.1:{port}", dashboard, tracking, process)
    finally:
        process.terminate()
        process.wait(120)


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Return the dashboard's address, which the job prints when the service answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        text = log.read_text()
        if found := re.search(r"jobs\.rollout --dashboard (\S+)", text):
            return found[1]
        assert process.poll() is None, text
        time.sleep(0.2)
    raise AssertionError(f"the service did not come up:\n{log.read_text()}")
