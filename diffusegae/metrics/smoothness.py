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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from diffusegae.diffusion import ddim
from diffusegae.diffusion.process import noise_for_seeds
from diffusegae.editing.cudnn import NO_TF32
from diffusegae.editing.editor import Editor
from diffusegae.editing.method import Codes, Images
from diffusegae.metrics.counterfactual import Perceptual

PAPER_STEPS = (20, 50, 100, 500)
PAPER_PAIRS = 1000
# The authors' and StyleGAN's. Float32 bears it where paths change pictures: in a trained 32-pixel model such a step
# moves pixels by 6e-5, rounding moves it by 2e-7 (T = 20 and 500), and each pair's length is within 0.2 % of its value
# in float64 (T = 20 and 100). TF32, autocast and 8-bit pictures would measure their own rounding.
EPSILON = 1e-4
TRIM_PERCENT = 1.0


class TooFewPairsError(ValueError):
    """Too few images or pairs for a path length with its standard error."""


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
class DdimPath:
    """An editor's model, sampled by DDIM, on paths through one of its two codes.

    `z_dis` is DiffuseGAE: the GAE decodes the z_sem that conditions the UNet. `z_sem` conditions the UNet itself, which
    on the weights of stage 1 is Diff-AE. DDIM and T replace the editor's own sampler and steps; its clipping stays.
    """

    editor: Editor
    code: Literal["z_dis", "z_sem"] = "z_dis"

    @property
    def image_size(self) -> int:
        """Side of its images in pixels."""
        return self.editor.image_size

    @torch.inference_mode()
    def encode(self, images: Images) -> Codes:
        """Return the codes between which paths run."""
        z_sem = self.editor.z_sem(images)
        return self.editor.model.disentangle(z_sem) if self.code == "z_dis" else z_sem

    @torch.inference_mode()
    def generate(self, codes: Codes, x_T: Images, steps: int) -> Images:
        """Return images in [-1, 1], on the editor's device; raises ValueError for steps without an integer stride."""
        editor = self.editor.in_float32()
        codes, x_T = codes.to(editor.device), x_T.to(editor.device)
        z_sem = editor.model.entangle(codes) if self.code == "z_dis" else codes
        return ddim.sample(editor.denoiser(z_sem), x_T, editor.schedule, steps, clip=editor.sampling.clip).clamp(-1, 1)


@dataclass(frozen=True)
class PathSettings:
    """What decides a measurement besides its codes: `seed` >= 0, and `epsilon` > 0 as a share of the path."""

    seed: int
    batch_size: int = 64  # pairs that pass the networks at a time; decides nothing
    epsilon: float = EPSILON


@dataclass(frozen=True)
class PathLength:
    """The mean of the kept pairs and its standard error; lower is smoother."""

    mean: float
    standard_error: float
    num_pairs: int
    num_dropped: int


@dataclass(frozen=True)
class Smoothness:
    """Perceptual path length by T, the number of sampling steps."""

    by_steps: Mapping[int, PathLength]

    def as_metrics(self) -> dict[str, float]:
        """Return `ppl/T<steps>`, `ppl/T<steps>_standard_error` and `ppl/T<steps>_pairs`."""
        metrics = {f"ppl/T{steps}": length.mean for steps, length in self.by_steps.items()}
        errors = {f"ppl/T{steps}_standard_error": length.standard_error for steps, length in self.by_steps.items()}
        pairs = {f"ppl/T{steps}_pairs": float(length.num_pairs) for steps, length in self.by_steps.items()}
        return metrics | errors | pairs


def draw_pairs(num_images: int, num_pairs: int, seed: int) -> Int64[np.ndarray, "num_pairs 2"]:
    """Draw pairs of different rows, with replacement; fewer pairs of the same seed are the first ones.

    Raises:
        TooFewPairsError: there are fewer than two images.
    """
    if num_images < 2:
        raise TooFewPairsError(f"{num_images} image(s) make no pair; a path needs at least 2. Encode more images")
    generator = np.random.default_rng([seed, 0])
    first, ahead = generator.integers([0, 1], num_images, size=(num_pairs, 2)).T
    return np.stack([first, (first + ahead) % num_images], axis=1)


def draw_places(num_pairs: int, seed: int) -> Float64[np.ndarray, " num_pairs"]:
    """Draw where on its path each pair is measured, from U(0, 1); StyleGAN's "full" sampling."""
    return np.random.default_rng([seed, 1]).random(num_pairs)


def draw_noise_seeds(num_pairs: int, seed: int) -> list[int]:
    """Draw the seed of each pair's x_T, below 2^32: torch's CPU generator ignores all higher bits."""
    seeds: list[int] = np.random.default_rng([seed, 2]).integers(2**32, size=num_pairs).tolist()
    return seeds


def measure_smoothness(
    generator: PathGenerator,
    starts: Float[Tensor, "pairs code"],
    ends: Float[Tensor, "pairs code"],
    perceptual: Perceptual,
    settings: PathSettings,
    steps: Sequence[int] = PAPER_STEPS,
) -> Smoothness:
    """Measure PPL between row k of `starts` and of `ends` at each T; takes 2 pairs sum(steps) denoising steps.

    `perceptual` gets pictures on the device where the generator leaves them; the paper's is LPIPS on VGG16.

    Raises:
        TooFewPairsError: there are fewer than two pairs.
    """
    if len(starts) < 2:
        raise TooFewPairsError(
            f"{len(starts)} pair(s) have no standard error; PPL needs at least 2, the paper takes {PAPER_PAIRS:,}"
        )
    lengths = {T: measure_lengths(generator, starts, ends, perceptual, settings, T) for T in steps}
    return Smoothness({T: summarise(each) for T, each in lengths.items()})


@torch.inference_mode()
def measure_lengths(
    generator: PathGenerator,
    starts: Float[Tensor, "pairs code"],
    ends: Float[Tensor, "pairs code"],
    perceptual: Perceptual,
    settings: PathSettings,
    steps: int,
) -> Float64[np.ndarray, " pairs"]:
    """Return each pair's distance over epsilon^2 at one T, none dropped."""
    places = torch.from_numpy(draw_places(len(starts), settings.seed)).to(starts.device)
    noise_seeds = draw_noise_seeds(len(starts), settings.seed)
    shape, distances = (3, generator.image_size, generator.image_size), []
    for rows in torch.arange(len(starts)).split(settings.batch_size):
        x_T = noise_for_seeds([noise_seeds[row] for row in rows.tolist()], shape, starts.device)
        ends_of_step = _step(starts[rows], ends[rows], places[rows], settings.epsilon)
        # TF32, the default on GPUs, keeps 10 bits. The batches have one shape, so that both ends are rounded alike.
        with NO_TF32.held():
            here, further = (generator.generate(codes, x_T, steps) for codes in ends_of_step)
            distances.append(perceptual(here, further).double().cpu())
    return torch.cat(distances).numpy() / settings.epsilon**2


def summarise(lengths: Float64[np.ndarray, " pairs"]) -> PathLength:
    """Return the mean of two or more lengths without the outermost percent at either end, and its standard error.

    That is Tukey and McLaughlin's (1963) for a trimmed mean: the deviation with dropped values moved to the nearest
    kept ones, over the kept share and the root of all pairs. The deviation of the kept ones alone would understate it.
    """
    count = len(lengths)
    low = np.percentile(lengths, TRIM_PERCENT, method="lower")
    high = np.percentile(lengths, 100 - TRIM_PERCENT, method="higher")
    kept = lengths[(low <= lengths) & (lengths <= high)]
    deviation = float(lengths.clip(low, high).std(ddof=1))
    return PathLength(
        mean=float(kept.mean()),
        standard_error=deviation * count**0.5 / len(kept),
        num_pairs=count,
        num_dropped=count - len(kept),
    )


def _step(
    starts: Float[Tensor, "batch code"],
    ends: Float[Tensor, "batch code"],
    places: Float64[Tensor, " batch"],
    epsilon: float,
) -> tuple[Float[Tensor, "batch code"], Float[Tensor, "batch code"]]:
    """Return the codes at both ends of the step; in float64 until the end, so that it is rounded once."""
    way = ends.double() - starts.double()
    here = starts.double() + places[:, None] * way
    return here.to(starts.dtype), (here + epsilon * way).to(starts.dtype)
