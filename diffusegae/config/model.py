"""The sizes of the networks and of the diffusion process."""

from typing import Literal

from pydantic import Field, model_validator

from diffusegae.config.base import Config


class EncoderConfig(Config):
    """Alter-ResNet (Fig. 3): per stage, `blocks` blocks of which the last alternate with `attentions` MSA blocks.

    The half UNet takes its widths, blocks and attention from the UNet, and of these settings `pooling` alone.
    """

    architecture: Literal["alter_resnet", "half_unet"] = Field(
        "alter_resnet", description="Alter-ResNet, or Diff-AE's half UNet of the UNet's own widths."
    )
    stem_width: int = Field(64, description="Channels after the stem convolution.")
    widths: tuple[int, ...] = Field((256, 512, 1024, 2048), description="Output channels of each stage.")
    blocks: tuple[int, ...] = Field((3, 4, 6, 4), description="Blocks per stage, MSA blocks included.")
    attentions: tuple[int, ...] = Field(
        (0, 1, 3, 2), description="MSA blocks per stage; the stage ends with one if > 0."
    )
    bottleneck: int = Field(4, description="Width of a stage divided by that of the 3x3 convolution inside a block.")
    head_width: int = Field(64, description="Channels per attention head.")
    window: int = Field(8, description="Side of the attention window in feature pixels.")
    pooling: Literal["mean", "flatten"] = Field(
        "mean",
        description="What the last linear layer reads: the features' mean over pixels (Fig. 3), or all of them, which"
        " tells small networks sooner what is where.",
    )

    def sides_of_windows(self, side: int) -> list[tuple[int, int]]:
        """Return the side of each stage's features, and of the windows in which they attend, 0 if they don't."""
        sides = [side >> stage for stage in range(len(self.widths))]
        return [(each, min(self.window, each) if k else 0) for each, k in zip(sides, self.attentions, strict=True)]

    @model_validator(mode="after")
    def _check_stages(self) -> "EncoderConfig":
        if not len(self.widths) == len(self.blocks) == len(self.attentions):
            raise ValueError(
                f"widths, blocks and attentions name {len(self.widths)}, {len(self.blocks)} and {len(self.attentions)}"
                " stages; they must name the same number"
            )
        for stage, (n, k) in enumerate(zip(self.blocks, self.attentions, strict=True)):
            if 2 * k > n:
                raise ValueError(f"stage {stage}: {k} MSA blocks need at least {2 * k} blocks, got blocks={n}")
        return self


class UNetConfig(Config):
    """The conditional noise predictor; z_sem and t enter every residual block through AdaGN (Eq. 8)."""

    base_width: int = Field(128, description="Channels at the highest resolution.")
    multipliers: tuple[int, ...] = Field((1, 1, 2, 3, 4), description="Channels of each level over base_width.")
    num_res_blocks: int = Field(
        2, gt=0, description="Residual blocks per level on the way down; one more on the way up."
    )
    attention_resolutions: tuple[int, ...] = Field(
        (16,), description="Feature sides (pixels) that get self-attention; the middle always has it."
    )
    head_width: int = Field(64, description="Channels per attention head.")
    embedding_width: int = Field(512, description="Width of the time and style embeddings.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout inside residual blocks.")
    positions: bool = Field(False, description="Learned maps per block that z can scale, so that it can place things.")
    canvas: bool = Field(False, description="Draw a picture from z alone and hand it to the UNet beside x_t.")
    z_gain: float = Field(
        1.0,
        gt=0,
        description="z_sem is multiplied by this on its way in, so that what tells images apart is not small.",
    )
    z_shift: bool = Field(True, description="AdaGN shifts by z_b as in Eq. 8; off: z only scales, as the Diff-AE code.")


class GaeConfig(Config):
    """The group-supervised auto-encoder: four MLP and two bottleneck blocks on each side (Fig. 1b)."""

    widths: tuple[int, ...] = Field((1024, 2048, 2048, 2048), description="Output widths of the encoder's MLP blocks.")
    num_bottlenecks: int = Field(2, ge=0, description="Bottleneck blocks on each side.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of the MLP blocks.")
    norm: Literal["group", "layer"] = Field("group", description="Normalisation inside the blocks.")
    normalise_parts: bool = Field(False, description="Layer-norm each attribute's part of z_dis.")
    linear_paths: bool = Field(False, description="Add a linear map to each side's blocks; not the paper's.")
    decoder: Literal["blocks", "products"] = Field(
        "blocks",
        description="What composes a z_sem of parts: the encoder's blocks mirrored, or products of pairs and of"
        " all of the parts, linear in each of them; the latter are not the paper's.",
    )
    rank: int = Field(128, gt=0, description="Products of each pair, and of all, of `decoder: products`.")
    last_skip: bool = Field(
        True, description="The decoder's last block has a skip, without which the paper finds training unstable."
    )
    quantise_step: float = Field(0.0, ge=0, description="Round z_dis to multiples of this; 0 leaves it continuous.")


class ModelConfig(Config):
    """Everything that fixes the shape of the networks."""

    image_size: int = Field(128, ge=16, le=256, description="Side of the images in pixels.")
    pixel_unshuffle: Literal[1, 2, 4] = Field(1, description="Space-to-depth factor at the networks' input.")
    z_sem_width: int = Field(512, gt=0, description="Width of z_sem.")
    z_dis_width: int = Field(100, gt=0, description="Width of z_dis; the attributes' widths must add up to it.")
    encoder: EncoderConfig = EncoderConfig()
    unet: UNetConfig = UNetConfig()
    gae: GaeConfig = GaeConfig()

    def takes(self, size: int) -> bool:
        """Tell whether the networks can have images of a side: it must halve evenly, and windows must tile it."""
        side, rest = divmod(size, self.pixel_unshuffle)
        windows = self.encoder.sides_of_windows(side) if self.encoder.architecture == "alter_resnet" else []
        halvings = max(len(self.unet.multipliers), len(windows)) - 1
        is_tiled = all(not window or part % window == 0 for part, window in windows)
        return is_tiled and not rest and side % 2**halvings == 0


class DiffusionConfig(Config):
    """The forward process and how the network expresses its prediction."""

    num_timesteps: int = Field(1000, gt=1, description="Steps of the forward process.")
    beta_start: float = Field(1e-4, gt=0, description="First beta of the linear schedule.")
    beta_end: float = Field(0.02, lt=1, description="Last beta of the linear schedule.")
    prediction: Literal["eps", "v"] = Field("eps", description="What the network predicts: eps (Eq. 1) or v.")


class SamplingConfig(Config):
    """How images are generated and inverted."""

    sampler: Literal["ddim", "dpm++"] = Field("ddim", description="Solver, paired with its own inversion.")
    steps: int = Field(100, gt=0, description="Network calls; must come from an integer stride over num_timesteps.")
    clip: bool = Field(True, description="Clamp the predicted x_0 to [-1, 1] and recompute eps from it.")
