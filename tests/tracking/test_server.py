"""Runs and registry against a real MLflow server, as a team would have one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from diffusegae.checkpoint import read_meta
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.tracking.registry import download_checkpoint, read_registered_meta, register_model, resolve_model
from diffusegae.tracking.runs import RunLogger, finish_run, open_pipeline_run, open_stage_run
from tests.mlflow_server import mlflow_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server"), database=empty_database.read_bytes()) as address:
        yield address


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
