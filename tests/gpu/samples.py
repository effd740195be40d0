"""Stages with their state, and random samples for them at the size of any preset: what checks and benchmarks run on."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from diffusegae.baselines.baseline import Samples
from diffusegae.baselines.table import BASELINES
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.sources.vehicles import VehiclesConfig, VehicleSource
from diffusegae.models.parts import group_layout
from diffusegae.schema import AttributeSchema, build_schema
from diffusegae.training.stages import StageInputs, StageName, column_of, shared_of
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES

OURS: tuple[StageName, ...] = ("pretrain", "refine", "finetune")
DIFFUSION_BASELINES: tuple[StageName, ...] = ("diffae", "ddim", "pdae")


def vehicle_source(config: PipelineConfig) -> VehicleSource:
    """Return the vehicles of a config's size, whatever its own data are: a preset for iLab gets rendered ones."""
    source = config.data.source
    vehicles = source if isinstance(source, VehiclesConfig) else VehiclesConfig()
    return VehicleSource(vehicles.world(config.model.image_size), config.data.shard_rows)


def schema_of(config: PipelineConfig) -> AttributeSchema:
    """Return the attributes as the vehicles have them."""
    return build_schema(config.data.attributes, vehicle_source(config).vocabularies)


def with_stage(config: PipelineConfig, stage: StageName, **changes: Any) -> PipelineConfig:
    """Return the config with other settings of one stage or baseline; what would not be allowed is an error."""
    settings = config.settings_of(stage)
    changed = type(settings).model_validate({**settings.model_dump(), **changes})
    if stage in BASELINES:
        return config.model_copy(update={"baselines": config.baselines.model_copy(update={stage: changed})})
    return config.model_copy(update={stage: changed})


def build_state(
    config: PipelineConfig,
    stage: StageName,
    device: torch.device,
    wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
    seed: int = 0,
) -> TrainingState:
    """Return a stage at its beginning, with random weights of which none are zero, and made-up statistics."""
    torch.manual_seed(seed)
    width = config.model.z_sem_width
    inputs = StageInputs(config, schema_of(config), latent_mean=torch.zeros(width), latent_covariance=torch.eye(width))
    built = STAGES[stage](inputs)
    shake(built.model)
    return TrainingState(built, device, wrap, seed)


def shake(model: nn.Module) -> nn.Module:
    """Fill weights that begin at zero, behind which nothing that is wrong would show."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return model


def num_members(config: PipelineConfig, stage: StageName) -> int:
    """Return the members of a stage's samples: one image, or a GROUP's."""
    shared = shared_of(config.settings_of(stage))
    return 1 if shared is None else group_layout(schema_of(config), shared).num_members


def random_batch(config: PipelineConfig, stage: StageName, samples: int, device: torch.device, seed: int = 0) -> Any:
    """Return random samples as a stage takes them, the same on every device."""
    generator, members = torch.Generator().manual_seed(seed), num_members(config, stage)
    if column_of(stage) == "z":
        return torch.randn(samples, members, config.model.z_sem_width, generator=generator).to(device)
    images = random_pixels(samples * members, config.model.image_size, generator).to(device)
    images = (images / 127.5 - 1).unflatten(0, (samples, members))
    if stage not in BASELINES:
        return images
    return Samples(images, torch.zeros(samples, members, len(config.data.attributes), dtype=torch.int64, device=device))


def random_pixels(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return uint8 pictures [count, 3, size, size] that are smooth, as pictures are: noise enlarged eight times."""
    coarse = torch.randint(0, 256, (count, 3, size // 8, size // 8), generator=generator).float()
    return nn.functional.interpolate(coarse, size=size, mode="bilinear").to(torch.uint8)
