"""L_simple (Eq. 1): noise drawn into images, and the squared error of what a network predicts of it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.diffusion.process import PredictionKind, add_noise, predict_eps, training_target
from diffusegae.diffusion.schedule import Schedule
from diffusegae.models.unet import UNet


@dataclass(frozen=True)
class NoisyBatch:
    """A batch at its noise level: x_t, t and the eps that was mixed in."""

    x_0: Float[Tensor, "batch 3 height width"]
    x_t: Float[Tensor, "batch 3 height width"]
    t: Int64[Tensor, " batch"]
    eps: Float[Tensor, "batch 3 height width"]


def draw_noise(
    x_0: Float[Tensor, "batch 3 height width"], schedule: Schedule, generator: torch.Generator
) -> NoisyBatch:
    """Draw t uniformly and eps from N(0, I) per image, on the CPU generator so that devices agree, and mix x_t."""
    t = torch.randint(0, schedule.num_timesteps, (len(x_0),), generator=generator).to(x_0.device)
    eps = torch.randn(x_0.shape, generator=generator).to(x_0.device)
    return NoisyBatch(x_0, add_noise(x_0, eps, t, schedule), t, eps)


def simple_loss(
    prediction: Float[Tensor, "batch 3 height width"], noisy: NoisyBatch, schedule: Schedule, kind: PredictionKind
) -> Float[Tensor, ""]:
    """Return L_simple (Eq. 1): the mean squared error of what the network predicts, eps or v."""
    target = training_target(noisy.x_0, noisy.eps, noisy.t, schedule, kind)
    return F.mse_loss(prediction.float(), target)


def eps_error(
    prediction: Float[Tensor, "batch 3 height width"], noisy: NoisyBatch, schedule: Schedule, kind: PredictionKind
) -> Float[Tensor, ""]:
    """Return the mean squared error in eps, whatever the network predicts (for the z-shuffle ratio)."""
    return F.mse_loss(predict_eps(prediction.float(), noisy.x_t, noisy.t, schedule, kind), noisy.eps)


def denoising_loss(
    unet: UNet,
    noisy: NoisyBatch,
    z_sem: Float[Tensor, "batch z_sem"],
    schedule: Schedule,
    kind: PredictionKind,
    lambda_canvas: float,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Return L_simple (Eq. 1) under a condition, plus `lambda_canvas` times the canvas' distance; and the terms."""
    condition = unet.condition(z_sem)
    simple = simple_loss(unet.denoise(noisy.x_t, noisy.t, condition), noisy, schedule, kind)
    return add_canvas_loss(
        simple, {"simple": simple.detach()}, condition.canvas, noisy.x_0, unet.unshuffle, lambda_canvas
    )


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
