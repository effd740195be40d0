"""Operations on z_dis: swap, recombine and interpolate parts. Pure functions from latent to latent, nothing learned.

A code is [batch, z_dis]; its parts are the schema's slices. Members of a GROUP lie along axis 1: centre first, then the
partners in the order of the attribute subsets that they share with it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def replace_parts(
    source: Float[Tensor, "batch z_dis"], donor: Float[Tensor, "batch z_dis"], parts: Sequence[slice]
) -> Float[Tensor, "batch z_dis"]:
    """Return the source's codes with the given parts taken from the donor (replacement, Fig. 6)."""
    result = source.clone()
    for part in parts:
        result[:, part] = donor[:, part]
    return result


def recombine(donors: Sequence[Float[Tensor, "batch z_dis"]], parts: Sequence[slice]) -> Float[Tensor, "batch z_dis"]:
    """Return codes whose j-th part comes from the j-th donor (recombination, Fig. 7)."""
    return torch.cat([donor[:, part] for donor, part in zip(donors, parts, strict=True)], dim=1)


def recombine_rows(
    z_dis: Float[Tensor, "batch z_dis"], rows: Int64[Tensor, "count parts"], parts: Sequence[slice]
) -> Float[Tensor, "count z_dis"]:
    """Return codes whose j-th part is that of row `rows[:, j]` of the batch."""
    return torch.cat([z_dis[rows[:, j], part] for j, part in enumerate(parts)], dim=1)


def interpolate_parts(
    source: Float[Tensor, "batch z_dis"],
    target: Float[Tensor, "batch z_dis"],
    alpha: float,
    parts: Sequence[slice],
) -> Float[Tensor, "batch z_dis"]:
    """Return Lerp(source, target; alpha) in the given parts; the others stay the source's (Figs 8 and 9)."""
    result = source.clone()
    for part in parts:
        result[:, part] = torch.lerp(source[:, part], target[:, part], alpha)
    return result


def slerp(
    start: Float[Tensor, "batch *shape"], end: Float[Tensor, "batch *shape"], alpha: float
) -> Float[Tensor, "batch *shape"]:
    """Return the spherical interpolation of two noise maps, which keeps their norm (used for x_T)."""
    a, b = start.flatten(1), end.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1)
    angle = torch.acos(cosine).clamp_min(1e-6)[:, None]
    mixed = (torch.sin((1 - alpha) * angle) * a + torch.sin(alpha * angle) * b) / torch.sin(angle)
    return mixed.view_as(start)
