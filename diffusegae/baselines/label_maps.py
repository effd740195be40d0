"""Labels as one-hots side by side, and as constant maps beside a picture: what adversarial baselines are told."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F


def one_hots(labels: Int64[Tensor, "batch attributes"], cardinalities: Sequence[int]) -> Float[Tensor, "batch values"]:
    """Return the one-hots of all attributes, concatenated in the schema's order."""
    return torch.cat([F.one_hot(labels[:, j], count).float() for j, count in enumerate(cardinalities)], dim=1)


class LabelledConv2d(nn.Module):
    """A convolution of pictures with one constant map per value beside them, without making those maps.

    What a constant map adds to a place is the sum of the taps that lie inside the picture there, so the values go
    through one small matrix product in place of a convolution of a hundred channels: half of StarGAN's time.
    """

    def __init__(
        self, channels: int, num_values: int, outputs: int, side: int, *, stride: int, padding: int, bias: bool
    ) -> None:
        super().__init__()
        self.split, self.stride, self.padding = (channels, num_values), stride, padding
        self.conv = nn.Conv2d(channels + num_values, outputs, side, stride, padding, bias=bias)

    def forward(
        self, images: Float[Tensor, "batch channels height width"], values: Float[Tensor, "batch values"]
    ) -> Float[Tensor, "batch outputs rows columns"]:
        """Return what the convolution makes of images and maps."""
        of_images, of_values = self.conv.weight.split(self.split, dim=1)
        seen = F.conv2d(images, of_images, self.conv.bias, self.stride, self.padding)
        ones, side = images.new_ones(1, 1, *images.shape[2:]), self.conv.kernel_size[0]
        inside = F.unfold(ones, side, padding=self.padding, stride=self.stride)[0]
        told: Tensor = torch.einsum("bv,ovij->boij", values, of_values).flatten(2) @ inside
        return seen + told.view_as(seen)
