"""L_simple (Eq. 1): noise drawn into images, and the squared error of what a network predicts of it."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.diffusion.process import PredictionKind, add_noise, predict_eps, training_target
from diffusegae.diffusion.schedule import Schedule
from diffusegae.models.unet import UNet


class NoisyBatch(NamedTuple):
    """A batch at its noise level: x_t, t, the eps that was mixed in, and what the network should predict."""

    x_t: Float[Tensor, "batch 3 height width"]
    t: Int64[Tensor, " batch"]
    eps: Float[Tensor, "batch 3 height width"]
    target: Float[Tensor, "batch 3 height width"]


def draw_noise(
    x_0: Float[Tensor, "batch 3 height width"], schedule: Schedule, kind: PredictionKind, generator: torch.Generator
) -> NoisyBatch:
    """Draw t uniformly and eps from N(0, I) per image, on the generator's device, and mix x_t in the layout of x_0."""
    t = torch.randint(0, schedule.num_timesteps, (len(x_0),), generator=generator, device=generator.device)
    eps = torch.empty_like(x_0, device=generator.device).normal_(generator=generator)
    t, eps = t.to(x_0.device), eps.to(x_0.device)
    return NoisyBatch(add_noise(x_0, eps, t, schedule), t, eps, training_target(x_0, eps, t, schedule, kind))


def simple_loss(prediction: Float[Tensor, "batch 3 height width"], noisy: NoisyBatch) -> Float[Tensor, ""]:
    """Return L_simple (Eq. 1): the mean squared error of what the network predicts, eps or v."""
    return F.mse_loss(prediction.float(), noisy.target)


def eps_error(
    prediction: Float[Tensor, "batch 3 height width"], noisy: NoisyBatch, schedule: Schedule, kind: PredictionKind
) -> Float[Tensor, ""]:
    """Return the mean squared error in eps, whatever the network predicts (for the z-shuffle ratio)."""
    return F.mse_loss(predict_eps(prediction.float(), noisy.x_t, noisy.t, schedule, kind), noisy.eps)


def denoising_loss(
    unet: UNet,
    x_0: Float[Tensor, "batch 3 height width"],
    noisy: NoisyBatch,
    z_sem: Float[Tensor, "batch z_sem"],
    lambda_canvas: float,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Return L_simple (Eq. 1) under a condition, plus `lambda_canvas` times the canvas' distance; and the terms."""
    condition = unet.condition(z_sem)
    simple = simple_loss(unet.denoise(noisy.x_t, noisy.t, condition), noisy)
    return add_canvas_loss(simple, {"simple": simple.detach()}, condition.canvas, x_0, unet.unshuffle, lambda_canvas)


def add_canvas_loss(
    loss: Float[Tensor, ""],
    terms: dict[str, Tensor],
    canvas: Float[Tensor, "batch channels low_h low_w"] | None,
    x_0: Float[Tensor, "batch 3 height width"],
    unshuffle: nn.PixelUnshuffle,
    weight: float,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Return a loss plus `weight` times the canvas' distance from the image, and the terms; as given without either."""
    if canvas is None or weight == 0:
        return loss, terms
    distance = F.mse_loss(canvas.float(), unshuffle(x_0))
    return loss + weight * distance, {**terms, "canvas": distance.detach()}
