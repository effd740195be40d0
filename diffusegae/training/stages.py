"""What a stage of training is: the modules it trains, its objectives, what it watches and what it draws.

The loop (step.py, worker.py) knows nothing else of a stage, so the three stages of the paper and a baseline with two
opposing objectives run through the same code. A baseline is a stage of its own name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from diffusegae.config.baselines import BaselineName
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import GroupStageConfig, StageConfig
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.schema import AttributeSchema

StageName = Literal["pretrain", "refine", "finetune"] | BaselineName
Model = TypeVar("Model", bound=nn.Module)

# The members of a batch's samples: images in [-1, 1] or latents, [samples, members, ...]
Batch = Float[Tensor, "samples members *shape"]


class ObjectiveModule(nn.Module):
    """A loss as a module, so that DDP and torch.compile can wrap it: (batch, draws) -> (loss, named terms).

    All that chance decides of a batch is drawn by `draw`, outside of what is compiled. Batches are tensors for our
    stages and labelled `Samples` for baselines; both have a length and can be chunked. `progress` is the share of the
    stage that lies behind, for weights that rise with it.
    """

    progress: Float[Tensor, ""]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    def draw(self, batch: Any, generator: torch.Generator) -> Any:
        """Draw what chance decides of a batch (noise, donors), as tensors on the batch's device."""
        raise NotImplementedError

    def forward(self, batch: Any, draws: Any) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
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
Monitor = Callable[[Model, Any, torch.Generator], dict[str, float]]
Painter = Callable[[Model, Any], UInt8[np.ndarray, "height width 3"]]


def column_of(stage: StageName) -> Literal["image", "z"]:
    """Return what a stage's samples consist of."""
    return "z" if stage == "refine" else "image"


def shared_of(config: StageConfig) -> int | None:
    """Return the s of the GROUP(C, s) that a stage trains on, None if its samples are single images."""
    return config.shared if isinstance(config, GroupStageConfig) else None


def members_of(config: PipelineConfig, stage: str) -> int:
    """Return how many images a sample of a stage consists of."""
    shared = shared_of(config.settings_of(stage))
    return 1 if shared is None else 1 + comb(len(config.data.attributes), shared)


def images_of(config: PipelineConfig, stages: Iterable[str]) -> int:
    """Return how many images pass the networks in some stages; stage 2 works on latents and adds none."""
    return sum(config.settings_of(s).num_samples * members_of(config, s) for s in stages if s != "refine")


@dataclass(frozen=True)
class Stage(Generic[Model]):
    """One stage, ready for the loop."""

    name: StageName
    config: StageConfig
    model: Model
    objectives: Sequence[Objective]
    monitor: Monitor[Model]
    paint: Painter[Model] | None
    frozen: Sequence[nn.Module] = field(default_factory=tuple)


@dataclass(frozen=True)
class StageInputs:
    """What a stage is built from: the pipeline's config, the schema, and the weights and statistics it starts with."""

    config: PipelineConfig
    schema: AttributeSchema
    weights: Mapping[str, Tensor] | None = None
    latent_mean: Float[Tensor, " z_sem"] | None = None
    latent_covariance: Float[Tensor, "z_sem z_sem"] | None = None

    def build_model(self, new_gae: bool = False) -> DiffuseGAE:
        """Return the model, with the weights of the stage before if there is one.

        `new_gae` leaves the GAE as it is drawn: stage 1 did not train its own, and may have had one of another size.
        """
        model = DiffuseGAE(self.config.model, self.schema)
        if self.weights is None:
            return model
        weights = dict(self.weights)
        if new_gae:
            weights = {name: value for name, value in weights.items() if not name.startswith("gae.")}
            weights |= {f"gae.{name}": value for name, value in model.gae.state_dict().items()}
        model.load_state_dict(weights)
        return model
