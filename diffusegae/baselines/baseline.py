"""What a baseline is: its networks, the goals by which they are trained, and the method that edits with them.

A baseline brings no trainer, data set or argument parser: `training/baseline.py` trains any of them by the loop that
trains ours, from the labels and GROUPs of the same feed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.method import Method
from diffusegae.schema import AttributeSchema


@dataclass(frozen=True)
class Samples:
    """A batch of labelled images in [-1, 1]: one member each, or the members of GROUPs, the centre first."""

    images: Float[Tensor, "samples members 3 height width"]
    labels: Int64[Tensor, "samples members attributes"]

    def __len__(self) -> int:
        return len(self.images)

    def chunk(self, pieces: int) -> list["Samples"]:
        """Return the samples in so many pieces, or in as many as there are samples."""
        return [Samples(*each) for each in zip(self.images.chunk(pieces), self.labels.chunk(pieces), strict=True)]


Terms = tuple[Float[Tensor, ""], dict[str, Tensor]]  # the loss to minimise, and what is reported of it
Draw = Callable[[Samples, torch.Generator], Any]  # what chance decides of samples, for the loss to read
Loss = Callable[[Samples, Any], Terms]


def draw_nothing(samples: Samples, generator: torch.Generator) -> None:
    """Draw for a loss that leaves nothing to chance."""


@dataclass(frozen=True)
class Goal:
    """A loss and the parts of a baseline whose weights it moves, every `every` steps.

    What the loss leaves to chance is drawn before it, so that the loss can be compiled.
    """

    name: str
    loss: Loss
    trains: Mapping[str, nn.Module]
    every: int = 1
    draw: Draw = draw_nothing

    def measure(self, samples: Samples, generator: torch.Generator) -> Terms:
        """Draw, and return the loss with its terms."""
        return self.loss(samples, self.draw(samples, generator))


class Baseline(nn.Module, ABC):
    """The networks of a method; built of a config and a schema, so that a checkpoint says all that is needed.

    One that `reads_names` learns values by their labels: it has an output for each that goes by name, and trains on
    images all of whose values do. Samples hold the places of labels among those, -1 of others.
    """

    reads_names: ClassVar[bool] = False

    def __init__(self, config: PipelineConfig, schema: AttributeSchema) -> None:
        super().__init__()
        self.config, self.schema = config, schema

    @abstractmethod
    def goals(self) -> Sequence[Goal]:
        """Return what is minimised, in the order of a step; adversaries are two goals."""

    @abstractmethod
    def method(self, device: torch.device | str = "cpu") -> Method:
        """Return the method that edits with these weights as they are; moves them to the device, into eval mode."""

    def take_before(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights of the stage before (`STAGE_BEFORE`), for a baseline that begins with another's."""
        raise TypeError(f"{type(self).__name__} begins with nothing; name no stage before it")

    @property
    def frozen(self) -> Sequence[nn.Module]:
        """Parts that no goal trains."""
        return ()

    def parameter_counts(self) -> dict[str, int]:
        """Return how many parameters each part has."""
        return {name: sum(p.numel() for p in part.parameters()) for name, part in self.named_children()}


@contextmanager
def held_still(module: nn.Module) -> Iterator[None]:
    """Let gradients pass through a module without reaching its weights: an adversary seen from the other side."""
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    module.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
