"""The editor: a trained DiffuseGAE that turns images into edited images (paper, sections 4.2 to 4.4).

Every result depends on its own image, donors and seed alone, never on the batch it was computed in. x_T is inferred
under the z that also generates: the GAE's reconstruction of the source, which is what the fine-tuned UNet was
trained on.
"""

import copy
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae.config.inference import InferenceConfig
from diffusegae.config.model import SamplingConfig
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.diffusion import samplers
from diffusegae.diffusion.process import Denoise, from_prediction, noise_for_seeds
from diffusegae.diffusion.schedule import schedule_of
from diffusegae.editing.cudnn import NO_TF32
from diffusegae.editing.method import Codes, Images
from diffusegae.editing.network import Network, suited_to
from diffusegae.editing.operations import (
    Edit,
    Encode,
    Generate,
    InferNoise,
    Interpolate,
    Invert,
    ModelCall,
    Noise,
    Operation,
    Recombine,
    Reconstruct,
    Seeds,
)
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.schema import AttributeSchema

logger = logging.getLogger(__name__)
OnImages = Callable[[int, Images], None]


class Editor:
    """Edits pictures with a trained model; satisfies `Method`.

    Codes are computed in float32 on every device; `inference` says how the UNet is called, by default as suits it.
    """

    def __init__(
        self,
        model: DiffuseGAE,
        config: PipelineConfig,
        schema: AttributeSchema,
        device: torch.device | str = "cpu",
        sampling: SamplingConfig | None = None,
        inference: InferenceConfig | None = None,
    ) -> None:
        self.model = model.to(device).eval().requires_grad_(False)
        self.config, self.schema, self.device = config, schema, torch.device(device)
        self.sampling = sampling or config.sampling
        self.schedule = schedule_of(config.diffusion)
        self.network = Network(self.model.unet, inference or suited_to(self.device), self.device)

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return self.config.model.image_size

    @property
    def parts(self) -> tuple[slice, ...]:
        """The attributes' slices of z_dis."""
        return self.schema.slices

    def with_sampling(self, sampling: SamplingConfig) -> "Editor":
        """Return an editor of the same model that samples otherwise."""
        other = copy.copy(self)
        other.sampling = sampling
        return other

    def in_float32(self) -> "Editor":
        """Return an editor of the same model that computes in float32 throughout, one kernel after another."""
        other = copy.copy(self)
        other.network = Network(self.model.unet, InferenceConfig(), self.device)
        return other

    def warm_up(self) -> None:
        """Warm up before the first request: record the network's calls, choose the encoder's kernels."""
        began = time.monotonic()
        self.network.warm_up(self.config.model)
        self.encode(torch.zeros(1, 3, self.image_size, self.image_size))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        logger.info("editor: warm on %s after %.1f s", self.device, time.monotonic() - began)

    @torch.inference_mode()
    def encode(self, images: Images) -> Codes:
        """Return z_dis, [batch, z_dis]."""
        return self.model.disentangle(self.z_sem(images))

    @torch.inference_mode()
    def z_sem(self, images: Images) -> Codes:
        """Return z_sem, [batch, z_sem], on the editor's device."""
        with NO_TF32.held():
            return self.model.encode(images.to(self.device))

    def denoiser(self, z_sem: Float[Tensor, "batch z_sem"]) -> Denoise:
        """Return the predictor of eps at a fixed z_sem."""
        return from_prediction(self.network.predictor(z_sem), self.schedule, self.config.diffusion.prediction)

    def denoiser_of(self, codes: Codes) -> Denoise:
        """Return the predictor of eps at a fixed z_dis, which the GAE decodes."""
        return self.denoiser(self.model.entangle(codes.to(self.device)))

    @torch.inference_mode()
    def infer_noise(self, images: Images, codes: Codes) -> Noise:
        """Return the x_T from which the codes generate these very images (Eq. 7)."""
        return samplers.invert(self.denoiser_of(codes), images.to(self.device), self.schedule, self.sampling)

    @torch.inference_mode()
    def generate(self, codes: Codes, x_T: Noise, on_step: OnImages | None = None) -> Images:
        """Return images of codes from given noise; `on_step` sees each step's estimate of x_0."""
        return samplers.sample(self.denoiser_of(codes), x_T, self.schedule, self.sampling, on_step)

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Images:
        """Return images of codes from the noise of each image's seed."""
        return self.generate(codes, self.noise(seeds))

    def noise(self, x_T: Noise | Seeds) -> Noise:
        """Return x_T as it is given, or x_T ~ N(0, I), one per seed."""
        return (
            x_T if isinstance(x_T, Tensor) else noise_for_seeds(x_T, (3, self.image_size, self.image_size), self.device)
        )

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        """Return the model's reconstructions: from inferred x_T, or from the noise of seeds if given."""
        return self.perform(Reconstruct(images, seeds))

    def edit(self, source: Images, donors: Mapping[str, Images], seeds: Sequence[int] | None = None) -> Images:
        """Return the source with each named attribute taken from its donor (replacement, Fig. 6).

        x_T is inferred from the source, or drawn from seeds if given.
        """
        return self.perform(Edit(source, donors, x_T=seeds))

    def edit_each(self, source: Images, changes: Sequence[Mapping[str, Images]]) -> list[Images]:
        """Return the source after each change, a donor by attribute (none: unedited); x_T is inferred once."""
        x_T = self.perform(Invert(source))
        return [self.perform(Edit(source, donors, x_T=x_T)) for donors in changes]

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        """Return images whose every attribute comes from its own donor, from the noise of seeds (Fig. 7)."""
        return self.perform(Recombine(donors, seeds))

    def interpolate(self, source: Images, target: Images, names: Sequence[str], frames: int) -> list[Images]:
        """Return `frames` images from source to target: Lerp of the named parts, Slerp of x_T (section 4.4)."""
        return list(self.perform(Interpolate(source, target, names, frames)).split(len(source)))

    @torch.inference_mode()
    def perform(self, operation: Operation) -> Tensor:
        """Answer the model calls of an operation, one after another, and return its result."""
        calls = operation.calls(self.schema)
        try:
            call = next(calls)
            while True:
                call = calls.send(self._answer(call))
        except StopIteration as end:
            result: Tensor = end.value
            return result

    def _answer(self, call: ModelCall) -> Tensor:
        match call:
            case Encode():
                return self.encode(call.images)
            case InferNoise():
                return self.infer_noise(call.images, call.codes)
            case Generate():
                return self.generate(call.codes, self.noise(call.x_T))
