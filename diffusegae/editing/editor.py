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
from diffusegae.editing import recipes
from diffusegae.editing.cudnn import NO_TF32
from diffusegae.editing.method import Codes, Images
from diffusegae.editing.network import Network, suited_to
from diffusegae.editing.recipes import Change, Encode, Generate, InferNoise, Need, Noise, Recipe
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
        """Do now what the first requests would wait for: record the network's calls, choose the encoder's kernels."""
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

    def noise(self, seeds: Sequence[int]) -> Noise:
        """Return x_T ~ N(0, I), one per seed."""
        return noise_for_seeds(seeds, (3, self.image_size, self.image_size), self.device)

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        """Return the images as the model brings them back: from inferred x_T, or from the noise of seeds if given."""
        return self.follow(recipes.reconstruction(images, self._noise_or_none(seeds)))

    def edit(self, source: Images, donors: Mapping[str, Images], seeds: Sequence[int] | None = None) -> Images:
        """Return the source with each named attribute taken from its donor (replacement, Fig. 6).

        x_T is inferred from the source, or drawn from seeds if given.
        """
        changes = {name: Change(donor) for name, donor in donors.items()}
        return self.follow(recipes.edit(self.schema, source, changes, self._noise_or_none(seeds)))

    def edit_each(self, source: Images, changes: Sequence[Mapping[str, Images]]) -> list[Images]:
        """Return the source after each change, a donor by attribute (none: unedited); x_T is inferred once."""
        x_T = self.follow(recipes.noise_of(source))
        edits = [{name: Change(donor) for name, donor in change.items()} for change in changes]
        return [self.follow(recipes.edit(self.schema, source, edit, x_T)) for edit in edits]

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        """Return images whose every attribute comes from its own donor, from the noise of seeds (Fig. 7)."""
        return self.follow(recipes.recombination(self.schema, donors, self.noise(seeds)))

    def interpolate(self, source: Images, target: Images, names: Sequence[str], frames: int) -> list[Images]:
        """Return `frames` images from source to target: Lerp of the named parts, Slerp of x_T (section 4.4)."""
        images = self.follow(recipes.interpolation(self.schema, source, target, names, frames))
        return list(images.split(len(source)))

    @torch.inference_mode()
    def follow(self, recipe: Recipe) -> Tensor:
        """Do what a recipe asks for, one need after another, and return what it returns."""
        try:
            need = next(recipe)
            while True:
                need = recipe.send(self._satisfy(need))
        except StopIteration as end:
            result: Tensor = end.value
            return result

    def _satisfy(self, need: Need) -> Tensor:
        match need:
            case Encode():
                return self.encode(need.images)
            case InferNoise():
                return self.infer_noise(need.images, need.codes)
            case Generate():
                return self.generate(need.codes, need.x_T)

    def _noise_or_none(self, seeds: Sequence[int] | None) -> Noise | None:
        return None if seeds is None else self.noise(seeds)
