"""What a stage of training is: the modules it trains, its objectives, what it watches and what it draws.

The loop (step.py, worker.py) knows nothing else of a stage, so the three stages of the paper and a baseline with two
opposing objectives run through the same code.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import StageConfig
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.schema import AttributeSchema

StageName = Literal["pretrain", "refine", "finetune"]

# The members of a batch's samples: images in [-1, 1] or latents, [samples, members, ...]
Batch = Float[Tensor, "samples members *shape"]


class ObjectiveModule(nn.Module):
    """A loss as a module, so that DDP and torch.compile can wrap it: (batch, generator) -> (loss, named terms)."""

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return the loss to minimise and the terms to report."""
        raise NotImplementedError


@dataclass(frozen=True)
class Objective:
    """A loss and the modules whose weights it moves, every `every` steps, each at its factor of the stage's rate."""

    name: str
    module: ObjectiveModule
    trains: Mapping[str, nn.Module]
    every: int = 1
    rate_factors: Mapping[str, float] = field(default_factory=dict)  # 1 where none is named

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Return the parameters that its optimizer claims, by their full names."""
        return [(f"{part}.{name}", p) for part, module in self.trains.items() for name, p in module.named_parameters()]


# (EMA model, batch, generator) -> metrics / pixels; they run without gradients
Monitor = Callable[[DiffuseGAE, Batch, torch.Generator], dict[str, float]]
Painter = Callable[[DiffuseGAE, Batch], UInt8[np.ndarray, "height width 3"]]


@dataclass(frozen=True)
class Stage:
    """One stage, ready for the loop."""

    name: StageName
    config: StageConfig
    model: DiffuseGAE
    objectives: Sequence[Objective]
    column: Literal["image", "z"]
    shared: int | None
    monitor: Monitor
    paint: Painter | None
    frozen: Sequence[nn.Module] = field(default_factory=tuple)


@dataclass(frozen=True)
class StageInputs:
    """What a stage is built from: the pipeline's config, the schema, and the weights and statistics it starts with."""

    config: PipelineConfig
    schema: AttributeSchema
    weights: Mapping[str, Tensor] | None = None
    latent_mean: Float[Tensor, " z_sem"] | None = None
    latent_covariance: Float[Tensor, "z_sem z_sem"] | None = None

    def build_model(self) -> DiffuseGAE:
        """Return the model, with the weights of the stage before if there is one."""
        model = DiffuseGAE(self.config.model, self.schema)
        if self.weights is not None:
            model.load_state_dict(dict(self.weights))
        return model
