"""A UNet in half precision, its weights cast once and channels last, as tensor cores take them.

What a picture's last bits hang on stays in float32: the embedding of t, the last layer, and the canvas' share of the
prediction. Normalisations take and return half precision and sum in float32.
"""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffusegae.models.unet import Condition, UNet


class Cast(nn.Module):
    """Turn what comes into a dtype, before or after a layer that has another one than its neighbours."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        """Return x in the dtype."""
        return x.to(self.dtype)


def narrow(unet: UNet, dtype: torch.dtype) -> UNet:
    """Return a copy of a UNet that denoises in dtype: x_t and what it returns are float32, as the UNet's own.

    The condition comes from the UNet itself, its style cast to dtype (`narrow_condition`).
    """
    narrowed = copy.deepcopy(unet)
    for part in (narrowed.stem, narrowed.down, narrowed.middle, narrowed.up, narrowed.norm):
        part.to(dtype=dtype)
    narrowed.set_submodule("stem", nn.Sequential(Cast(dtype), narrowed.stem))
    narrowed.set_submodule("time", nn.Sequential(narrowed.time, Cast(dtype)))
    narrowed.set_submodule("head", nn.Sequential(Cast(torch.float32), narrowed.head))
    if narrowed.canvas is not None:
        narrowed.canvas.set_submodule("weights", nn.Sequential(Cast(torch.float32), narrowed.canvas.weights))
    narrowed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stub of Module.to
    return narrowed


def narrow_condition(condition: Condition, dtype: torch.dtype) -> Condition:
    """Return a condition as a narrowed UNet takes it; the canvas stays float32."""
    return Condition(condition.style.to(dtype), condition.canvas)
