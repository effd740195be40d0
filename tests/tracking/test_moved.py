"""Storages that were moved or copied with their MLflow database: models are found, what is new comes to the rest."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from diffusegae.checkpoint import read_meta
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.tracking import moved
from diffusegae.tracking.client import SQLITE, TrackingError, connect
from diffusegae.tracking.registry import download_checkpoint, read_registered_meta, register_model, resolve_model
from diffusegae.tracking.runs import RunLogger, open_pipeline_run, tracking_uri

CHAMPION = "models:/diffusegae@champion"
Writer = Callable[[int], Path]


def at(config: PipelineConfig, storage: Path) -> PipelineConfig:
    return config.model_copy(update={"storage": str(storage)})


@pytest.fixture
def old(uri: str, config: PipelineConfig, write_checkpoint: Writer) -> Path:
    """Give a storage with a run and a registered model."""
    register_model(uri, open_pipeline_run(uri, config), write_checkpoint(0), config)
    return Path(config.storage)


def log(config: PipelineConfig, file: Path) -> None:
    _artifact_repos_cache.clear()  # as in a process of its own
    uri = tracking_uri(config)
    RunLogger(uri, open_pipeline_run(uri, config)).log_file(file, "new")


def places(storage: Path, name: str) -> list[Path]:
    return list(storage.rglob(f"mlflow-artifacts/*/artifacts/new/{name}"))


def test_a_moved_storage_serves_its_model_and_takes_what_is_new(
    old: Path, config: PipelineConfig, write_checkpoint: Writer, tmp_path: Path
) -> None:
    new = tmp_path / "a_moved #storage"
    old.rename(new)
    uri = f"{SQLITE}{new}/mlflow.db"
    assert read_registered_meta(uri, CHAMPION) == read_meta(write_checkpoint(0))  # without the config, as in a swap
    assert resolve_model(uri, CHAMPION).source.startswith(f"{new}/mlflow-artifacts/")
    assert download_checkpoint(uri, CHAMPION, tmp_path / "copy").is_dir()
    log(at(config, new), write_checkpoint(0) / "meta.json")
    assert len(places(new, "meta.json")) == 1
    assert not old.exists()
    assert register_model(uri, "unused", write_checkpoint(0), at(config, new)).version == "1"


def test_a_copy_keeps_to_itself_and_so_does_the_original(
    old: Path, config: PipelineConfig, write_checkpoint: Writer, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(old, copy)
    for storage in (copy, old):
        uri = f"{SQLITE}{storage}/mlflow.db"
        assert resolve_model(uri, CHAMPION).source.startswith(f"{storage}/")
    log(at(config, copy), write_checkpoint(0) / "meta.json")
    assert len(places(copy, "meta.json")) == 1
    assert not places(old, "meta.json")


def test_another_way_to_the_same_folder_changes_nothing(old: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(old)
    assert resolve_model(f"{SQLITE}{tmp_path}/link/mlflow.db", CHAMPION).source.startswith(f"{old}/")


def test_a_database_that_lies_elsewhere_follows_the_storage_of_the_config(
    old: Path, config: PipelineConfig, write_checkpoint: Writer, tmp_path: Path
) -> None:
    uri, new = f"{SQLITE}{tmp_path}/elsewhere.db", tmp_path / "new"
    (old / "mlflow.db").rename(tmp_path / "elsewhere.db")
    tracking = config.tracking.model_copy(update={"uri": uri})
    there = config.model_copy(update={"tracking": tracking})
    log(there, write_checkpoint(0) / "meta.json")
    other = at(there, tmp_path / "other")  # another storage that uses it, too, takes nothing away
    (tmp_path / "other" / "mlflow-artifacts").mkdir(parents=True)
    open_pipeline_run(uri, other)
    assert resolve_model(uri, CHAMPION).source.startswith(f"{old}/")
    old.rename(new)
    with pytest.raises(TrackingError, match=r"diffusegae/1 are not where .* does not exist.*give jobs/pipeline.py"):
        read_registered_meta(uri, CHAMPION)
    open_pipeline_run(uri, at(there, new))
    assert read_registered_meta(uri, CHAMPION) == read_meta(write_checkpoint(0))


def test_a_database_that_cannot_be_written_is_told(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moved, "_LOCK_SECONDS", 0)
    new = tmp_path / "new"
    old.rename(new)
    with closing(sqlite3.connect(new / "mlflow.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TrackingError, match=r"mlflow.db are in .*/new/mlflow-artifacts now, which can't be noted"):
            connect(f"{SQLITE}{new}/mlflow.db")
