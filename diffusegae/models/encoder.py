"""Alter-ResNet, the encoder E: x_0 to z_sem (Fig. 3), after the build-up rule of AlterNet (Park and Kim, 2022).

A stage of n blocks with k self-attention blocks is n - 2k convolution blocks, then (convolution, attention) k times, so
attention stands at the ends of the late stages. Group norm and SiLU replace batch norm and ReLU; separate Downsample
blocks stand between stages. Windows of 7 divide none of our feature sizes, so the window is 8, or the whole map when
that is smaller (facts §4).
"""

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.config.model import EncoderConfig, ModelConfig
from diffusegae.models.layers import Downsample, group_norm, silu, zero_init


def stage_pattern(blocks: int, attentions: int) -> str:
    """Return a stage's blocks as letters, C for convolution and M for attention: (6, 3) gives 'CMCMCM'."""
    return "C" * (blocks - 2 * attentions) + "CM" * attentions


class ConvBlock(nn.Module):
    """Pre-activation bottleneck: 1x1, 3x3, 1x1 convolutions, each after group norm and SiLU, plus the input."""

    def __init__(self, inputs: int, outputs: int, inner: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([group_norm(inputs), group_norm(inner), group_norm(inner)])
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(inputs, inner, 1),
                nn.Conv2d(inner, inner, 3, padding=1),
                zero_init(nn.Conv2d(inner, outputs, 1)),
            ]
        )
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs height width"]:
        """Return the block's output at the input's resolution."""
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(silu(norm(h)))
        result: Tensor = self.skip(x) + h
        return result


class WindowAttentionBlock(nn.Module):
    """AlterNet's MSA block: norm, SiLU, 1x1 convolution, norm, windowed attention with relative bias, plus input."""

    relative: Int64[Tensor, "cells cells"]

    def __init__(self, channels: int, inner: int, head_width: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.num_heads = max(1, inner // head_width)
        self.norm_in, self.norm_inner = group_norm(channels), group_norm(inner)
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.qkv = nn.Conv2d(inner, 3 * inner, 1, bias=False)
        self.out = zero_init(nn.Conv2d(inner, channels, 1))
        self.bias = nn.Parameter(torch.zeros(self.num_heads, (2 * window - 1) ** 2))
        self.register_buffer("relative", relative_positions(window), persistent=False)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return x plus what each pixel gathers inside its window."""
        h = self.norm_inner(self.reduce(silu(self.norm_in(x))))
        side = self.window
        q, k, v = rearrange(
            self.qkv(h),
            "b (three n c) (i p) (j q) -> three (b i j) n (p q) c",
            three=3,
            n=self.num_heads,
            p=side,
            q=side,
        ).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias[:, self.relative].to(q.dtype))
        rows, columns = x.shape[2] // side, x.shape[3] // side
        merged = rearrange(attended, "(b i j) n (p q) c -> b (n c) (i p) (j q)", i=rows, j=columns, p=side, q=side)
        result: Tensor = x + self.out(merged)
        return result


def relative_positions(window: int) -> Int64[Tensor, "cells cells"]:
    """Return, for each pair of cells of a square window, the index of their offset in a table of (2 window - 1)^2."""
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    cells = torch.stack([rows.flatten(), columns.flatten()])
    offsets = cells[:, :, None] - cells[:, None, :] + window - 1
    return offsets[0] * (2 * window - 1) + offsets[1]


class AlterResNet(nn.Module):
    """The encoder E_phi: images [-1, 1] to z_sem."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        encoder = config.encoder
        self.unshuffle = nn.PixelUnshuffle(config.pixel_unshuffle)
        self.stem = nn.Conv2d(3 * config.pixel_unshuffle**2, encoder.stem_width, 3, padding=1)
        self.stages = nn.Sequential(*_build_stages(encoder, config.image_size // config.pixel_unshuffle))
        self.norm = group_norm(encoder.widths[-1])
        self.pooling = encoder.pooling
        side = config.image_size // config.pixel_unshuffle >> len(encoder.widths) - 1
        cells = side**2 if encoder.pooling == "flatten" else 1
        self.head = nn.Linear(encoder.widths[-1] * cells, config.z_sem_width)

    def forward(self, x_0: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch z_sem"]:
        """Return z_sem; the feature map is averaged over its pixels (or flattened) before the last linear layer."""
        h = silu(self.norm(self.stages(self.stem(self.unshuffle(x_0)))))
        z_sem: Tensor = self.head(h.flatten(1) if self.pooling == "flatten" else h.mean(dim=(2, 3)))
        return z_sem


def _build_stages(encoder: EncoderConfig, side: int) -> list[nn.Module]:
    """Return the blocks of all stages in order; the first stage keeps the input's `side`, each later one halves it."""
    modules: list[nn.Module] = []
    channels = encoder.stem_width
    for stage, (width, n, k) in enumerate(zip(encoder.widths, encoder.blocks, encoder.attentions, strict=True)):
        if stage > 0:
            modules.append(Downsample(channels, channels))
            side //= 2
        inner = width // encoder.bottleneck
        for letter in stage_pattern(n, k):
            if letter == "C":
                modules.append(ConvBlock(channels, width, inner))
            else:
                modules.append(WindowAttentionBlock(width, inner, encoder.head_width, min(encoder.window, side)))
            channels = width
    return modules
