"""Convolutions with instance norm, of which GZS-Net's auto-encoder and StarGAN's generator are made.

The norms keep no running statistics: with them the published auto-encoder breaks in eval mode, and a picture would
depend on the batches seen. A convolution before a norm has no bias, which the norm would take away.
"""

from jaxtyping import Float
from torch import Tensor, nn


def normalised(conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """Return a convolution with instance norm and ReLU after it."""
    return nn.Sequential(conv, *norm_and_relu(conv.out_channels))


def norm_and_relu(channels: int) -> tuple[nn.Module, nn.Module]:
    """Return an instance norm and a ReLU."""
    return nn.InstanceNorm2d(channels, affine=True), nn.ReLU()


class InstanceNormResidual(nn.Module):
    """Two 3x3 convolutions with instance norms and a ReLU between, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *normalised(nn.Conv2d(channels, channels, 3, padding=1, bias=False)),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return the block's output."""
        result: Tensor = x + self.branch(x)
        return result
