"""Stage 1, pre-training: encoder and UNet together, by L_simple alone (paper, section 3.2).

`lambda_canvas` adds the squared distance of the UNet's canvas from the image: the one path from z_sem to pixels that no
noise hides, so that z_sem is learned several times sooner.
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.diffusion import samplers
from diffusegae.diffusion.process import PredictionKind, from_prediction, noise_for_seeds
from diffusegae.diffusion.schedule import Schedule, schedule_of
from diffusegae.images import label_grid, make_grid
from diffusegae.losses.simple import NoisyBatch, denoising_loss, draw_noise, eps_error
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.pixels import to_pixels
from diffusegae.training.stages import Batch, Objective, ObjectiveModule, Stage, StageInputs

PICTURE_COLUMNS, PICTURE_STEPS, MONITOR_IMAGES = 8, 20, 256


class SimpleObjective(ObjectiveModule):
    """L_simple of images under the condition of their own z_sem (Eq. 1)."""

    def __init__(self, model: DiffuseGAE, schedule: Schedule, kind: PredictionKind, lambda_canvas: float) -> None:
        super().__init__()
        self.encoder, self.unet = model.encoder, model.unet
        self.schedule, self.kind, self.lambda_canvas = schedule, kind, lambda_canvas

    def draw(self, batch: Batch, generator: torch.Generator) -> NoisyBatch:
        """Draw t and eps of each image."""
        return draw_noise(batch.flatten(0, 1), self.schedule, self.kind, generator)

    def forward(self, batch: Batch, draws: NoisyBatch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return L_simple of a batch of images [samples, 1, 3, h, w]."""
        x_0 = batch.flatten(0, 1)
        return denoising_loss(self.unet, x_0, draws, self.encoder(x_0), self.lambda_canvas)


def shuffle_ratio(
    model: DiffuseGAE, images: Float[Tensor, "batch 3 height width"], config: PipelineConfig, generator: torch.Generator
) -> dict[str, float]:
    """Return how much worse eps is predicted under another image's z_sem: near 1 means that z is ignored.

    Both errors use the same noise; the permutation is a rotation by one, so no image keeps its own z.
    """
    schedule, kind = schedule_of(config.diffusion), config.diffusion.prediction
    noisy = draw_noise(images, schedule, kind, generator)
    z_sem = model.encode(images)
    true, shuffled = (
        float(eps_error(model.predict(noisy.x_t, noisy.t, z), noisy, schedule, kind)) for z in (z_sem, z_sem.roll(1, 0))
    )
    return {"eps_error": true, "z_shuffle_ratio": shuffled / true, "z_std": float(z_sem.std(dim=0).mean())}


def decode_latents(
    model: DiffuseGAE, z_sem: Float[Tensor, "batch z_sem"], config: PipelineConfig, steps: int
) -> Float[Tensor, "batch 3 height width"]:
    """Return images of latents from fixed noise: image i starts from the x_T of seed i."""
    schedule, size = schedule_of(config.diffusion), config.model.image_size
    denoise = from_prediction(model.predictor(z_sem), schedule, config.diffusion.prediction)
    x_T = noise_for_seeds(range(len(z_sem)), (3, size, size), z_sem.device)
    return samplers.sample(denoise, x_T, schedule, config.sampling.model_copy(update={"steps": steps}))


def paint_reconstructions(
    model: DiffuseGAE, batch: Batch, config: PipelineConfig
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw held-out images above what their z_sem alone brings back from the same fixed x_T at every report."""
    images = batch.flatten(0, 1)[:PICTURE_COLUMNS]
    decoded = decode_latents(model, model.encode(images), config, PICTURE_STEPS)
    rows = np.concatenate([to_pixels(images), to_pixels(decoded)])
    grid = make_grid(rows, len(images), scale=max(1, 96 // config.model.image_size))
    return label_grid(grid, [], "image / from z_sem and fixed x_T")


def build_pretrain(inputs: StageInputs) -> Stage[DiffuseGAE]:
    """Return stage 1: encoder and UNet train; the GAE is carried along untouched."""
    config, model = inputs.config, inputs.build_model()
    schedule, kind = schedule_of(config.diffusion), config.diffusion.prediction
    objective = SimpleObjective(model, schedule, kind, config.pretrain.lambda_canvas)

    def monitor(ema: DiffuseGAE, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        return shuffle_ratio(ema, batch.flatten(0, 1)[:MONITOR_IMAGES], config, generator)

    return Stage(
        name="pretrain",
        config=config.pretrain,
        model=model,
        objectives=[Objective("simple", objective, {"encoder": model.encoder, "unet": model.unet})],
        monitor=monitor,
        paint=lambda ema, batch: paint_reconstructions(ema, batch, config),
        frozen=[model.gae],
    )
