"""DPM-Solver++(2M) (arXiv 2211.01095, Algorithm 2) on the kept discrete timesteps: the step, sampling and inversion.

With alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar), lambda = log(alpha / sigma) and h = lambda_to - lambda_from,
the update (sigma_to / sigma_from) x - alpha_to (exp(-h) - 1) D is DDIM's move with D in place of x_0_hat, and in that
form it is finite at alpha_bar = 0 and 1 too. D extrapolates the last two estimates of x_0 linearly in lambda.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffusegae.diffusion.ddim import move
from diffusegae.diffusion.process import Denoise, clip_x_0, per_image, x_0_of_eps
from diffusegae.diffusion.schedule import Schedule
from diffusegae.diffusion.trajectory import Levels, OnStep, follow, inversion_path, sampling_path


def extrapolation_weight(levels: Levels) -> Float64[Tensor, "batch"]:
    """Return 1 / (2 r) = h / (2 h_previous), or 0 where the step must be first order.

    That is the first step, which has no predecessor (h_previous = 0), and one that ends at alpha_bar 0 or 1, where
    lambda is infinite.
    """
    # lambda is half the logit of alpha_bar; the half cancels.
    now = torch.logit(levels.alpha_bar_from)
    weight = (torch.logit(levels.alpha_bar_to) - now) / (2 * (now - torch.logit(levels.alpha_bar_previous)))
    return torch.where(weight.isfinite(), weight, 0.0)


def advance(
    x: Float[Tensor, "batch *shape"],
    eps: Float[Tensor, "batch *shape"],
    x_0_previous: Float[Tensor, "batch *shape"],
    levels: Levels,
    clip: bool,
) -> tuple[Float[Tensor, "batch *shape"], Float[Tensor, "batch *shape"]]:
    """Make one step from the estimates of x_0 here and at the step before; return x and the estimate here."""
    x_0_hat = x_0_of_eps(x, eps, levels.alpha_bar_from)
    if clip:
        x_0_hat = clip_x_0(x_0_hat)
    extrapolated = x_0_hat + per_image(extrapolation_weight(levels), x) * (x_0_hat - x_0_previous)
    return move(x, extrapolated, levels.alpha_bar_from, levels.alpha_bar_to), x_0_hat


def sample(
    denoise: Denoise,
    x_T: Float[Tensor, "batch *shape"],
    schedule: Schedule,
    steps: int,
    clip: bool = True,
    on_step: OnStep | None = None,
) -> Float[Tensor, "batch *shape"]:
    """Turn noise x_T into an image. Gradients, autocast and eval mode are the caller's matter."""
    return follow(denoise, x_T, sampling_path(schedule, steps), advance, clip, on_step)


def invert(
    denoise: Denoise,
    x_0: Float[Tensor, "batch *shape"],
    schedule: Schedule,
    steps: int,
    clip: bool = True,
    on_step: OnStep | None = None,
) -> Float[Tensor, "batch *shape"]:
    """Find the noise x_T from which `sample` returns x_0, by the same solver run upwards.

    Not interchangeable with DDIM's inversion: the two agree in the first step only.
    """
    return follow(denoise, x_0, inversion_path(schedule, steps), advance, clip, on_step)
