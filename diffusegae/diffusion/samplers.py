"""The samplers by name: step rules, and the two ways along a path of noise levels in which each is followed."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.diffusion import ddim, dpm_solver
from diffusegae.diffusion.process import Denoise
from diffusegae.diffusion.schedule import Schedule
from diffusegae.diffusion.trajectory import Advance, OnStep, follow, inversion_path, sampling_path

SamplerName = Literal["ddim", "dpm++"]


@dataclass(frozen=True)
class Sampler:
    """A step rule, followed from noise to images or back; one rule's noise is no other's.

    Gradients, autocast and eval mode are the caller's matter.
    """

    advance: Advance

    def sample(
        self,
        denoise: Denoise,
        x_T: Float[Tensor, "batch *shape"],
        schedule: Schedule,
        steps: int,
        clip: bool = True,
        on_step: OnStep | None = None,
    ) -> Float[Tensor, "batch *shape"]:
        """Turn noise x_T into images (Eq. 6); `steps` are calls of the denoiser."""
        return follow(denoise, x_T, sampling_path(schedule, steps), self.advance, clip, on_step)

    def invert(
        self,
        denoise: Denoise,
        x_0: Float[Tensor, "batch *shape"],
        schedule: Schedule,
        steps: int,
        clip: bool = True,
        on_step: OnStep | None = None,
    ) -> Float[Tensor, "batch *shape"]:
        """Find the noise x_T from which `sample` returns x_0, under the same denoiser, steps and clip (Eq. 7)."""
        return follow(denoise, x_0, inversion_path(schedule, steps), self.advance, clip, on_step)


SAMPLERS: dict[SamplerName, Sampler] = {"ddim": Sampler(ddim.advance), "dpm++": Sampler(dpm_solver.advance)}


def sample(
    denoise: Denoise,
    x_T: Float[Tensor, "batch *shape"],
    schedule: Schedule,
    sampling: SamplingConfig,
    on_step: OnStep | None = None,
) -> Float[Tensor, "batch *shape"]:
    """Return images in [-1, 1] from noise, by the sampler and the number of steps that the config names."""
    solve = SAMPLERS[sampling.sampler].sample
    return solve(denoise, x_T, schedule, sampling.steps, sampling.clip, on_step).clamp(-1, 1)


def invert(
    denoise: Denoise, x_0: Float[Tensor, "batch *shape"], schedule: Schedule, sampling: SamplingConfig
) -> Float[Tensor, "batch *shape"]:
    """Return the x_T from which `sample` generates these images in [-1, 1] (Eq. 7)."""
    return SAMPLERS[sampling.sampler].invert(denoise, x_0, schedule, sampling.steps, sampling.clip)
