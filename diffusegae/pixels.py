"""Pixels as networks take them: uint8 HWC at rest, float32 [-1, 1] NCHW inside.

These are the only functions that change an image's range or layout.
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_tensor(pixels: UInt8[np.ndarray, "*batch height width 3"]) -> Float[Tensor, "*batch 3 height width"]:
    """Turn uint8 HWC pixels into float32 [-1, 1] CHW.

    In numpy, on one thread: a feed does this beside training, where torch would wake a second team of threads.
    """
    values = np.ascontiguousarray(np.moveaxis(pixels, -1, -3)).astype(np.float32)
    values /= 127.5
    values -= 1.0
    return torch.from_numpy(values)


def to_device(
    pixels: UInt8[np.ndarray, "*batch height width 3"], device: torch.device
) -> Float[Tensor, "*batch 3 height width"]:
    """Turn uint8 HWC pixels into float32 [-1, 1] CHW on a device; a GPU is sent the pixels, a quarter of the bytes."""
    if device.type != "cuda":
        return to_tensor(pixels).to(device)
    sent = torch.from_numpy(pixels).pin_memory().to(device, non_blocking=True)
    return normalise(sent)


def normalise(
    pixels: UInt8[Tensor, "*batch height width 3"], channels_last: bool = False
) -> Float[Tensor, "*batch 3 height width"]:
    """Turn uint8 HWC pixels into float32 [-1, 1] CHW where they are, to the bit as `to_tensor` does.

    With `channels_last` the pixels stay as they lie in memory, and only the shape says CHW.
    """
    planes = pixels.movedim(-1, -3)
    if not channels_last:
        planes = planes.contiguous()
    # On a GPU, division by a Python number is multiplication by its rounded inverse.
    return planes.float().div_(torch.full((), 127.5, device=pixels.device)).sub_(1.0)


def to_pixels(images: Float[Tensor, "*batch 3 height width"]) -> UInt8[np.ndarray, "*batch height width 3"]:
    """Turn [-1, 1] CHW images into uint8 HWC pixels, rounding to the nearest level."""
    levels = images.detach().float().add(1.0).mul(127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).movedim(-3, -1).cpu().numpy()


def to_unit(images: Float[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 height width"]:
    """Map [-1, 1] to [0, 1], the range of the paper's SSIM and MSE, clamping what lies outside."""
    return images.add(1.0).mul(0.5).clamp(0.0, 1.0)
