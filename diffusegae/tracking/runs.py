"""MLflow runs: one parent per pipeline, one child per stage, found again by name after a restart.

Parameters cannot be changed in MLflow, so a run keeps those of its first start; what a later start changes is written
as tags `changed.<key>`, and `config.yaml` is always the latest.
"""

import json
import logging
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from jaxtyping import UInt8
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from diffusegae import storage
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.images import encode_image
from diffusegae.tracking.client import SQLITE, TrackingError, connect, explained
from diffusegae.tracking.moved import ARTIFACTS, follow_artifacts
from diffusegae.tracking.system_metrics import SECONDS_BETWEEN_SAMPLES, SystemMonitor

logger = logging.getLogger(__name__)

PIPELINE_TAG, STAGE_TAG = "diffusegae.pipeline", "diffusegae.stage"
CONFIG_FILE, PICTURES = "config.yaml", "pictures"
_BATCH = 100  # parameters and tags that MLflow takes at a time
_VALUE_LENGTH = 6000

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


def tracking_uri(config: PipelineConfig) -> str:
    """Return the config's MLflow URI, or that of an SQLite file under its local storage.

    Raises:
        TrackingError: the storage is not local, so there is no place for a database.
    """
    uri = config.tracking.uri
    if uri.startswith(SQLITE):  # a relative path would mean another file in each worker
        return f"{SQLITE}{Path(uri.removeprefix(SQLITE)).absolute()}"
    if uri:
        return uri
    if not storage.is_local(config.storage):
        raise TrackingError(
            f"storage {config.storage!r} cannot hold an SQLite database; set tracking.uri to an MLflow server,"
            " for example --set tracking.uri=http://mlflow:5000"
        )
    return f"{SQLITE}{storage.resolve(config.storage)}/mlflow.db"


def open_pipeline_run(uri: str, config: PipelineConfig) -> str:
    """Return the id of the pipeline's run, set to RUNNING; a run of the same name is continued."""
    return _open(uri, config, stage="", tags={})


def open_stage_run(uri: str, config: PipelineConfig, parent_run_id: str, stage_name: str) -> str:
    """Return the id of a stage's run below its pipeline's, set to RUNNING; a run of the same name is continued."""
    return _open(uri, config, stage=stage_name, tags={MLFLOW_PARENT_RUN_ID: parent_run_id})


def open_trial_run(
    uri: str, config: PipelineConfig, parent_run_id: str, number: int, settings: Mapping[str, Any]
) -> str:
    """Return the id of a sweep's trial below the sweep's run, set to RUNNING; its parameters are what was drawn.

    A trial of the same number below the same run is continued.
    """
    client = connect(uri, create=True)
    with explained(uri):
        run = _find_or_create(client, uri, config, f"{parent_run_id}/trial-{number}", f"trial {number}")
        run_id = str(run.info.run_id)
        client.update_run(run_id, status="RUNNING")
        client.set_tag(run_id, MLFLOW_PARENT_RUN_ID, parent_run_id)
        texts = {_key(key): _text(value) for key, value in settings.items()}
        params = [Param(key, text) for key, text in texts.items() if key not in run.data.params]
        client.log_batch(run_id, params=params)
    return run_id


def finish_run(uri: str, run_id: str, status: RunStatus) -> None:
    """Mark a run as ended."""
    client = connect(uri)
    with explained(uri):
        client.set_terminated(run_id, status)


class RunLogger:
    """Writes to one run, from any process: it is made of plain strings."""

    def __init__(self, uri: str, run_id: str) -> None:
        self.uri, self.run_id = uri, run_id
        self._client = connect(uri)
        self._system: SystemMonitor | None = None

    def watch_system(self, seconds: float = SECONDS_BETWEEN_SAMPLES) -> None:
        """Write MLflow's system metrics of this machine, a sample every so many seconds, until `close`."""
        try:
            self._system = SystemMonitor(self.uri, self.run_id, seconds)
            self._system.start()
        except Exception as error:  # a machine that psutil can't read trains all the same
            logger.warning("this run has no system metrics: %s", error)

    def close(self) -> None:
        """End the system metrics."""
        if self._system is not None:
            self._system.stop()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write metrics of one step in one call; MLflow's names may hold '/'."""
        now = int(time.time() * 1000)
        entries = [Metric(_key(name), float(value), now, step) for name, value in metrics.items()]
        with explained(self.uri):
            self._client.log_batch(self.run_id, metrics=entries)

    def log_image(self, pixels: UInt8[np.ndarray, "height width 3"], path: str) -> None:
        """Store a picture as the PNG `pictures/<path>`."""
        target = Path(PICTURES, path).with_suffix(".png")
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, target.name)
            local.write_bytes(encode_image(pixels))
            self.log_file(local, str(target.parent))

    def log_file(self, local: Path, folder: str) -> None:
        """Store a file in a folder of the run's artifacts."""
        with explained(self.uri):
            self._client.log_artifact(self.run_id, str(local), folder)

    def log_directory(self, local: Path, folder: str) -> None:
        """Store the files of a directory in a folder of the run's artifacts."""
        with explained(self.uri):
            self._client.log_artifacts(self.run_id, str(local), folder)


def read_history(uri: str, run_id: str, name: str) -> list[tuple[float, float]]:
    """Return what a run reported of a metric as (step, value), the last value of a step that was reported twice."""
    with explained(uri):
        history = connect(uri).get_metric_history(run_id, _key(name))
    return sorted({float(point.step): float(point.value) for point in history}.items())


def read_stage_file(uri: str, run_id: str, stage_name: str, path: str) -> str:
    """Return a text that a stage of a pipeline's run has logged, "" where there is no such stage or text."""
    client = connect(uri)
    with explained(uri):
        experiment = client.get_run(run_id).info.experiment_id
        mine = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}' and tags.`{STAGE_TAG}` = '{stage_name}'"
        for run in client.search_runs([experiment], mine, max_results=1):
            folder = path.rpartition("/")[0]
            if path in [str(file.path) for file in client.list_artifacts(run.info.run_id, folder)]:
                with tempfile.TemporaryDirectory() as local:
                    return Path(client.download_artifacts(run.info.run_id, path, local)).read_text(encoding="utf-8")
    return ""


def flatten_config(config: PipelineConfig) -> dict[str, str]:
    """Return a config as MLflow parameters: dotted keys, JSON values, cut to the length that MLflow stores."""
    pairs = _leaves(config.model_dump(mode="json"), "")
    return {_key(key): _text(value) for key, value in pairs}


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value))[:_VALUE_LENGTH]


def _leaves(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _key(name: str) -> str:
    """Replace what MLflow doesn't allow in a name; attributes may be called anything."""
    return re.sub(r"[^\w\-. /]", "_", name)


def _open(uri: str, config: PipelineConfig, stage: str, tags: Mapping[str, str]) -> str:
    client = connect(uri, create=True)
    with explained(uri):
        run = _find_or_create(client, uri, config, stage)
        run_id = str(run.info.run_id)
        client.update_run(run_id, status="RUNNING")
        for key, value in tags.items():
            client.set_tag(run_id, key, value)
        _log_config(client, run, config)
    return run_id


def _find_or_create(client: MlflowClient, uri: str, config: PipelineConfig, stage: str, title: str = "") -> Run:
    experiment = _experiment_id(client, uri, config)
    name = title or stage or config.name
    mine = f"tags.`{PIPELINE_TAG}` = '{config.name}' and tags.`{STAGE_TAG}` = '{stage or '-'}'"
    found = client.search_runs([experiment], mine, max_results=1)
    if found:
        return found[0]
    tags = {PIPELINE_TAG: config.name, STAGE_TAG: stage or "-"}
    return client.create_run(experiment, tags=tags, run_name=name)


def _experiment_id(client: MlflowClient, uri: str, config: PipelineConfig) -> str:
    name, local = config.tracking.experiment, uri.startswith(SQLITE)
    if local and storage.is_local(config.storage):
        follow_artifacts(Path(uri.removeprefix(SQLITE)), Path(storage.resolve(config.storage)))
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # A server knows where its artifacts go; beside SQLite they would go to the current folder.
        location = storage.join(storage.resolve(config.storage), ARTIFACTS) if local else None
        try:
            return client.create_experiment(name, artifact_location=location)
        except MlflowException:  # another process made it in between
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"MLflow experiment {name!r} at {uri} is deleted; restore it with `mlflow experiments restore"
            f" --experiment-id {experiment.experiment_id}`, or choose another tracking.experiment"
        )
    return str(experiment.experiment_id)


def _log_config(client: MlflowClient, run: Run, config: PipelineConfig) -> None:
    run_id, known, values = run.info.run_id, run.data.params, flatten_config(config)
    params = [Param(key, value) for key, value in values.items() if key not in known]
    tags = [
        RunTag(f"changed.{key}", value)
        for key, value in values.items()
        if f"changed.{key}" in run.data.tags or known.get(key, value) != value
    ]
    for start in range(0, len(params), _BATCH):
        client.log_batch(run_id, params=params[start : start + _BATCH])
    for start in range(0, len(tags), _BATCH):
        client.log_batch(run_id, tags=tags[start : start + _BATCH])
    client.log_text(run_id, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), CONFIG_FILE)
