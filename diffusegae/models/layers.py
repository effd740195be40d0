"""Building blocks that several networks share: AdaGN, residual and attention blocks, resampling, time embedding."""

import math
from typing import TypeVar

import torch
from einops import rearrange
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional as F

MAX_GROUPS = 32
FEW_PIXELS = 128  # measured on two CPU cores at 32 to 512 channels

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a GroupNorm of up to 32 groups, fewer where a group would have less than 4 channels."""
    groups = math.gcd(MAX_GROUPS, channels)
    while groups > 1 and channels // groups < 4:
        groups //= 2
    return nn.GroupNorm(groups, channels)


def zero_init(layer: Layer) -> Layer:
    """Set a layer's weights to zero, so that the residual branch it ends starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def timestep_embedding(t: Num[Tensor, " batch"], width: int) -> Float[Tensor, "batch width"]:
    """Return psi(t) of Eq. 8: sinusoids of geometrically spaced periods up to 10,000 (Vaswani et al.)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def silu(fresh: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return SiLU of a tensor that nobody else reads; in place where no gradient is kept."""
    return F.silu(fresh, inplace=not torch.is_grad_enabled())


def norm_scale_shift(
    norm: nn.GroupNorm,
    h: Float[Tensor, "batch channels height width"],
    scale: Float[Tensor, "batch channels"],
    shift: Float[Tensor, "batch channels"],
) -> Float[Tensor, "batch channels height width"]:
    """Return norm(h) * scale + shift.

    GroupNorm multiplies and adds per channel anyway: with the images as further channels of a single one, those two
    become per image and the whole is one pass over h. Channels-last memory has no such view.
    """
    if not h.is_contiguous():
        return torch.addcmul(shift[:, :, None, None], norm(h), scale[:, :, None, None])
    weight, bias = norm.weight * scale, torch.addcmul(shift, norm.bias, scale)
    merged, groups = h.view(1, -1, *h.shape[2:]), len(h) * norm.num_groups
    return F.group_norm(merged, groups, weight.flatten(), bias.flatten(), norm.eps).view_as(h)


class AdaGN(nn.Module):
    """Adaptive group normalisation, Eq. 8: z_s (t_s GN(h) + t_b) + z_b, scales written as 1 + (facts §8.17).

    With `z_shift` off there is no z_b, as in the public Diff-AE code.
    """

    def __init__(self, channels: int, embedding_width: int, z_shift: bool) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.z_shift = z_shift
        self.from_t = nn.Linear(embedding_width, 2 * channels)
        self.from_z = nn.Linear(embedding_width, 2 * channels if z_shift else channels)

    def forward(
        self,
        h: Float[Tensor, "batch channels height width"],
        t_embedding: Float[Tensor, "batch embedding"],
        z_embedding: Float[Tensor, "batch embedding"],
    ) -> Float[Tensor, "batch channels height width"]:
        """Normalise h, then scale and shift it by t and by z."""
        t_s, t_b = self.from_t(t_embedding).chunk(2, dim=1)
        z = self.from_z(z_embedding)
        z_s, z_b = z.chunk(2, dim=1) if self.z_shift else (z, None)
        scale = (1 + t_s) * (1 + z_s)
        shift = t_b * (1 + z_s) if z_b is None else t_b * (1 + z_s) + z_b
        return norm_scale_shift(self.norm, h, scale, shift)


class PositionMap(nn.Module):
    """Add a learned map [channels, side, side].

    Convolutions hardly know where they are. With such a map before it, AdaGN can scale spatial patterns by z.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.map = nn.Parameter(0.5 * torch.randn(channels, side, side))

    def forward(self, h: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return h plus the map."""
        return h + self.map


class ConditionedResidual(nn.Module):
    """GN-SiLU-conv, AdaGN-SiLU-dropout-conv, plus the input; the last convolution starts at zero.

    `side` is the feature side of a learned position map before AdaGN; 0 leaves it out.
    """

    def __init__(
        self, inputs: int, outputs: int, embedding_width: int, dropout: float, z_shift: bool, side: int = 0
    ) -> None:
        super().__init__()
        self.norm = group_norm(inputs)
        self.position = PositionMap(outputs, side) if side else nn.Identity()
        self.conv_in = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.condition = AdaGN(outputs, embedding_width, z_shift)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zero_init(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "batch inputs height width"],
        t_embedding: Float[Tensor, "batch embedding"],
        z_embedding: Float[Tensor, "batch embedding"],
    ) -> Float[Tensor, "batch outputs height width"]:
        """Return the block's output at the input's resolution."""
        h = self.position(self.conv_in(silu(self.norm(x))))
        h = silu(self.condition(h, t_embedding, z_embedding))
        result: Tensor = self.skip(x) + self.conv_out(self.dropout(h))
        return result


class SelfAttention(nn.Module):
    """Multi-head self-attention over all pixels, with group norm before and the input added."""

    def __init__(self, channels: int, head_width: int) -> None:
        super().__init__()
        self.num_heads = max(1, channels // head_width)
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero_init(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return x plus what each pixel gathers from all others."""
        pixels = rearrange(self.norm(x), "b c h w -> b (h w) c")
        q, k, v = rearrange(
            F.linear(pixels, self.qkv.weight.flatten(1), self.qkv.bias),
            "b hw (three n c) -> three b n hw c",
            three=3,
            n=self.num_heads,
        ).unbind(0)
        attended = rearrange(F.scaled_dot_product_attention(q, k, v), "b n hw c -> b hw (n c)")
        gathered = F.linear(attended, self.out.weight.flatten(1), self.out.bias)
        return x + rearrange(gathered, "b (h w) c -> b c h w", h=x.shape[2])


class Downsample(nn.Module):
    """Halve height and width by a strided 3x3 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs half_h half_w"]:
        """Return x at half its resolution."""
        result: Tensor = self.conv(x)
        return result


class UpsampledConv(nn.Conv2d):
    """A 3x3 convolution of the input repeated to twice its height and width.

    Of the nine taps on a pixel several fall on the same input pixel, so both together are one transposed convolution
    whose 4x4 kernel holds sums of taps: 16 products per input pixel and pair of channels instead of 36. For fewer than
    `FEW_PIXELS` in the whole batch the sums cost more than that saves, so both are done as they are written.
    """

    sums: Float[Tensor, "9 16"]

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        line = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])  # taps that meet in each of a line's four
        self.register_buffer("sums", torch.kron(line, line).T.contiguous(), persistent=False)

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs twice_h twice_w"]:
        """Return the convolution at twice x's resolution."""
        if x.shape[0] * x.shape[2] * x.shape[3] < FEW_PIXELS:
            return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        with torch.autocast(x.device.type, enabled=False):  # sums of taps rounded twice would be coarser
            kernel = (self.weight.flatten(2).transpose(0, 1) @ self.sums).unflatten(2, (4, 4))
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class Upsample(nn.Module):
    """Double height and width by repetition, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = UpsampledConv(channels, channels)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels twice_h twice_w"]:
        """Return x at twice its resolution."""
        result: Tensor = self.conv(x)
        return result
