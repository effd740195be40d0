"""The conditional UNet, the decoder D_theta: (x_t, t, z_sem) to the prediction of eps or v.

Residual blocks with AdaGN (Eq. 8), attention at the configured feature sides and in the middle, plain convolution
down- and up-sampling as in DDPM, skips concatenated. With `pixel_unshuffle` = 2 it works on 2x2 space-to-depth input.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.config.model import ModelConfig, UNetConfig
from diffusegae.models.layers import (
    ConditionedResidual,
    Downsample,
    SelfAttention,
    Upsample,
    UpsampledConv,
    group_norm,
    silu,
    timestep_embedding,
    zero_init,
)

CANVAS_SIDE, CANVAS_WIDTH = 4, 8  # the smallest side and the fewest channels of the canvas' decoder


class Level(nn.Module):
    """A conditioned residual block and, where it is asked for, self-attention."""

    def __init__(self, inputs: int, outputs: int, config: UNetConfig, side: int, attends: bool) -> None:
        super().__init__()
        self.residual = ConditionedResidual(
            inputs,
            outputs,
            config.embedding_width,
            config.dropout,
            config.z_shift,
            side if config.positions else 0,
        )
        self.attention = SelfAttention(outputs, config.head_width) if attends else nn.Identity()

    def forward(
        self,
        h: Float[Tensor, "batch inputs height width"],
        t: Float[Tensor, "batch embedding"],
        z: Float[Tensor, "batch embedding"],
    ) -> Float[Tensor, "batch outputs height width"]:
        """Return the block's output at the input's resolution."""
        result: Tensor = self.attention(self.residual(h, t, z))
        return result


class Canvas(nn.Module):
    """A picture drawn from z alone: one linear map, plus a small decoder that starts at 4x4 features.

    AdaGN can only scale what convolutions have found in x_t, so z gains a say over pixels slowly. The UNet sees the
    canvas beside x_t; trained by `lambda_canvas` to be the image, it teaches the encoder from the first step on. The
    linear map superposes learned pictures (backgrounds), the decoder composes (a vehicle in front of one).

    `blend` is what it says of the prediction by itself. Were x_0 normally distributed around the canvas, eps and v
    would be sums of x_t and the canvas with weights that depend on t alone. Those are learned, and the rest of the UNet
    adds what a picture has beyond. Without it noise of x_t leaks into pictures from the first step of sampling on.
    """

    def __init__(self, embedding_width: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape
        self.superpose = nn.Linear(embedding_width, math.prod(shape))
        self.compose = _build_decoder(embedding_width, shape)
        self.weights = zero_init(nn.Linear(embedding_width, 2 * shape[0]))

    def blend(
        self,
        pixels: Float[Tensor, "batch channels height width"],
        picture: Float[Tensor, "batch channels height width"],
        time: Float[Tensor, "batch embedding"],
    ) -> Float[Tensor, "batch channels height width"]:
        """Return x_t (unshuffled, like the result) and the picture, each channel weighted as t has it, and added."""
        of_pixels, of_picture = self.weights(time)[..., None, None].chunk(2, dim=1)
        blended: Tensor = of_pixels * pixels + of_picture * picture
        return blended

    def forward(self, style: Float[Tensor, "batch embedding"]) -> Float[Tensor, "batch channels height width"]:
        """Return the picture at the UNet's input resolution."""
        picture: Tensor = self.superpose(style).unflatten(1, self.shape) + self.compose(style)
        return picture


class Condition(NamedTuple):
    """What z_sem says: the style that AdaGN reads, and the canvas at the UNet's input resolution if there is one."""

    style: Float[Tensor, "batch embedding"]
    canvas: Float[Tensor, "batch channels height width"] | None

    def unstack(self) -> list["Condition"]:
        """Return the condition of each image by itself, a batch of one."""
        canvases = [None] * len(self.style) if self.canvas is None else self.canvas.split(1)
        return [Condition(style, canvas) for style, canvas in zip(self.style.split(1), canvases, strict=True)]

    @staticmethod
    def stack(conditions: Sequence["Condition"]) -> "Condition":
        """Return the conditions of one model's images as one batch."""
        canvases = [condition.canvas for condition in conditions if condition.canvas is not None]
        style = torch.cat([condition.style for condition in conditions])
        return Condition(style, torch.cat(canvases) if canvases else None)


class UNet(nn.Module):
    """The noise predictor epsilon_theta(x_t, t, z_sem)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        unet, factor = config.unet, config.pixel_unshuffle
        channels, sides = levels_of(config)
        self.base_width, self.z_gain = unet.base_width, unet.z_gain
        self.unshuffle, self.shuffle = nn.PixelUnshuffle(factor), nn.PixelShuffle(factor)
        self.time = embedding_mlp(unet.base_width, unet.embedding_width)
        self.style = embedding_mlp(config.z_sem_width, unet.embedding_width)
        pixels = (3 * factor**2, sides[0], sides[0])
        self.canvas = Canvas(unet.embedding_width, pixels) if unet.canvas else None
        self.stem = nn.Conv2d(pixels[0] * (2 if unet.canvas else 1), channels[0], 3, padding=1)
        self.down, self.skip_widths = _build_down(unet, channels, sides)
        self.middle = build_middle(unet, channels, sides)
        self.up = build_up(unet, channels, sides, self.skip_widths)
        self.norm = group_norm(channels[0])
        self.head = zero_init(nn.Conv2d(channels[0], 3 * factor**2, 3, padding=1))

    def forward(
        self,
        x_t: Float[Tensor, "batch 3 height width"],
        t: Num[Tensor, " batch"],
        z_sem: Float[Tensor, "batch z_sem"],
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the network's prediction for x_t at time t under the condition z_sem."""
        return self.denoise(x_t, t, self.condition(z_sem))

    def condition(self, z_sem: Float[Tensor, "batch z_sem"]) -> Condition:
        """Return what the network makes of z_sem before it has seen any x_t."""
        style = F.silu(self.style(self.z_gain * z_sem))
        return Condition(style, None if self.canvas is None else self.canvas(style))

    def denoise(
        self, x_t: Float[Tensor, "batch 3 height width"], t: Num[Tensor, " batch"], condition: Condition
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the network's prediction for x_t at time t under a condition."""
        time = self.time_embedding(t)
        h, skips = self.go_down(x_t, time, condition)
        return self.go_up(h, skips, x_t, time, condition)

    def time_embedding(self, t: Num[Tensor, " batch"]) -> Float[Tensor, "batch embedding"]:
        """Return what the blocks read of t."""
        return F.silu(self.time(timestep_embedding(t, self.base_width)))

    def go_down(
        self,
        x_t: Float[Tensor, "batch 3 height width"],
        time: Float[Tensor, "batch embedding"],
        condition: Condition,
    ) -> tuple[Float[Tensor, "batch lowest low_h low_w"], list[Tensor]]:
        """Return the lowest features and the skips, the stem's first."""
        pixels = self.unshuffle(x_t)
        h = self.stem(pixels if condition.canvas is None else torch.cat([pixels, condition.canvas], dim=1))
        skips = [h]
        for block in self.down:
            h = block(h) if isinstance(block, Downsample) else block(h, time, condition.style)
            skips.append(h)
        return h, skips

    def go_up(
        self,
        h: Float[Tensor, "batch lowest low_h low_w"],
        skips: list[Tensor],
        x_t: Float[Tensor, "batch 3 height width"],
        time: Float[Tensor, "batch embedding"],
        condition: Condition,
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the prediction that follows from the way down; uses up the list of skips."""
        h = climb(self.middle, self.up, h, skips, time, condition.style)
        prediction: Tensor = self.head(silu(self.norm(h)))
        if self.canvas is not None and condition.canvas is not None:
            prediction = prediction + self.canvas.blend(self.unshuffle(x_t), condition.canvas, time)
        result: Tensor = self.shuffle(prediction)
        return result


def climb(
    middle: nn.ModuleList,
    up: nn.ModuleList,
    h: Float[Tensor, "batch lowest low_h low_w"],
    skips: list[Tensor],
    time: Float[Tensor, "batch embedding"],
    style: Float[Tensor, "batch embedding"],
) -> Float[Tensor, "batch base height width"]:
    """Pass the lowest features through the middle and up to the highest resolution; uses up the list of skips."""
    for block in middle:
        h = block(h, time, style)
    for block in up:
        h = block(h) if isinstance(block, Upsample) else block(torch.cat([h, skips.pop()], dim=1), time, style)
    return h


def levels_of(config: ModelConfig) -> tuple[list[int], list[int]]:
    """Return the channels and the feature side of each level, the highest resolution first."""
    channels = [config.unet.base_width * multiplier for multiplier in config.unet.multipliers]
    return channels, [config.image_size // config.pixel_unshuffle // 2**level for level in range(len(channels))]


def embedding_mlp(inputs: int, width: int) -> nn.Sequential:
    """Return the two layers that time and style pass before the blocks read them."""
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width))


def _build_decoder(embedding_width: int, shape: tuple[int, int, int]) -> nn.Sequential:
    """Return a small convolutional decoder; its side doubles up to the picture's while its channels are halved."""
    doublings = 0
    while shape[1] % 2 ** (doublings + 1) == 0 and shape[1] >> (doublings + 1) >= CANVAS_SIDE:
        doublings += 1
    side, width = shape[1] >> doublings, max(embedding_width // 4, CANVAS_WIDTH)
    layers: list[nn.Module] = [nn.Linear(embedding_width, width * side**2), nn.Unflatten(1, (width, side, side))]
    for _ in range(doublings):
        narrower = max(width // 2, CANVAS_WIDTH)
        layers += [group_norm(width), nn.SiLU(), nn.Identity(), UpsampledConv(width, narrower)]  # numbers name weights
        width = narrower
    return nn.Sequential(*layers, group_norm(width), nn.SiLU(), nn.Conv2d(width, shape[0], 3, padding=1))


def _build_down(unet: UNetConfig, channels: list[int], sides: list[int]) -> tuple[nn.ModuleList, list[int]]:
    """Return the blocks on the way down and the channels of every skip, the stem's first."""
    modules, skips, width = nn.ModuleList(), [channels[0]], channels[0]
    for level, (outputs, side) in enumerate(zip(channels, sides, strict=True)):
        for _ in range(unet.num_res_blocks):
            modules.append(Level(width, outputs, unet, side, side in unet.attention_resolutions))
            width = outputs
            skips.append(width)
        if level < len(channels) - 1:
            modules.append(Downsample(width, width))
            skips.append(width)
    return modules, skips


def build_middle(unet: UNetConfig, channels: list[int], sides: list[int]) -> nn.ModuleList:
    """Return the two blocks at the lowest resolution, with attention between them whatever its side, as in DDPM."""
    top, side = channels[-1], sides[-1]
    return nn.ModuleList([Level(top, top, unet, side, attends) for attends in (True, False)])


def build_up(unet: UNetConfig, channels: list[int], sides: list[int], skips: Sequence[int]) -> nn.ModuleList:
    """Return the blocks on the way up; each takes the last skip that is left."""
    modules, width, remaining = nn.ModuleList(), channels[-1], list(skips)
    for level in reversed(range(len(channels))):
        attends = sides[level] in unet.attention_resolutions
        for _ in range(unet.num_res_blocks + 1):
            modules.append(Level(width + remaining.pop(), channels[level], unet, sides[level], attends))
            width = channels[level]
        if level > 0:
            modules.append(Upsample(width))
    return modules
