"""DPM-Solver++(2M) (arXiv 2211.01095, Algorithm 2) on the kept discrete timesteps: the step rule.

With alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar), lambda = log(alpha / sigma) and h = lambda_to - lambda_from,
the update (sigma_to / sigma_from) x - alpha_to (exp(-h) - 1) D is DDIM's move with D in place of x_0_hat, and in that
form it is finite at alpha_bar = 0 and 1 too. D extrapolates the last two estimates of x_0 linearly in lambda.
"""

from jaxtyping import Float
from torch import Tensor

from diffusegae.diffusion.ddim import estimate_x_0, move
from diffusegae.diffusion.process import per_image
from diffusegae.diffusion.trajectory import Levels


def advance(
    x: Float[Tensor, "batch *shape"],
    eps: Float[Tensor, "batch *shape"],
    x_0_previous: Float[Tensor, "batch *shape"],
    levels: Levels,
    clip: bool,
) -> tuple[Float[Tensor, "batch *shape"], Float[Tensor, "batch *shape"]]:
    """Make one step from the estimates of x_0 here and at the step before; return x and the estimate here."""
    x_0_hat = estimate_x_0(x, eps, levels, clip)
    extrapolated = x_0_hat + per_image(levels.extrapolation, x) * (x_0_hat - x_0_previous)
    return move(x, extrapolated, levels), x_0_hat
