"""Distances that need no learned network: MSE and SSIM between images, Fréchet between feature Gaussians.

Images are in [0, 1], the range in which the paper's Table 2 gives them (`images.to_unit` maps from [-1, 1]).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from diffusegae.metrics.quantity import Quantity

Images = Float[Tensor, "batch 3 height width"]

QUANTITIES = (Quantity("mse", "MSE", "lower", "error"), Quantity("ssim", "SSIM", "higher"))
WINDOW_RADIUS = 5  # 11 x 11 window
WINDOW_SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2 of Wang et al. 2004, L = 1


def mse(images: Images, truth: Images) -> Float[Tensor, " batch"]:
    """Return the mean squared error of each image over its channels and pixels."""
    return (images - truth).square().mean(dim=(1, 2, 3))


def ssim(images: Images, truth: Images) -> Float[Tensor, " batch"]:
    """Return the structural similarity of each pair, averaged over the whole of `ssim_map`, its border included."""
    return ssim_map(images, truth).mean(dim=(1, 2, 3))


def ssim_map(images: Images, truth: Images) -> Images:
    """Return single-scale SSIM at each pixel and channel: 11 x 11 Gaussian window, sigma 1.5, population covariances.

    The window reaches over the edge onto zeros, as in the evaluation code of Diff-AE from which the paper's figures
    descend. Both images share those zeros, which lifts the outermost 5 pixels a little. Further in the map equals
    scikit-image's, which reflects at the edge and leaves those 5 pixels out of its mean.
    """
    mu_x, mu_y = _blur(images), _blur(truth)
    var_x = _blur(images * images) - mu_x * mu_x
    var_y = _blur(truth * truth) - mu_y * mu_y
    cov = _blur(images * truth) - mu_x * mu_y
    luminance = (2 * mu_x * mu_y + C1) / (mu_x.square() + mu_y.square() + C1)
    return luminance * (2 * cov + C2) / (var_x + var_y + C2)


@dataclass(frozen=True)
class FeatureGaussian:
    """Mean and covariance of a feature over a set of images."""

    mean: Float[Tensor, " dim"]
    covariance: Float[Tensor, "dim dim"]


def fit_gaussian(features: Float[Tensor, "n dim"]) -> FeatureGaussian:
    """Return the Gaussian of a set of features, in float64 with the unbiased covariance.

    A Fréchet distance is biased upwards at small n: use several times more images than dimensions and say n beside it.

    Raises:
        ValueError: there are fewer than two features.
    """
    if len(features) < 2:
        raise ValueError(
            f"{len(features)} feature vector(s) have no covariance; a Fréchet distance needs 2 images at least, and"
            f" several times {features.shape[1]} to mean something. Evaluate more images"
        )
    rows = features.double()
    return FeatureGaussian(mean=rows.mean(dim=0), covariance=torch.cov(rows.T))


def frechet_distance(a: FeatureGaussian, b: FeatureGaussian) -> float:
    """Return |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) (Heusel et al. 2017, Eq. 6).

    The trace of the root is taken from the eigenvalues of S_a^(1/2) S_b S_a^(1/2), which is symmetric, so that singular
    covariances (fewer images than dimensions) need no offset on the diagonal.
    """
    root = _symmetric_root(a.covariance)
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()
    return float((a.mean - b.mean).square().sum() + (a.covariance + b.covariance).trace() - 2 * cross)


def _symmetric_root(matrix: Float[Tensor, "dim dim"]) -> Float[Tensor, "dim dim"]:
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    return torch.einsum("ik,k,jk->ij", vectors, eigenvalues.clamp(min=0).sqrt(), vectors)


def _blur(images: Images) -> Images:
    offsets = torch.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1, dtype=images.dtype, device=images.device)
    window = torch.exp(-offsets.square() / (2 * WINDOW_SIGMA**2))
    rows = (window / window.sum()).view(1, 1, -1, 1).expand(3, 1, -1, 1)
    blurred = F.conv2d(images, rows, padding=(WINDOW_RADIUS, 0), groups=3)
    return F.conv2d(blurred, rows.mT, padding=(0, WINDOW_RADIUS), groups=3)
