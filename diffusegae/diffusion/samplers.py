"""The samplers by name, each paired with its own inversion."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.diffusion import ddim, dpm_solver
from diffusegae.diffusion.process import Denoise
from diffusegae.diffusion.schedule import Schedule
from diffusegae.diffusion.trajectory import Advance, OnStep

SamplerName = Literal["ddim", "dpm++"]


@runtime_checkable
class Solve(Protocol):
    """Carry a batch along a whole path, from noise to images or back."""

    def __call__(
        self,
        denoise: Denoise,
        x: Float[Tensor, "batch *shape"],
        /,
        schedule: Schedule,
        steps: int,
        clip: bool = True,
        on_step: OnStep | None = None,
    ) -> Float[Tensor, "batch *shape"]:
        """Return the other end of the path; `ddim.sample` explains the arguments."""
        ...


@dataclass(frozen=True)
class Sampler:
    """Pair a sampler with its inversion, and with the single step from which both are made."""

    sample: Solve
    invert: Solve
    advance: Advance


SAMPLERS: dict[SamplerName, Sampler] = {
    "ddim": Sampler(ddim.sample, ddim.invert, ddim.advance),
    "dpm++": Sampler(dpm_solver.sample, dpm_solver.invert, dpm_solver.advance),
}


def sample(
    denoise: Denoise,
    x_T: Float[Tensor, "batch *shape"],
    schedule: Schedule,
    sampling: SamplingConfig,
    on_step: OnStep | None = None,
) -> Float[Tensor, "batch *shape"]:
    """Return images in [-1, 1] from noise, by the sampler and the number of steps that the config names."""
    solve = SAMPLERS[sampling.sampler].sample
    return solve(denoise, x_T, schedule, sampling.steps, clip=sampling.clip, on_step=on_step).clamp(-1, 1)


def invert(
    denoise: Denoise, x_0: Float[Tensor, "batch *shape"], schedule: Schedule, sampling: SamplingConfig
) -> Float[Tensor, "batch *shape"]:
    """Return the x_T from which `sample` generates these images in [-1, 1] (Eq. 7)."""
    return SAMPLERS[sampling.sampler].invert(denoise, x_0, schedule, sampling.steps, clip=sampling.clip)
