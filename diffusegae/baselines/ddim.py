"""DDIM (Song et al., ICLR 2021): a diffusion model without condition, whose code is the whole of x_T.

The UNet is ours without a canvas, and its z is one learned vector for all pictures. A network of x_t, t and a constant
is a network of x_t and t: it is unconditional, and no block needs another form for it.
"""

from collections.abc import Mapping, Sequence
from typing import NoReturn

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from diffusegae.baselines.baseline import Baseline, Goal, Samples, Terms
from diffusegae.config.model import SamplingConfig
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.diffusion import samplers
from diffusegae.diffusion.process import Denoise, from_prediction, noise_for_seeds, slerp
from diffusegae.diffusion.schedule import schedule_of
from diffusegae.editing.method import Codes, Images, UnsupportedError
from diffusegae.losses.simple import NoisyBatch, denoising_loss, draw_noise
from diffusegae.models.unet import Condition, UNet
from diffusegae.schema import AttributeSchema


class SharedLatent(nn.Module):
    """One learned z, the same for every picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.z = nn.Parameter(torch.randn(width))

    def forward(self, count: int) -> Float[Tensor, "count z_sem"]:
        """Return the z once for each of so many pictures."""
        return self.z.expand(count, -1)


class Ddim(Baseline):
    """x_t -> prediction of its noise."""

    def __init__(self, config: PipelineConfig, schema: AttributeSchema) -> None:
        super().__init__(config, schema)
        no_canvas = config.model.unet.model_copy(update={"canvas": False})
        self.unet = UNet(config.model.model_copy(update={"unet": no_canvas}))
        self.shared = SharedLatent(config.model.z_sem_width)
        self.schedule, self.kind = schedule_of(config.diffusion), config.diffusion.prediction

    def goals(self) -> Sequence[Goal]:
        """Return L_simple alone."""
        return [Goal("simple", self.loss, {"unet": self.unet, "shared": self.shared}, draw=self.draw)]

    def draw(self, samples: Samples, generator: torch.Generator) -> NoisyBatch:
        """Draw t and eps of each image."""
        return draw_noise(samples.images.flatten(0, 1), self.schedule, self.kind, generator)

    def loss(self, samples: Samples, draws: NoisyBatch) -> Terms:
        """Return L_simple (Eq. 1 without z)."""
        x_0 = samples.images.flatten(0, 1)
        return denoising_loss(self.unet, x_0, draws, self.shared(len(x_0)), 0.0)

    def condition(self, count: int) -> Condition:
        """Return what the network reads in place of a picture's z."""
        return self.unet.condition(self.shared(count))

    def predict(
        self, x_t: Float[Tensor, "batch 3 height width"], t: Num[Tensor, " batch"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the UNet's prediction (eps or v, by the diffusion config)."""
        return self.unet.denoise(x_t, t, self.condition(len(x_t)))

    def denoiser(self) -> Denoise:
        """Return the predictor of eps."""
        return from_prediction(self.predict, self.schedule, self.kind)

    def method(self, device: torch.device | str = "cpu") -> "DdimMethod":
        """Return the method that brings pictures back with these weights; it edits nothing."""
        self.to(device).eval()
        return DdimMethod(self.denoiser(), self.config, self.schema, device)


class DdimMethod:
    """Brings pictures back from x_T, and blends whole pictures; satisfies `Method`."""

    def __init__(
        self,
        denoise: Denoise,
        config: PipelineConfig,
        schema: AttributeSchema,
        device: torch.device | str = "cpu",
        sampling: SamplingConfig | None = None,
    ) -> None:
        self.denoise, self.config, self.schema = denoise, config, schema
        self.device, self.sampling = torch.device(device), sampling or config.sampling
        self.schedule = schedule_of(config.diffusion)

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return self.config.model.image_size

    @property
    def parts(self) -> tuple[slice, ...] | None:
        """None: x_T has no parts that belong to attributes."""
        return None

    def with_sampling(self, sampling: SamplingConfig) -> "DdimMethod":
        """Return the method of the same network that samples otherwise."""
        return DdimMethod(self.denoise, self.config, self.schema, self.device, sampling)

    @torch.inference_mode()
    def encode(self, images: Images) -> Codes:
        """Return the inferred x_T (Eq. 7), flattened; as wide as a picture."""
        return samplers.invert(self.denoise, images.to(self.device), self.schedule, self.sampling).flatten(1)

    @torch.inference_mode()
    def decode(self, codes: Codes, seeds: Sequence[int]) -> Images:
        """Return images of codes, which leave nothing open for the seeds."""
        x_T = codes.to(self.device).unflatten(1, self._shape)
        return samplers.sample(self.denoise, x_T, self.schedule, self.sampling)

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        """Return the images as they come back from inferred x_T.

        With seeds x_T is random, and since nothing else tells pictures apart these are other pictures.
        """
        if seeds is None:
            return self.decode(self.encode(images), range(len(images)))
        return self.decode(noise_for_seeds(seeds, self._shape, self.device).flatten(1), seeds)

    def edit(self, source: Images, donors: Mapping[str, Images]) -> Images:
        """Raise UnsupportedError: the model knows no attributes."""
        self._refuse("edit attributes")

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        """Raise UnsupportedError: the model knows no attributes."""
        self._refuse("recombine attributes")

    def interpolate(self, source: Images, target: Images, names: Sequence[str], frames: int) -> list[Images]:
        """Return `frames` images from source to target by Slerp of x_T; UnsupportedError unless all is named."""
        if set(names) != set(self.schema.names):
            self._refuse(f"interpolate {', '.join(names)} by itself")
        start, end = self.encode(source), self.encode(target)
        alphas = torch.linspace(0, 1, frames).tolist()
        return [self.decode(slerp(start, end, alpha), range(len(source))) for alpha in alphas]

    @property
    def _shape(self) -> tuple[int, int, int]:
        return 3, self.image_size, self.image_size

    def _refuse(self, what: str) -> NoReturn:
        raise UnsupportedError(
            f"DDIM cannot {what}: its code is x_T alone. Reconstruct with it, interpolate all of"
            f" {', '.join(self.schema.names)}, or take another method"
        )
