"""Perceptual path length: how far the picture moves along a straight path between two codes (Eq. 13, Fig. 10).

PPL is the mean of d(G(Lerp(z_1, z_2; a)), G(Lerp(z_1, z_2; a + epsilon))) / epsilon^2 over pairs of images and
a ~ U(0, 1) (StyleGAN, arXiv 1812.04948, section 4.1), with d the LPIPS distance on VGG16. Where paper and authors' code
differ or cannot be meant, this is what is done (facts, 7 and 8.22):

- The path is Lerp, as in section 4.4 and the code, not Eq. 13's Slerp.
- z is the code that each method interpolates: z_dis for DiffuseGAE, z_sem for Diff-AE. A path runs from one image's
  code to the other's in unit time, so that the scale and width of a code do not enter.
- Both ends of a step share x_T ~ N(0, I). With noise of its own for each, two unrelated pictures are divided by 1e-8.
- Of each T's distances those under the 1st and over the 99th percentile are dropped, StyleGAN's rule: of 1,000 pairs
  9 at either end, of 100 or fewer none.

Pair k's place on its path and its x_T depend on (seed, k) alone: methods and T measured with one seed differ in nothing
else, so that their lengths may be compared pair by pair.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from diffusegae.diffusion.process import noise_for_seeds
from diffusegae.metrics.distances import Images
from diffusegae.metrics.edits import Perceptual
from diffusegae.metrics.quantity import Quantity

QUANTITIES = (Quantity("ppl", "perceptual path length", "lower", "length"),)
# The authors' and StyleGAN's. Float32 bears it where paths change pictures: in a trained 32-pixel model such a step
# moves pixels by 6e-5, rounding moves it by 2e-7 (T = 20 and 500), and each pair's length is within 0.2 % of its value
# in float64 (T = 20 and 100). TF32, autocast and 8-bit pictures would measure their own rounding.
EPSILON = 1e-4
TRIM_PERCENT = 1.0


Codes = Float[Tensor, "pairs code"]


@runtime_checkable  # for the run-time shape checks of the tests
class PathGenerator(Protocol):
    """What turns codes into pictures: ours, a baseline, or a closed form."""

    @property
    def image_size(self) -> int:
        """Side of its images in pixels."""
        ...

    def generate(self, codes: Codes, x_T: Images, steps: int) -> Images:
        """Return images in [-1, 1] of codes from given noise, as floats; neither argument is changed."""
        ...


@dataclass(frozen=True)
class PathSettings:
    """What decides a measurement besides its codes: `seed` >= 0, and `epsilon` > 0 as a share of the path."""

    seed: int
    batch_size: int = 64  # pairs that pass the networks at a time; decides nothing
    epsilon: float = EPSILON
    first: int = 0  # the number of the first pair, where a piece of them is measured


def draw_pairs(num_images: int, num_pairs: int, seed: int) -> Int64[np.ndarray, "num_pairs 2"]:
    """Draw pairs of different rows, with replacement; fewer pairs of the same seed are the first ones.

    Raises:
        ValueError: there are fewer than two images.
    """
    if num_images < 2:
        raise ValueError(f"{num_images} image(s) make no pair; a path needs at least 2. Encode more images")
    generator = np.random.default_rng([seed, 0])
    first, ahead = generator.integers([0, 1], num_images, size=(num_pairs, 2)).T
    return np.stack([first, (first + ahead) % num_images], axis=1)


def draw_places(num_pairs: int, seed: int) -> Float64[np.ndarray, " num_pairs"]:
    """Draw where on its path each pair is measured, from U(0, 1); StyleGAN's "full" sampling."""
    return np.random.default_rng([seed, 1]).random(num_pairs)


@torch.inference_mode()
def measure_lengths(
    generator: PathGenerator, starts: Codes, ends: Codes, perceptual: Perceptual, settings: PathSettings, steps: int
) -> Float64[np.ndarray, " pairs"]:
    """Return each pair's distance over epsilon^2 at one T, none dropped.

    Whoever calls it on a GPU holds cuDNN without TF32, which is on by default and keeps 10 bits (`editing.cudnn`).
    """
    first, stop = settings.first, settings.first + len(starts)
    places = torch.from_numpy(draw_places(stop, settings.seed)[first:]).to(starts.device)
    # The seed of each pair's x_T is below 2^32: torch's CPU generator ignores all higher bits.
    noise_seeds = torch.from_numpy(np.random.default_rng([settings.seed, 2]).integers(2**32, size=stop)[first:])
    shape, distances = (3, generator.image_size, generator.image_size), []
    for rows in torch.arange(len(starts)).split(settings.batch_size):
        x_T = noise_for_seeds(noise_seeds[rows].tolist(), shape, starts.device)
        # In float64 until the end, so that each is rounded once; batches of one shape, so that both are rounded alike.
        way = ends[rows].double() - starts[rows].double()
        at = starts[rows].double() + places[rows, None] * way
        step = (at.to(starts.dtype), (at + settings.epsilon * way).to(starts.dtype))
        here, further = (generator.generate(codes, x_T, steps) for codes in step)
        distances.append(perceptual(here, further).double().cpu())
    return torch.cat(distances).numpy() / settings.epsilon**2


def trim(lengths: Float64[np.ndarray, " pairs"]) -> Float64[np.ndarray, " pairs"]:
    """Return lengths with the outermost percent at either end as NaN, so that their mean is the trimmed one."""
    low = np.percentile(lengths, TRIM_PERCENT, method="lower")
    high = np.percentile(lengths, 100 - TRIM_PERCENT, method="higher")
    return np.where((low <= lengths) & (lengths <= high), lengths, np.nan)
