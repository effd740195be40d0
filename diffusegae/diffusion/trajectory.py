"""The path of a sampler through noise levels, and the one loop that follows it.

A path is plain data and a step rule is a pure function of one batch, in which every image may stand at another
transition. `follow` moves a whole batch along one path; a service may instead hold one path per request, collect the
current transitions with `levels_of`, and call the same rule.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from diffusegae.diffusion.process import Denoise
from diffusegae.diffusion.schedule import Schedule, timestep_grid

# Called after every step with its index, from 0, and the estimate of x_0 that the step used.
OnStep = Callable[[int, Float[Tensor, "batch *shape"]], None]


@dataclass(frozen=True)
class Transition:
    """State one step: the network is asked at `timestep`, x moves from one alpha_bar to another.

    `alpha_bar_previous` is the level the step before came from; the first step of a path gives its own level.
    """

    timestep: int
    alpha_bar_previous: float
    alpha_bar_from: float
    alpha_bar_to: float


@dataclass(frozen=True, eq=False)
class Levels:
    """Hold the current transition of each image of a batch; t is on the device of the images."""

    t: Int64[Tensor, "batch"]
    alpha_bar_previous: Float64[Tensor, "batch"]
    alpha_bar_from: Float64[Tensor, "batch"]
    alpha_bar_to: Float64[Tensor, "batch"]


# (x, eps, estimate of x_0 of the step before or zeros, levels, clip) -> (x at alpha_bar_to, estimate of x_0)
Advance = Callable[
    [Float[Tensor, "batch *shape"], Float[Tensor, "batch *shape"], Float[Tensor, "batch *shape"], Levels, bool],
    tuple[Float[Tensor, "batch *shape"], Float[Tensor, "batch *shape"]],
]


def sampling_path(schedule: Schedule, steps: int) -> list[Transition]:
    """List the transitions from x_T to x_0: the kept timesteps downwards, ending at alpha_bar = 1."""
    grid = timestep_grid(schedule.num_timesteps, steps)[::-1]
    return _path(schedule, grid, end=1.0)


def inversion_path(schedule: Schedule, steps: int) -> list[Transition]:
    """List the transitions from x_0 to x_T (Eq. 7): the kept timesteps upwards, ending at alpha_bar = 0.

    The clean image enters as if it stood at the first timestep, as in Diff-AE, so sampling and inversion ask the
    network at the same timesteps.
    """
    return _path(schedule, timestep_grid(schedule.num_timesteps, steps), end=0.0)


def _path(schedule: Schedule, grid: list[int], end: float) -> list[Transition]:
    levels = [float(schedule.alpha_bar[t]) for t in grid]
    return [Transition(*move) for move in zip(grid, levels[:1] + levels[:-1], levels, [*levels[1:], end], strict=True)]


def levels_of(transitions: Sequence[Transition], device: torch.device | str) -> Levels:
    """Stack one transition per image into the tensors that a step rule takes."""
    moves = [(each.alpha_bar_previous, each.alpha_bar_from, each.alpha_bar_to) for each in transitions]
    alpha_bars = torch.tensor(moves, dtype=torch.float64).unbind(dim=1)
    return Levels(torch.tensor([each.timestep for each in transitions], device=device), *alpha_bars)


def follow(
    denoise: Denoise,
    x: Float[Tensor, "batch *shape"],
    path: Sequence[Transition],
    advance: Advance,
    clip: bool,
    on_step: OnStep | None,
) -> Float[Tensor, "batch *shape"]:
    """Move a batch along a path by a step rule, one call of the network per transition."""
    x_0_hat = torch.zeros_like(x)
    for index, transition in enumerate(path):
        levels = levels_of([transition] * len(x), x.device)
        x, x_0_hat = advance(x, denoise(x, levels.t), x_0_hat, levels, clip)
        if on_step is not None:
            on_step(index, x_0_hat)
    return x
