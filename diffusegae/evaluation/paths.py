"""The smoothness of a method's paths (Fig. 10): the length of every pair, so that methods can be held pair by pair.

Paths run between held-out images of seen pairs; pair k, its place and its x_T are the same for every method and T.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from diffusegae.baselines.latent_diffusion import LatentDiffusionMethod
from diffusegae.diffusion.process import Denoise
from diffusegae.diffusion.samplers import SAMPLERS
from diffusegae.diffusion.schedule import Schedule
from diffusegae.editing.editor import Editor
from diffusegae.editing.method import Codes, Images, UnsupportedError
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.measured import Items, Measured
from diffusegae.metrics.smoothness import PathSettings, draw_pairs, measure_lengths


@dataclass(frozen=True)
class DdimPath:
    """Paths through a code, sampled by DDIM: of T steps in the place of a method's own sampler and steps."""

    image_size: int
    encode: Callable[[Images], Codes]
    denoiser: Callable[[Codes], Denoise]
    schedule: Schedule
    clip: bool

    @classmethod
    def of(cls, method: Editor | LatentDiffusionMethod) -> "DdimPath":
        """Return the paths of DiffuseGAE through z_dis, which the GAE decodes, or of another method through z_sem."""
        denoiser = method.denoiser if isinstance(method, LatentDiffusionMethod) else method.in_float32().denoiser_of
        return cls(method.image_size, method.encode, denoiser, method.schedule, method.sampling.clip)

    @torch.inference_mode()
    def generate(self, codes: Codes, x_T: Images, steps: int) -> Images:
        """Return images in [-1, 1] of codes from given noise; ValueError for steps without an integer stride."""
        return SAMPLERS["ddim"].sample(self.denoiser(codes), x_T, self.schedule, steps, self.clip).clamp(-1, 1)


def measure_lengths_of(bench: Bench, rows: slice, steps: int) -> Measured:
    """Return the length of each of the pairs at T = `steps`; PerceptualWeightsMissing without VGG16's."""
    method, context = bench.full.method, bench.context
    if not isinstance(method, Editor | LatentDiffusionMethod):
        raise UnsupportedError(f"pictures of {type(method).__name__} are not sampled from codes")
    path = DdimPath.of(method)
    evaluate = context.config.evaluate
    seen = context.plan.seen
    pairs = seen[draw_pairs(len(seen), rows.stop, evaluate.seed)[rows]]
    images = context.images(pairs.ravel())
    codes = torch.cat([path.encode(batch) for batch in images.split(evaluate.batch_size)])
    starts, ends = codes.unflatten(0, pairs.shape).unbind(dim=1)
    settings = PathSettings(evaluate.seed, evaluate.batch_size, first=rows.start)
    lengths = measure_lengths(path, starts, ends, context.path_distance, settings, steps)
    units = np.arange(rows.start, rows.stop)
    return Measured({"path": Items(np.zeros(len(units), np.int8), units, {f"ppl/T{steps}": lengths})})
