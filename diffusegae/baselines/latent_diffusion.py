"""The method of diffusion auto-encoders with an undivided code: Diff-AE and PDAE.

A picture is z_sem and the x_T that is inferred under it. Whole pictures are blended by Lerp of z_sem and Slerp of x_T;
single attributes change along directions that are fitted to labelled codes (directions.py), without which there is no
way to change them.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from diffusegae.baselines.directions import Directions
from diffusegae.config.model import SamplingConfig
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.diffusion import samplers
from diffusegae.diffusion.process import Denoise, noise_for_seeds
from diffusegae.diffusion.schedule import schedule_of
from diffusegae.editing.method import Codes, Images, UnsupportedError
from diffusegae.editing.operations import slerp
from diffusegae.editing.recipes import Noise
from diffusegae.schema import AttributeSchema


class LatentDiffusionMethod:
    """Edits pictures by their z_sem and x_T; satisfies `Method`."""

    def __init__(
        self,
        encoder: Callable[[Images], Codes],
        denoiser: Callable[[Codes], Denoise],
        config: PipelineConfig,
        schema: AttributeSchema,
        device: torch.device | str = "cpu",
        sampling: SamplingConfig | None = None,
        directions: Directions | None = None,
    ) -> None:
        self.encoder, self.denoiser = encoder, denoiser
        self.config, self.schema, self.device = config, schema, torch.device(device)
        self.sampling, self.directions = sampling or config.sampling, directions
        self.schedule = schedule_of(config.diffusion)

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return self.config.model.image_size

    @property
    def parts(self) -> tuple[slice, ...] | None:
        """None: z_sem is undivided."""
        return None

    def with_sampling(self, sampling: SamplingConfig) -> "LatentDiffusionMethod":
        """Return the method of the same networks and directions that samples otherwise."""
        return LatentDiffusionMethod(
            self.encoder, self.denoiser, self.config, self.schema, self.device, sampling, self.directions
        )

    def fit_directions(
        self, codes: Codes, labels: Int[Tensor, "batch attributes"], length: float | None = None
    ) -> None:
        """Learn from labelled codes how single attributes change.

        A step is length * sqrt(width) long in z-scored codes, and goes as far as the donor lies without a length.
        """
        self.directions = Directions.fit(codes.to(self.device), labels, self.schema.cardinalities, length)

    @torch.inference_mode()
    def encode(self, images: Images) -> Codes:
        """Return z_sem, [batch, z_sem]."""
        return self.encoder(images.to(self.device))

    @torch.inference_mode()
    def infer_noise(self, images: Images, codes: Codes) -> Noise:
        """Return the x_T from which the codes generate these very images (Eq. 7)."""
        denoise = self.denoiser(codes.to(self.device))
        return samplers.invert(denoise, images.to(self.device), self.schedule, self.sampling)

    @torch.inference_mode()
    def generate(self, codes: Codes, x_T: Noise) -> Images:
        """Return images of codes from given noise."""
        return samplers.sample(self.denoiser(codes.to(self.device)), x_T, self.schedule, self.sampling)

    def noise(self, seeds: Sequence[int]) -> Noise:
        """Return x_T ~ N(0, I), one per seed."""
        return noise_for_seeds(seeds, (3, self.image_size, self.image_size), self.device)

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Images:
        """Return images of codes from the noise of each image's seed."""
        return self.generate(codes, self.noise(seeds))

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        """Return the images as they come back: from inferred x_T, or from the noise of seeds if given."""
        codes = self.encode(images)
        return self.generate(codes, self.infer_noise(images, codes) if seeds is None else self.noise(seeds))

    def edit(self, source: Images, donors: Mapping[str, Images]) -> Images:
        """Return the source moved to its donors' values, from the x_T inferred under its own z_sem (facts §8.23)."""
        codes = self.encode(source)
        return self.generate(self._move(codes, donors), self.infer_noise(source, codes))

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        """Return the first attribute's donor moved to the values of the others', from the noise of seeds."""
        first, *others = self.schema.names
        codes = self._move(self.encode(donors[first]), {name: donors[name] for name in others})
        return self.decode(codes, seeds)

    def interpolate(self, source: Images, target: Images, names: Sequence[str], frames: int) -> list[Images]:
        """Return `frames` images from source to target.

        All attributes: Lerp of z_sem, Slerp of x_T. Some: Lerp to the edited code, x_T stays the source's.
        """
        start = self.encode(source)
        first = self.infer_noise(source, start)
        if set(names) == set(self.schema.names):
            end = self.encode(target)
            last = self.infer_noise(target, end)
        else:
            end, last = self._move(start, dict.fromkeys(names, target)), None
        return [
            self.generate(torch.lerp(start, end, alpha), first if last is None else slerp(first, last, alpha))
            for alpha in torch.linspace(0, 1, frames).tolist()
        ]

    @torch.inference_mode()
    def _move(self, codes: Codes, donors: Mapping[str, Images]) -> Codes:
        if self.directions is None:
            raise UnsupportedError(
                f"an undivided code says nothing of {', '.join(donors) or 'attributes'} by itself; call"
                " fit_directions(codes, labels) with the training images' first"
            )
        for name, images in donors.items():
            codes = self.directions.move(codes, self.encode(images), self.schema.names.index(name))
        return codes
