"""The true held-out images as the Fréchet distance sees them: generated pictures are held against their Gaussian."""

import logging
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae.editing.method import Images
from diffusegae.metrics.distances import FeatureGaussian, fit_gaussian, frechet_distance
from diffusegae.metrics.features import PerceptualWeightsMissing, VggFeatures
from diffusegae.metrics.judging import Judging
from diffusegae.metrics.plan import Rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrueImages:
    """The Gaussian of VGG16's features over true images. Its distance is `fd_vgg16`; FID is defined on Inception."""

    network: VggFeatures
    gaussian: FeatureGaussian
    batch_size: int

    def features(self, images: Images) -> Float[Tensor, "n dim"]:
        """Return the features of images in [-1, 1]."""
        return torch.cat([self.network(batch) for batch in images.split(self.batch_size)])

    def distance(self, features: Float[Tensor, "n dim"]) -> float:
        """Return the Fréchet distance of generated images, by their features, to the true ones."""
        return max(0.0, frechet_distance(fit_gaussian(features), self.gaussian))  # rounding may fall below zero


def read_true_images(judging: Judging, rows: Rows) -> TrueImages | None:
    """Take the features of true images; None, with a warning, where the weights are not installed."""
    try:
        network = VggFeatures.from_package()
    except PerceptualWeightsMissing as missing:
        logger.warning("compare: %s", missing)
        return None
    size = judging.config.evaluate.batch_size
    pieces = [network(judging.images(rows[start : start + size])) for start in range(0, len(rows), size)]
    return TrueImages(network, fit_gaussian(torch.cat(pieces)), size)
