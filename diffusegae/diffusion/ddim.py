"""DDIM without noise (Eqs. 6 and 7, sigma = 0): the step rule.

Clipping decides everything for an undertrained model. An error of eps enters x_0_hat multiplied by
sqrt((1 - alpha_bar) / alpha_bar), 144-fold at t = 990. Clamping x_0_hat to [-1, 1] bounds it, and recomputing eps
from the clamped estimate keeps x = sqrt(alpha_bar) x_0_hat + sqrt(1 - alpha_bar) eps true, so that the step moves x
along a line through x itself and the inverse step can retrace it.
"""

from jaxtyping import Float
from torch import Tensor

from diffusegae.diffusion.process import clip_x_0, per_image
from diffusegae.diffusion.trajectory import Levels


def estimate_x_0(
    x: Float[Tensor, "batch *shape"], eps: Float[Tensor, "batch *shape"], levels: Levels, clip: bool
) -> Float[Tensor, "batch *shape"]:
    """Return the x_0 that x and eps imply at the level where x stands."""
    x_0_hat = (x - per_image(levels.sigma_from, x) * eps) / per_image(levels.alpha_from, x)
    x_0_hat = x_0_hat.to(x.dtype)
    return clip_x_0(x_0_hat) if clip else x_0_hat


def move(
    x: Float[Tensor, "batch *shape"], x_0_hat: Float[Tensor, "batch *shape"], levels: Levels
) -> Float[Tensor, "batch *shape"]:
    """Carry x to another noise level, up or down, along the line of x_0_hat and the eps that x and it imply.

    alpha_bar_from lies in (0, 1); alpha_bar_to may be 0 (pure eps) or 1 (x_0_hat itself).
    """
    eps = (x - per_image(levels.alpha_from, x) * x_0_hat) / per_image(levels.sigma_from, x)
    x_to = per_image(levels.alpha_to, x) * x_0_hat + per_image(levels.sigma_to, x) * eps
    return x_to.to(x.dtype)


def ddim_step(
    x: Float[Tensor, "batch *shape"], eps: Float[Tensor, "batch *shape"], levels: Levels, clip: bool = True
) -> tuple[Float[Tensor, "batch *shape"], Float[Tensor, "batch *shape"]]:
    """Move each image between its own two noise levels; return it and the estimate of x_0 on which the move rests."""
    x_0_hat = estimate_x_0(x, eps, levels, clip)
    return move(x, x_0_hat, levels), x_0_hat


def advance(
    x: Float[Tensor, "batch *shape"],
    eps: Float[Tensor, "batch *shape"],
    x_0_previous: Float[Tensor, "batch *shape"],
    levels: Levels,
    clip: bool,
) -> tuple[Float[Tensor, "batch *shape"], Float[Tensor, "batch *shape"]]:
    """Apply `ddim_step` as a step rule; a first-order method has no use for the step before."""
    return ddim_step(x, eps, levels, clip)
