"""What is measured of a checkpoint: ours by z_dis, and by z_sem where stage 1 is all that it has."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffusegae.checkpoint import read_meta, read_tensors, save_checkpoint
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.evaluation.subjects import Subject, load_subject
from diffusegae.schema import AttributeSchema
from tests.tiny import random_images, save_tiny_checkpoint, smoke_config, tiny_schema

IMAGES = random_images(2)


@pytest.fixture(scope="module")
def config() -> PipelineConfig:
    return smoke_config("sampling.steps=2")


@pytest.fixture(scope="module")
def schema(config: PipelineConfig) -> AttributeSchema:
    return tiny_schema(config.model.z_dis_width - 8, 8)


def brought_back(subject: Subject) -> Tensor:
    return subject.method.reconstruct(IMAGES, seeds=[0, 1])


def with_another_gae(folder: Path, other: Path) -> Path:
    weights = read_tensors(folder, "ema")
    changed = {name: -value if name.startswith("gae.") else value for name, value in weights.items()}
    save_checkpoint(other, read_meta(folder), {"ema": changed})
    return other


@pytest.mark.parametrize(("stage", "parts"), [("pretrain", 0), ("refine", 2), ("finetune", 2)])
def test_the_gae_counts_from_stage_2_on(
    stage: str, parts: int, config: PipelineConfig, schema: AttributeSchema, tmp_path: Path
) -> None:
    model = save_tiny_checkpoint(tmp_path / "it", config, schema, stage=stage)
    subject = load_subject("diffusegae", tmp_path / "it", schema, "cpu")
    other = load_subject("diffusegae", with_another_gae(tmp_path / "it", tmp_path / "other"), schema, "cpu")
    assert len(subject.method.parts or ()) == parts
    assert torch.equal(brought_back(subject), brought_back(other)) == (stage == "pretrain")
    with torch.no_grad():
        z_sem = model.encode(IMAGES)
        torch.testing.assert_close(subject.method.encode(IMAGES), model.disentangle(z_sem) if parts else z_sem)
    counts = model.parameter_counts()
    assert subject.parameters == sum(counts.values()) - (0 if parts else counts["gae"])


def test_stage_1_edits_by_directions_as_diff_ae_does(
    config: PipelineConfig, schema: AttributeSchema, tmp_path: Path
) -> None:
    save_tiny_checkpoint(tmp_path, config, schema, stage="pretrain")
    method = load_subject("diffusegae", tmp_path, schema, "cpu").method
    with pytest.raises(TypeError, match="fit_ways"):
        method.edit(IMAGES, {"a": IMAGES.flip(0)})
