"""Runs and registry against a real MLflow server, as a team would have one."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from diffusegae.checkpoint import read_meta
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.tracking.registry import download_checkpoint, read_registered_meta, register_model, resolve_model
from diffusegae.tracking.runs import RunLogger, finish_run, open_pipeline_run, open_stage_run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "m.db").write_bytes(empty_database.read_bytes())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/m.db", "--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def wait_until_healthy(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
    raise AssertionError(f"the server did not come up:\n{log.read_text()}")


@pytest.mark.e2e
def test_runs_and_registry_over_http(
    server: str, config: PipelineConfig, write_checkpoint: Callable[[int], Path], tmp_path: Path
) -> None:
    parent = open_pipeline_run(server, config)
    stage = open_stage_run(server, config, parent, "pretrain")
    assert open_stage_run(server, config, parent, "pretrain") == stage
    RunLogger(server, stage).log_metrics({"pretrain/loss": 0.5}, 10)
    finish_run(server, stage, "FINISHED")
    run = MlflowClient(tracking_uri=server).get_run(stage)
    assert (run.data.metrics, run.info.status) == ({"pretrain/loss": 0.5}, "FINISHED")

    checkpoint = write_checkpoint(0)
    registered = register_model(server, parent, checkpoint, config)
    assert register_model(server, parent, checkpoint, config) == registered
    assert resolve_model(server, "models:/diffusegae@champion").version == "1"
    downloaded = download_checkpoint(server, registered.uri, tmp_path / "downloaded")
    for name in ("meta.json", "ema.safetensors"):
        assert (downloaded / name).read_bytes() == (checkpoint / name).read_bytes()
    assert read_registered_meta(server, registered.uri) == read_meta(checkpoint)
