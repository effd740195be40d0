"""The forward process q(x_t | x_0), and every conversion among eps, x_0 and v.

Symbols: x_0 a clean image in [-1, 1], eps ~ N(0, I), x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, and
v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0 (arXiv 2202.00512). Results have the dtype of the image.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from diffusegae.diffusion.schedule import Schedule

PredictionKind = Literal["eps", "v"]

# A network closed over its condition: (x_t, t) -> what it predicts. `Denoise` is one whose prediction is eps.
Predict = Callable[[Float[Tensor, "batch *shape"], Int64[Tensor, "batch"]], Float[Tensor, "batch *shape"]]
Denoise = Predict


def per_image(values: Float[Tensor, "batch"], like: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *ones"]:
    """Shape one coefficient per image to multiply with a batch, in float32 or the batch's own wider dtype.

    A bfloat16 batch is thereby promoted to float32 for the arithmetic; the caller casts the result back.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    return values.to(dtype).to(like.device).reshape(-1, *[1] * (like.ndim - 1))


def add_noise(
    x_0: Float[Tensor, "batch *shape"],
    eps: Float[Tensor, "batch *shape"],
    t: Int64[Tensor, "batch"],
    schedule: Schedule,
) -> Float[Tensor, "batch *shape"]:
    """Draw x_t of q(x_t | x_0) with the given noise (Eq. 2 in DDPM's convention)."""
    alpha_bar = schedule.at(t)
    x_t = per_image(alpha_bar.sqrt(), x_0) * x_0 + per_image((1 - alpha_bar).sqrt(), x_0) * eps
    return x_t.to(x_0.dtype)


def training_target(
    x_0: Float[Tensor, "batch *shape"],
    eps: Float[Tensor, "batch *shape"],
    t: Int64[Tensor, "batch"],
    schedule: Schedule,
    kind: PredictionKind,
) -> Float[Tensor, "batch *shape"]:
    """Return what a network of that kind should predict at x_t (L_simple compares with it, Eq. 1)."""
    if kind == "eps":
        return eps
    alpha_bar = schedule.at(t)
    v = per_image(alpha_bar.sqrt(), x_0) * eps - per_image((1 - alpha_bar).sqrt(), x_0) * x_0
    return v.to(x_0.dtype)


def predict_eps(
    prediction: Float[Tensor, "batch *shape"],
    x_t: Float[Tensor, "batch *shape"],
    t: Int64[Tensor, "batch"],
    schedule: Schedule,
    kind: PredictionKind,
) -> Float[Tensor, "batch *shape"]:
    """Convert a network's prediction at x_t into eps."""
    if kind == "eps":
        return prediction.to(x_t.dtype)
    alpha_bar = schedule.at(t)
    eps = per_image(alpha_bar.sqrt(), x_t) * prediction + per_image((1 - alpha_bar).sqrt(), x_t) * x_t
    return eps.to(x_t.dtype)


def predict_x_0(
    prediction: Float[Tensor, "batch *shape"],
    x_t: Float[Tensor, "batch *shape"],
    t: Int64[Tensor, "batch"],
    schedule: Schedule,
    kind: PredictionKind,
) -> Float[Tensor, "batch *shape"]:
    """Convert a network's prediction at x_t into x_0, unclipped."""
    alpha_bar = schedule.at(t)
    if kind == "eps":
        return x_0_of_eps(x_t, prediction, alpha_bar)
    x_0 = per_image(alpha_bar.sqrt(), x_t) * x_t - per_image((1 - alpha_bar).sqrt(), x_t) * prediction
    return x_0.to(x_t.dtype)


def x_0_of_eps(
    x_t: Float[Tensor, "batch *shape"],
    eps: Float[Tensor, "batch *shape"],
    alpha_bar: Float64[Tensor, "batch"],
) -> Float[Tensor, "batch *shape"]:
    """Solve x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps for x_0."""
    x_0 = (x_t - per_image((1 - alpha_bar).sqrt(), x_t) * eps) / per_image(alpha_bar.sqrt(), x_t)
    return x_0.to(x_t.dtype)


def clip_x_0(x_0_hat: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
    """Clamp an estimate of x_0 to the range of images, [-1, 1]."""
    return x_0_hat.clamp(-1, 1)


def from_prediction(predict: Predict, schedule: Schedule, kind: PredictionKind) -> Denoise:
    """Turn a network of any kind into the eps-predictor that samplers take."""

    def denoise(x_t: Float[Tensor, "batch *shape"], t: Int64[Tensor, "batch"]) -> Float[Tensor, "batch *shape"]:
        return predict_eps(predict(x_t, t), x_t, t, schedule, kind)

    return denoise


def noise_for_seeds(
    seeds: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu"
) -> Float[Tensor, "batch *shape"]:
    """Draw x_T ~ N(0, I), float32, one image per seed.

    An image depends on its seed and shape alone, not on its neighbours or the device: drawn on the CPU, then moved.
    """
    images = [torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(images).to(device)


def slerp(
    start: Float[Tensor, "batch *shape"], end: Float[Tensor, "batch *shape"], alpha: float
) -> Float[Tensor, "batch *shape"]:
    """Return the spherical interpolation of two noise maps, which keeps their norm (used for x_T)."""
    a, b = start.flatten(1), end.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1)
    angle = torch.acos(cosine).clamp_min(1e-6)[:, None]
    mixed = (torch.sin((1 - alpha) * angle) * a + torch.sin(alpha * angle) * b) / torch.sin(angle)
    return mixed.view_as(start)
