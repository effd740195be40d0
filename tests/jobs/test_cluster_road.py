"""The whole road by `ray job submit` on two nodes, all data in S3, runs and models in MLflow over HTTP, as locally."""

import os
from pathlib import Path

import pytest
import torch

from diffusegae import storage
from diffusegae.checkpoint import read_tensors
from diffusegae.tracking.registry import download_checkpoint, resolve_model
from diffusegae.training.launch import read_done
from diffusegae.training.stages import StageName
from tests.jobs.conftest import FinishedRoad
from tests.mlflow_server import mlflow_server
from tests.nodes import NodeCluster

pytestmark = pytest.mark.e2e

STAGES: tuple[StageName, ...] = ("pretrain", "refine", "finetune")


def test_the_road_on_a_cluster_gives_what_it_gives_locally(
    finished_road: FinishedRoad, s3_root: str, tmp_path: Path
) -> None:
    runs, log = f"{s3_root}/runs", tmp_path / "job.log"
    with mlflow_server(tmp_path / "mlflow", artifacts=f"{s3_root}/mlflow") as tracking, NodeCluster() as cluster:
        cluster.start_head()
        cluster.add_node()
        options = f"--config smoke --set storage={runs} --set tracking.uri={tracking}"
        text = cluster.run(f"python jobs/pipeline.py {options}", log)
        cluster.run(f"python jobs/tune.py {options} --trials 2", tmp_path / "tune.log")
        model = resolve_model(tracking, "models:/diffusegae@champion")
        registered = download_checkpoint(tracking, model.uri, tmp_path / "registered")

    assert "models:/diffusegae@champion (version 1)" in text
    summary = "evaluation/summary.txt"
    assert (
        storage.read_bytes(f"{runs}/smoke/{summary}").decode()
        == (finished_road.storage / "smoke" / summary).read_text()
    )
    for stage in STAGES:
        there = read_done(f"{runs}/smoke/stages", stage)
        here = read_done(os.fspath(finished_road.storage / "smoke" / "stages"), stage)
        assert there is not None
        assert here is not None
        copy = tmp_path / stage
        storage.download_directory(there.checkpoint, copy)
        assert_same(copy, Path(here.checkpoint), "model")
        assert_same(copy, Path(here.checkpoint), "ema")
    assert_same(registered, tmp_path / "finetune", "ema")
    assert storage.exists(f"{runs}/smoke/tune/winner.yaml")
    artifacts = [path.rpartition("/")[2] for path in storage.list_files(f"{s3_root}/mlflow")]
    assert {"ema.safetensors", "report.html", "thumbnails.png", "parallel.png"} <= set(artifacts)


def assert_same(one: Path, other: Path, name: str) -> None:
    first, second = read_tensors(one, name), read_tensors(other, name)
    assert first.keys() == second.keys()
    assert not [key for key, value in first.items() if not torch.equal(value, second[key])]
