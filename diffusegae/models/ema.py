"""The exponential moving average of a model's weights, the copy that is judged, registered and served."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class Ema(Generic[Module]):
    """A frozen copy of a module that follows it: shadow <- decay * shadow + (1 - decay) * weight.

    The decay warms up as (1 + n) / (10 + n) over n updates, so that a short run does not keep its random start.
    """

    def __init__(self, module: Module, decay: float) -> None:
        self.module: Module = copy.deepcopy(module).requires_grad_(False).eval()
        self.decay = decay
        self.num_updates = 0

    @torch.no_grad()
    def update(self, module: Module) -> None:
        """Move the copy towards `module`; buffers are copied as they are."""
        self.num_updates += 1
        weight = 1 - min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        shadow: list[Tensor] = list(self.module.parameters())
        current: list[Tensor] = [parameter.detach() for parameter in module.parameters()]
        torch._foreach_lerp_(shadow, current, weight)
        for mine, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)
