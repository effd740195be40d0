from pathlib import Path

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.images import decode_image
from diffusegae.tracking.client import TrackingError, connect
from diffusegae.tracking.runs import (
    RunLogger,
    finish_run,
    flatten_config,
    open_pipeline_run,
    open_stage_run,
    tracking_uri,
)


def changed(config: PipelineConfig, **values: object) -> PipelineConfig:
    return PipelineConfig.model_validate(config.model_copy(update=values).model_dump())


def client_of(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def test_tracking_uri_is_a_database_below_the_storage(config: PipelineConfig) -> None:
    assert tracking_uri(config) == f"sqlite:///{config.storage}/mlflow.db"


def test_tracking_uri_of_the_config_wins_and_is_the_same_file_in_every_folder(
    config: PipelineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = config.tracking.model_copy(update={"uri": "http://mlflow:5000"})
    relative = config.tracking.model_copy(update={"uri": "sqlite:///m.db"})
    assert tracking_uri(changed(config, tracking=server, storage="s3://bucket")) == "http://mlflow:5000"
    assert tracking_uri(changed(config, tracking=relative)) == f"sqlite:///{tmp_path}/m.db"


def test_storage_in_a_bucket_needs_a_server(config: PipelineConfig) -> None:
    with pytest.raises(TrackingError, match=r"s3://bucket.*tracking\.uri"):
        tracking_uri(changed(config, storage="s3://bucket"))


def test_runs_are_found_again_and_nested(uri: str, config: PipelineConfig) -> None:
    parent = open_pipeline_run(uri, config)
    stages = {name: open_stage_run(uri, config, parent, name) for name in ("pretrain", "refine")}
    finish_run(uri, stages["pretrain"], "FAILED")

    assert open_pipeline_run(uri, config) == parent
    assert open_stage_run(uri, config, parent, "pretrain") == stages["pretrain"]
    assert open_pipeline_run(uri, changed(config, name="other")) != parent

    runs = {name: client_of(uri).get_run(run_id) for name, run_id in stages.items()}
    assert len({parent, *stages.values()}) == 3
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent}
    assert {run.info.status for run in runs.values()} == {"RUNNING"}
    finish_run(uri, parent, "FINISHED")
    assert client_of(uri).get_run(parent).info.status == "FINISHED"


def test_artifacts_lie_below_the_storage(uri: str, config: PipelineConfig) -> None:
    run = client_of(uri).get_run(open_pipeline_run(uri, config))
    assert run.info.artifact_uri.startswith(f"{config.storage}/mlflow-artifacts/")
    content = yaml.safe_load(Path(run.info.artifact_uri, "config.yaml").read_text())
    assert PipelineConfig.model_validate(content) == config


def test_a_changed_config_continues_the_run_and_is_recorded(uri: str, config: PipelineConfig) -> None:
    run_id = open_pipeline_run(uri, config)
    assert open_pipeline_run(uri, changed(config, seed=7)) == run_id
    run = client_of(uri).get_run(run_id)
    assert run.data.params["seed"] == "0"
    assert run.data.params["data.attributes.letter.width"] == "12"
    assert run.data.tags["changed.seed"] == "7"
    assert [key for key in run.data.tags if key.startswith("changed.")] == ["changed.seed"]

    open_pipeline_run(uri, config)
    assert client_of(uri).get_run(run_id).data.tags["changed.seed"] == "0"


def test_params_keep_to_what_mlflow_allows(uri: str, config: PipelineConfig) -> None:
    spec = config.data.attributes["letter"]
    attributes = {"size (cm)": spec, "long": spec.model_copy(update={"column": "c" * 9000})}
    values = flatten_config(changed(config, data=config.data.model_copy(update={"attributes": attributes})))
    assert values["data.attributes.size _cm_.width"] == "12"
    assert len(values["data.attributes.long.column"]) == 6000


def test_logger_writes_metrics_and_files(uri: str, config: PipelineConfig, tmp_path: Path) -> None:
    run_id = open_pipeline_run(uri, config)
    logger = RunLogger(uri, run_id)
    for step in (10, 20):
        logger.log_metrics({"pretrain/loss": 1 / step, "probe/size (cm)": 0.5}, step)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    logger.log_image(pixels, "pretrain/000010.png")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text("<p>")
    logger.log_directory(tmp_path / "report", "evaluation")
    logger.log_file(tmp_path / "report" / "report.html", "evaluation/copy")

    history = client_of(uri).get_metric_history(run_id, "pretrain/loss")
    assert [(entry.step, entry.value) for entry in history] == [(10, 0.1), (20, 0.05)]
    root = Path(client_of(uri).get_run(run_id).info.artifact_uri)
    assert (root / "evaluation" / "report.html").read_text() == "<p>"
    assert (root / "evaluation" / "copy" / "report.html").is_file()
    assert (decode_image((root / "pictures" / "pretrain" / "000010.png").read_bytes()) == pixels).all()


def test_unknown_addresses_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"no MLflow server answers at http://127\.0\.0\.1:9"):
        connect("http://127.0.0.1:9")
    with pytest.raises(TrackingError, match="no MLflow database"):
        connect(f"sqlite:///{tmp_path}/absent.db")
    assert not (tmp_path / "absent.db").exists()


def test_deleted_experiment_is_named(uri: str, config: PipelineConfig) -> None:
    run = client_of(uri).get_run(open_pipeline_run(uri, config))
    client_of(uri).delete_experiment(run.info.experiment_id)
    with pytest.raises(TrackingError, match=r"'diffusegae'.*is deleted"):
        open_pipeline_run(uri, config)
