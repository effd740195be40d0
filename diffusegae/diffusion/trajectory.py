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
    """Hold what step rules read of the current transition of each image, on the images' device.

    alpha = sqrt(alpha_bar) and sigma = sqrt(1 - alpha_bar), taken in float64 and rounded once to the images' dtype, or
    to float32 where that is narrower.
    """

    t: Int64[Tensor, "batch"]
    alpha_from: Float[Tensor, "batch"]
    sigma_from: Float[Tensor, "batch"]
    alpha_to: Float[Tensor, "batch"]
    sigma_to: Float[Tensor, "batch"]
    extrapolation: Float[Tensor, "batch"]

    def __getitem__(self, images: slice) -> "Levels":
        """Return the levels of some of the images."""
        return Levels(*(values[images] for values in self._all()))

    def expand(self, count: int) -> "Levels":
        """Return the levels of one image for `count` images that stand where it stands."""
        return Levels(*(values.expand(count) for values in self._all()))

    def _all(self) -> tuple[Tensor, ...]:
        return self.t, self.alpha_from, self.sigma_from, self.alpha_to, self.sigma_to, self.extrapolation


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


def levels_of(transitions: Sequence[Transition], like: Float[Tensor, "..."]) -> Levels:
    """Return what a step rule takes of one transition per image, for images of a tensor's dtype and device.

    One copy carries all of it, and nothing waits for it: on a GPU every copy that does would drain the queue.
    """
    moves = [(each.alpha_bar_previous, each.alpha_bar_from, each.alpha_bar_to) for each in transitions]
    previous, before, after = torch.tensor(moves, dtype=torch.float64).unbind(dim=1)
    t = torch.tensor([each.timestep for each in transitions], dtype=torch.float64)
    roots = (before.sqrt(), (1 - before).sqrt(), after.sqrt(), (1 - after).sqrt())
    rows = torch.stack([t, *roots, extrapolation_weight(previous, before, after)])
    rows = rows.to(torch.promote_types(like.dtype, torch.float32))  # which holds every timestep exactly
    if like.is_cuda:
        rows = rows.pin_memory().to(like.device, non_blocking=True)
    return Levels(rows[0].long(), *rows[1:])


def extrapolation_weight(
    alpha_bar_previous: Float64[Tensor, "batch"],
    alpha_bar_from: Float64[Tensor, "batch"],
    alpha_bar_to: Float64[Tensor, "batch"],
) -> Float64[Tensor, "batch"]:
    """Return how far a second-order rule extrapolates in lambda: 1 / (2 r) = h / (2 h_previous) of DPM-Solver++(2M).

    It is 0 where a step must be first order: the first, which has no predecessor (h_previous = 0), and one that ends at
    alpha_bar 0 or 1, where lambda is infinite.
    """
    # lambda is half the logit of alpha_bar; the half cancels.
    now = torch.logit(alpha_bar_from)
    weight = (torch.logit(alpha_bar_to) - now) / (2 * (now - torch.logit(alpha_bar_previous)))
    return torch.where(weight.isfinite(), weight, 0.0)


def follow(
    denoise: Denoise,
    x: Float[Tensor, "batch *shape"],
    path: Sequence[Transition],
    advance: Advance,
    clip: bool,
    on_step: OnStep | None,
) -> Float[Tensor, "batch *shape"]:
    """Move a batch along a path by a step rule, one call of the network per transition."""
    x_0_hat, whole = torch.zeros_like(x), levels_of(path, x)
    for index in range(len(path)):
        levels = whole[index : index + 1].expand(len(x))
        x, x_0_hat = advance(x, denoise(x, levels.t), x_0_hat, levels, clip)
        if on_step is not None:
            on_step(index, x_0_hat)
    return x
