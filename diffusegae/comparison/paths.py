"""The smoothness of a method's paths (Fig. 10), with the length of every pair kept so that methods can be paired."""

import logging
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from diffusegae.editing.method import Codes, Images
from diffusegae.images import to_tensor
from diffusegae.metrics.batched import Progress
from diffusegae.metrics.features import LpipsDistance, PerceptualWeightsMissing
from diffusegae.metrics.judging import Judging
from diffusegae.metrics.smoothness import (
    PathGenerator,
    PathSettings,
    Smoothness,
    draw_pairs,
    measure_lengths,
    summarise,
)

logger = logging.getLogger(__name__)

Lengths = Float64[np.ndarray, " pairs"]


@runtime_checkable
class CodePath(PathGenerator, Protocol):
    """A path's generator that also gives the codes at its ends, as `smoothness.DdimPath`."""

    def encode(self, images: Images) -> Codes:
        """Return the codes between which paths run."""


@dataclass(frozen=True)
class CountedPath:
    """A path's generator whose steps count as progress."""

    path: CodePath
    progress: Progress
    is_sampled: bool

    @property
    def image_size(self) -> int:
        """Side of its images in pixels."""
        return self.path.image_size

    def generate(self, codes: Codes, x_T: Images, steps: int) -> Images:
        """Return images of codes from given noise."""
        images = self.path.generate(codes, x_T, steps)
        self.progress.advance(len(images) * (steps if self.is_sampled else 1), f"paths at T = {steps}")
        return images


def path_work(judging: Judging, is_sampled: bool) -> int:
    """Count the denoising steps, images times steps, that the paths take."""
    compare = judging.config.compare
    return 2 * sum(compare.pairs_at(T) * (T if is_sampled else 1) for T in compare.path_steps)


def measure_paths(
    path: CodePath, judging: Judging, progress: Progress, is_sampled: bool
) -> tuple[dict[str, float], dict[str, Lengths]]:
    """Return `ppl/T<steps>` with its standard error and pairs, and each pair's lengths as `ppl_T<steps>`.

    Nothing where the weights of VGG16 are not installed, which is logged.
    """
    try:
        network = LpipsDistance.from_package("vgg16")
    except PerceptualWeightsMissing as missing:
        logger.warning("compare: PPL not measured: %s", missing)
        return {}, {}

    def distance(here: Tensor, further: Tensor) -> Tensor:
        return network.to(here.device)(here, further)  # type: ignore[no-any-return]

    compare, config = judging.config.compare, judging.config
    pairs = draw_pairs(len(judging.test.images), max(map(compare.pairs_at, compare.path_steps)), config.seed)
    rows, places = np.unique(pairs, return_inverse=True)
    pixels, size = judging.test.images[rows], config.evaluate.batch_size
    pieces = [path.encode(to_tensor(pixels[start : start + size])) for start in range(0, len(rows), size)]
    starts, ends = torch.cat(pieces)[torch.from_numpy(places.reshape(-1, 2))].unbind(dim=1)
    counted = CountedPath(path, progress, is_sampled)
    settings = PathSettings(config.seed, size)
    lengths = {}
    for T in compare.path_steps:
        first = slice(compare.pairs_at(T))
        lengths[T] = measure_lengths(counted, starts[first], ends[first], distance, settings, T)
    metrics = Smoothness({T: summarise(each) for T, each in lengths.items()}).as_metrics()
    return metrics, {f"ppl_T{T}": each for T, each in lengths.items()}
