"""Diff-AE's encoder, x_0 to z_sem: half of a UNet, of the decoder UNet's own widths (facts §2).

Levels of residual blocks with one convolution each, attention at the UNet's attention resolutions, a middle of
residual, attention, residual, and a pooled head. Like the published encoders (multipliers 1, 1, 2, 3, 4, 4 beside the
UNet's 1, 1, 2, 3, 4) it goes one level below the UNet's lowest, but not below the 4x4 features where those end.
"""

from jaxtyping import Float
from torch import Tensor, nn

from diffusegae.config.model import ModelConfig
from diffusegae.models.layers import Downsample, SelfAttention, group_norm, silu
from diffusegae.models.unet import levels_of

LOWEST_SIDE = 4


class ResidualBlock(nn.Module):
    """Group norm, SiLU, a 3x3 convolution, plus the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = group_norm(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs height width"]:
        """Return the block's output at the input's resolution."""
        result: Tensor = self.skip(x) + self.conv(silu(self.norm(x)))
        return result


class HalfUNetEncoder(nn.Module):
    """The encoder of Diff-AE: images [-1, 1] to z_sem."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, sides = encoder_levels(config)
        top = channels[-1]
        self.unshuffle = nn.PixelUnshuffle(config.pixel_unshuffle)
        self.stem = nn.Conv2d(3 * config.pixel_unshuffle**2, channels[0], 3, padding=1)
        self.down = nn.Sequential(*_build_levels(config, channels, sides))
        self.middle = nn.Sequential(
            ResidualBlock(top, top), SelfAttention(top, config.unet.head_width), ResidualBlock(top, top)
        )
        self.norm = group_norm(top)
        self.pooling = config.encoder.pooling
        self.head = nn.Linear(top * (sides[-1] ** 2 if self.pooling == "flatten" else 1), config.z_sem_width)

    def forward(self, x_0: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch z_sem"]:
        """Return z_sem; the feature map is averaged over its pixels (or flattened) before the last linear layer."""
        h = silu(self.norm(self.middle(self.down(self.stem(self.unshuffle(x_0))))))
        z_sem: Tensor = self.head(h.flatten(1) if self.pooling == "flatten" else h.mean(dim=(2, 3)))
        return z_sem


def encoder_levels(config: ModelConfig) -> tuple[list[int], list[int]]:
    """Return the channels and the feature side of each level: the UNet's, and one more of its last width."""
    channels, sides = levels_of(config)
    if sides[-1] % 2 == 0 and sides[-1] // 2 >= LOWEST_SIDE:
        return [*channels, channels[-1]], [*sides, sides[-1] // 2]
    return channels, sides


def _build_levels(config: ModelConfig, channels: list[int], sides: list[int]) -> list[nn.Module]:
    modules: list[nn.Module] = []
    width = channels[0]
    for level, (outputs, side) in enumerate(zip(channels, sides, strict=True)):
        if level > 0:
            modules.append(Downsample(width, width))
        for _ in range(config.unet.num_res_blocks):
            modules.append(ResidualBlock(width, outputs))
            width = outputs
            if side in config.unet.attention_resolutions:
                modules.append(SelfAttention(width, config.unet.head_width))
    return modules
