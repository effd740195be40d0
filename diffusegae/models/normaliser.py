"""The normaliser of z_sem: what the GAE sees is centred and scaled by statistics of the training set.

Power 0 scales each dimension by itself, as the authors' code. A positive power rotates to principal axes and divides by
the spread there: attributes that z_sem learns last live in its small directions, and whitening levels them.
The statistics are buffers, so they travel in the checkpoint.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

FLOOR = 1e-3  # of the largest spread; a dead direction is left small instead of being blown up


class LatentNormaliser(nn.Module):
    """An affine map of z_sem: normalise(z) = (z - mean) @ forward_matrix, and its inverse."""

    mean: Float[Tensor, " z_sem"]
    matrix: Float[Tensor, "z_sem z_sem"]
    inverse: Float[Tensor, "z_sem z_sem"]

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("matrix", torch.eye(width))
        self.register_buffer("inverse", torch.eye(width))

    @torch.no_grad()
    def fit(self, mean: Float[Tensor, " z_sem"], covariance: Float[Tensor, "z_sem z_sem"], power: float) -> None:
        """Take the statistics of the training latents.

        `power` 0 is the per-dimension z-score; otherwise principal axes divided by spread to that power (1 whitens).
        """
        covariance = covariance.double()
        if power == 0:
            spread = covariance.diagonal().clamp_min(0).sqrt()
            scale = spread.clamp_min(FLOOR * spread.max())
            matrix, inverse = torch.diag(1 / scale), torch.diag(scale)
        else:
            variance, axes = torch.linalg.eigh(covariance)
            spread = variance.clamp_min(0).sqrt()
            spread = spread.clamp_min(FLOOR * spread.max())
            scale = spread**power * spread.square().mean().sqrt() ** (1 - power)
            matrix, inverse = axes / scale, (axes * scale).T
        self.mean.copy_(mean)
        self.matrix.copy_(matrix)
        self.inverse.copy_(inverse)

    def normalise(self, z_sem: Float[Tensor, "batch z_sem"]) -> Float[Tensor, "batch z_sem"]:
        """Map z_sem to the GAE's side."""
        return (z_sem - self.mean) @ self.matrix

    def denormalise(self, z: Float[Tensor, "batch z_sem"]) -> Float[Tensor, "batch z_sem"]:
        """Map the GAE's side back to z_sem."""
        return z @ self.inverse + self.mean
