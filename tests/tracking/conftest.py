"""A tiny model as a finished checkpoint, and an MLflow database in a temporary folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from diffusegae.checkpoint import CheckpointMeta, Position, save_checkpoint
from diffusegae.config.load import load_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.schema import Attribute, AttributeSchema
from diffusegae.tracking.client import connect
from diffusegae.tracking.runs import tracking_uri

PRESETS = Path(__file__).parents[2] / "jobs" / "configs"
VALUES = {"letter": ("a", "b", "c"), "colour": ("red", "blue")}


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to create its tables, so every test gets a copy."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}", create=True)
    return path


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    overrides = [
        f"storage={tmp_path / 'runs'}",
        "name=tiny",
        "data.attributes={letter: {width: 12}, colour: {width: 12}}",
        "data.holdout={images: 20}",
        "sampling.steps=4",
    ]
    return load_config("smoke", overrides, PRESETS)


@pytest.fixture
def uri(config: PipelineConfig, empty_database: Path) -> str:
    folder = Path(config.storage)
    folder.mkdir()
    shutil.copyfile(empty_database, folder / "mlflow.db")
    return tracking_uri(config)


@pytest.fixture
def write_checkpoint(tmp_path: Path, config: PipelineConfig) -> Callable[[int], Path]:
    """Write a finished checkpoint of random weights; another seed is another model."""

    def write(seed: int) -> Path:
        attributes = (
            Attribute(name=name, column=name, group_column=name, values=values, group_values=values, width=12)
            for name, values in VALUES.items()
        )
        schema = AttributeSchema(attributes=tuple(attributes))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = DiffuseGAE(config.model, schema)
            for parameter in model.parameters():  # layers that start at zero would hide what an edit changes
                parameter.data.add_(0.1 * torch.randn(parameter.shape))
        meta = CheckpointMeta(
            stage="finetune", samples_seen=64, positions=(Position(),), config=config, attributes=schema, versions={}
        )
        optimizer = {"0.exp_avg": torch.zeros(1)}
        directory = tmp_path / f"checkpoint-{seed}"
        save_checkpoint(directory, meta, {"model": {}, "ema": model.state_dict(), "optimizer-all": optimizer})
        return directory

    return write
