"""Labels as one-hots side by side, and as constant maps beside a picture: how adversarial baselines are told values."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F


def one_hots(labels: Int64[Tensor, "batch attributes"], cardinalities: Sequence[int]) -> Float[Tensor, "batch values"]:
    """Return the one-hots of all attributes, concatenated in the schema's order."""
    return torch.cat([F.one_hot(labels[:, j], count).float() for j, count in enumerate(cardinalities)], dim=1)


def with_label_maps(
    images: Float[Tensor, "batch 3 height width"], values: Float[Tensor, "batch values"]
) -> Float[Tensor, "batch channels height width"]:
    """Return the images with one more constant channel per value."""
    maps = values[:, :, None, None].expand(-1, -1, *images.shape[2:])
    return torch.cat([images, maps.to(images.dtype)], dim=1)
