"""The samplers by name, each paired with its own inversion."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

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
