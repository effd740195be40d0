"""Tiny real objects that many tests build on: a schema, a config, a model, images."""

from pathlib import Path

import torch
from torch import Tensor

from diffusegae.checkpoint import CheckpointMeta, Position, save_checkpoint
from diffusegae.config.load import load_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.schema import Attribute, AttributeSchema

PRESETS = Path(__file__).parent.parent / "jobs" / "configs"


def tiny_schema(*widths: int, cardinality: int = 4) -> AttributeSchema:
    """Return attributes a, b, c … with the given part widths."""
    values = tuple(f"v{k}" for k in range(cardinality))
    attributes = [
        Attribute(name=name, column=name, group_column=name, values=values, group_values=values, width=width)
        for name, width in zip("abcdef", widths, strict=False)
    ]
    return AttributeSchema(attributes=tuple(attributes))


def smoke_config(*overrides: str) -> PipelineConfig:
    """Return the smoke preset with overrides."""
    return load_config("smoke", overrides, PRESETS)


def tiny_model(config: PipelineConfig, schema: AttributeSchema, seed: int = 0) -> DiffuseGAE:
    """Return a model whose zero-initialised layers are not zero, so that everything matters."""
    torch.manual_seed(seed)
    model = DiffuseGAE(config.model, schema)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return model.eval()


def random_images(count: int, size: int = 32, seed: int = 0) -> Tensor:
    """Return images in [-1, 1]."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def save_tiny_checkpoint(
    folder: Path, config: PipelineConfig, schema: AttributeSchema, seed: int = 0, stage: str = "finetune"
) -> DiffuseGAE:
    """Write a checkpoint of a tiny model and return the model."""
    model = tiny_model(config, schema, seed)
    meta = CheckpointMeta(
        stage=stage, samples_seen=64, positions=(Position(),), config=config, attributes=schema, versions={}
    )
    save_checkpoint(folder, meta, {"model": model.state_dict(), "ema": model.state_dict()})
    return model
