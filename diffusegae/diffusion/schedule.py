"""The noise schedule: alpha_bar of every timestep, and the grid of timesteps that a sampler keeps.

alpha_bar_t is the product of (1 - beta_s) over s <= t, DDPM's convention, so that
x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps. It stays float64 until it is multiplied with an image.
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from diffusegae.config.model import DiffusionConfig


@dataclass(frozen=True, eq=False)
class Schedule:
    """Hold alpha_bar of timesteps 0 .. num_timesteps - 1, decreasing, in (0, 1)."""

    alpha_bar: Float64[Tensor, "num_timesteps"]
    _copies: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False)

    @property
    def num_timesteps(self) -> int:
        """Count the timesteps the network is trained on."""
        return len(self.alpha_bar)

    def at(self, t: Int64[Tensor, "batch"]) -> Float64[Tensor, "batch"]:
        """Look up alpha_bar of each image's timestep, on the device of t."""
        if t.device not in self._copies:  # copied to each device once, not at every step
            self._copies[t.device] = self.alpha_bar.to(t.device)
        return self._copies[t.device][t]


def linear_schedule(num_timesteps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> Schedule:
    """Build the schedule of DDPM: beta linear from beta_start to beta_end, both included."""
    beta = torch.linspace(beta_start, beta_end, num_timesteps, dtype=torch.float64)
    return Schedule(torch.cumprod(1 - beta, dim=0))


def schedule_of(config: DiffusionConfig) -> Schedule:
    """Build the schedule that a config describes."""
    return linear_schedule(config.num_timesteps, config.beta_start, config.beta_end)


def timestep_grid(num_timesteps: int, steps: int) -> list[int]:
    """List the kept timesteps in ascending order from 0, by the smallest integer stride that leaves `steps` of them.

    100 of 1000 are 0, 10, ..., 990. The rule is that of Diff-AE's `space_timesteps`.

    Raises:
        ValueError: no stride leaves exactly that many steps; the message names the nearest counts that exist.
    """
    if not 1 <= steps <= num_timesteps:
        raise ValueError(f"steps={steps} is outside 1..{num_timesteps}; choose a count in that range")
    stride = math.ceil(num_timesteps / steps)
    grid = list(range(0, num_timesteps, stride))
    if len(grid) != steps:
        # The smallest stride leaving at most `steps` gives the count below; one less gives the count above.
        above = math.ceil(num_timesteps / (stride - 1))
        raise ValueError(
            f"steps={steps}: no integer stride over {num_timesteps} timesteps leaves that many; "
            f"the nearest allowed counts are {len(grid)} and {above}"
        )
    return grid
