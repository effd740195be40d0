"""Diff-AE (Preechakul et al., CVPR 2022): a half-UNet encoder and a UNet whose AdaGN z scales only, facts §2.

All else is as the config gives it to ours (positions, canvas, gain, prediction), so that what is compared are the
methods and not their tricks. It edits by the best of several ways (ways.py).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae.baselines.baseline import Baseline, Goal, Samples, Terms
from diffusegae.baselines.latent_diffusion import LatentDiffusionMethod
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.diffusion.process import Denoise, from_prediction
from diffusegae.diffusion.schedule import schedule_of
from diffusegae.losses.simple import NoisyBatch, denoising_loss, draw_noise
from diffusegae.models.half_unet import HalfUNetEncoder
from diffusegae.models.unet import UNet
from diffusegae.schema import AttributeSchema


class DiffAe(Baseline):
    """x_0 -> z_sem -> prediction of the noise in x_t."""

    def __init__(self, config: PipelineConfig, schema: AttributeSchema) -> None:
        super().__init__(config, schema)
        scales_only = config.model.unet.model_copy(update={"z_shift": False})
        self.encoder = HalfUNetEncoder(config.model)
        self.unet = UNet(config.model.model_copy(update={"unet": scales_only}))
        self.schedule, self.kind = schedule_of(config.diffusion), config.diffusion.prediction

    def goals(self) -> Sequence[Goal]:
        """Return L_simple alone."""
        return [Goal("simple", self.loss, {"encoder": self.encoder, "unet": self.unet}, draw=self.draw)]

    def draw(self, samples: Samples, generator: torch.Generator) -> NoisyBatch:
        """Draw t and eps of each image."""
        return draw_noise(samples.images.flatten(0, 1), self.schedule, self.kind, generator)

    def loss(self, samples: Samples, draws: NoisyBatch) -> Terms:
        """Return L_simple of images under the condition of their own z_sem (Eq. 1), and the canvas' part of it."""
        x_0, lambda_canvas = samples.images.flatten(0, 1), self.config.baselines.diffae.lambda_canvas
        return denoising_loss(self.unet, x_0, draws, self.encoder(x_0), lambda_canvas)

    def denoiser(self, z_sem: Float[Tensor, "batch z_sem"]) -> Denoise:
        """Return the predictor of eps at a fixed z_sem."""
        condition = self.unet.condition(z_sem)
        return from_prediction(lambda x_t, t: self.unet.denoise(x_t, t, condition), self.schedule, self.kind)

    def method(self, device: torch.device | str = "cpu") -> LatentDiffusionMethod:
        """Return the method that edits with these weights; single attributes once their ways are fitted."""
        self.to(device).eval()
        return LatentDiffusionMethod(self.encoder, self.denoiser, self.config, self.schema, device)
