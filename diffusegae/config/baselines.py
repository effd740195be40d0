"""How each baseline is built and trained. Defaults are the published ones at 128 px (facts, sections 2, 3 and 5)."""

from typing import Literal

from pydantic import Field, model_validator

from diffusegae.config.base import Config
from diffusegae.config.training import GroupStageConfig, PretrainConfig, StageConfig

BaselineName = Literal["diffae", "ddim", "pdae", "gzsnet", "ae_ds", "stargan", "elegant"]


class DiffAeConfig(PretrainConfig):
    """Diff-AE: the same UNet as ours, whose AdaGN scales only, under the z_sem of a half-UNet encoder."""


class DdimConfig(PretrainConfig):
    """DDIM: the UNet without a picture's z. PDAE takes it as its frozen DPM."""


class PdaeConfig(StageConfig):
    """PDAE: an encoder and a gradient estimator on a frozen DPM."""

    num_samples: int = Field(32_000_000, gt=0, description="Images to train on.")
    batch_size: int = Field(128, gt=0, description="Images per optimizer step.")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's rate.")
    encoder_widths: tuple[int, ...] = Field(
        (64, 128, 256, 256, 256), description="Channels after each strided convolution of the encoder."
    )
    lambda_canvas: float = Field(0.0, ge=0, description="Weight of the canvas' distance from the image; not PDAE's.")


class PixelAutoEncoderConfig(StageConfig):
    """The auto-encoder of pixels that GZS-Net and AE+DS share."""

    widths: tuple[int, ...] = Field(
        (64, 128, 256, 256, 256), description="Channels after the first convolution and after each strided one."
    )
    hidden_width: int = Field(4096, gt=0, description="Width of the hidden layer between features and code.")
    num_residuals: int = Field(1, ge=0, description="Residual blocks at the lowest resolution, on each side.")
    quantise_step: float = Field(
        0.0, ge=0, description="Layer-norm each part of the code and round it to multiples of this; 0: as published."
    )
    lambda_agree: float = Field(
        0.0, ge=0, description="Weight of the distance between shared parts over that between others; 0: as published."
    )


class GzsNetConfig(PixelAutoEncoderConfig, GroupStageConfig):
    """GZS-Net: L_dis of GROUPs of images, the code's parts swapped in pixels (Ge et al., ICLR 2021)."""

    num_samples: int = Field(10_000_000, gt=0, description="GROUPs to train on.")
    batch_size: int = Field(48, gt=0, description="GROUPs per optimizer step.")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's rate.")
    lambda_combine: float = Field(1.0, ge=0, description="Weight of the swaps and of the centre from its partners.")
    lambda_unsup: float = Field(0.0, ge=0, description="Weight of the cycle through a random recombination.")


class AeDsConfig(PixelAutoEncoderConfig):
    """AE+DS: GZS-Net's auto-encoder, whose parts are supervised by labels directly."""

    num_samples: int = Field(32_000_000, gt=0, description="Images to train on.")
    batch_size: int = Field(128, gt=0, description="Images per optimizer step.")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's rate.")
    lambda_labels: float = Field(1.0, gt=0, description="Weight of the cross-entropies beside the reconstruction.")


class StarGanConfig(StageConfig):
    """StarGAN with a label map of all attributes' values (Choi et al., CVPR 2018)."""

    num_samples: int = Field(3_200_000, gt=0, description="Images that the critic trains on.")
    batch_size: int = Field(16, gt=0, description="Images per optimizer step.")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's rate.")
    betas: tuple[float, float] = Field((0.5, 0.999), description="Adam's betas.")
    clip_norm: float = Field(1e6, gt=0, description="Largest norm of the gradient; the original does not clip.")
    decay_from: float = Field(0.5, ge=0, le=1, description="Share of the run after which the rate falls to zero.")
    ema_decay: float = Field(0.999, ge=0, lt=1, description="Decay of the weights' moving average.")
    generator_width: int = Field(64, gt=0, description="Channels after the generator's first convolution.")
    num_downsamples: int = Field(2, ge=0, description="Strided convolutions of the generator.")
    num_residuals: int = Field(6, gt=0, description="Residual blocks of the generator.")
    critic_width: int = Field(64, gt=0, description="Channels after the critic's first convolution; then doubling.")
    critic_layers: int = Field(6, gt=0, description="Strided convolutions of the critic.")
    critics_per_generator: int = Field(5, gt=0, description="Steps of the critic for one of the generator.")
    lambda_penalty: float = Field(10.0, ge=0, description="Weight of the gradient penalty.")
    lambda_class: float = Field(1.0, ge=0, description="Weight of the attributes' cross-entropy.")
    lambda_cycle: float = Field(10.0, ge=0, description="Weight of the way back to the source (L1).")

    @model_validator(mode="after")
    def _check_compile(self) -> "StarGanConfig":
        if self.compile:
            raise ValueError(
                "baselines.stargan.compile is true, but torch.compile cannot differentiate the gradient penalty;"
                " leave it false"
            )
        return self


class ElegantConfig(StageConfig):
    """ELEGANT: parts of an encoding exchanged between two pictures, as residuals (Xiao et al., ECCV 2018)."""

    num_samples: int = Field(3_200_000, gt=0, description="Pairs of images to train on.")
    batch_size: int = Field(16, gt=0, description="Pairs per optimizer step.")
    learning_rate: float = Field(2e-4, gt=0, description="Adam's rate.")
    betas: tuple[float, float] = Field((0.5, 0.999), description="Adam's betas.")
    clip_norm: float = Field(1e6, gt=0, description="Largest norm of the gradient; the original does not clip.")
    decay_from: float = Field(0.5, ge=0, le=1, description="Share of the run after which the rate falls to zero.")
    ema_decay: float = Field(0.999, ge=0, lt=1, description="Decay of the weights' moving average.")
    widths: tuple[int, ...] = Field(
        (64, 128, 256, 512, 512), description="Channels after each strided convolution of the encoder."
    )
    critic_widths: tuple[int, ...] = Field(
        (64, 128, 256, 512), description="Channels after each strided convolution of both critics."
    )
    lambda_reconstruction: float = Field(5.0, ge=0, description="Weight of the unswapped reconstruction (MSE).")
    half_weight: float = Field(0.5, ge=0, description="Weight of the critic at half the size beside the full one.")


class BaselinesConfig(Config):
    """All baselines."""

    diffae: DiffAeConfig = DiffAeConfig()
    ddim: DdimConfig = DdimConfig()
    pdae: PdaeConfig = PdaeConfig()
    gzsnet: GzsNetConfig = GzsNetConfig()
    ae_ds: AeDsConfig = AeDsConfig()
    stargan: StarGanConfig = StarGanConfig()
    elegant: ElegantConfig = ElegantConfig()
