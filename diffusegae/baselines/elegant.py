"""ELEGANT (Xiao et al., ECCV 2018): two pictures exchange one attribute's part of their encodings (facts, section 5).

The original pairs a picture that has a binary attribute with one that lacks it. Here an attribute has any number of
values and a pair is two neighbours of the batch, whatever they show: after the exchange of one attribute, drawn per
step, A must show B's value of it among A's other labels, and B the reverse. A pair that shares the value has nothing to
exchange and gives no adversarial term. The critics are told all attributes' values as one-hot maps beside the picture.

The deepest features' channels are divided equally among the attributes, whatever their widths in z_dis; where they do
not divide, parts differ by one channel. Weight decay and the decay by steps of the original are the loop's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.baselines.baseline import Baseline, Goal, Samples, Terms, held_still
from diffusegae.baselines.halvings import halved
from diffusegae.baselines.label_maps import LabelledConv2d, one_hots
from diffusegae.baselines.picture_code import Parts, PictureMethod
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.method import Images
from diffusegae.schema import AttributeSchema

RESIDUAL_RANGE = 2.0  # the largest change of a pixel in [-1, 1]

Features = Float[Tensor, "batch channels side side"]


class TooFewChannelsError(ValueError):
    """Fewer channels than attributes that shall have a part of them."""


class UnitChannels(nn.Module):
    """Bring each pixel's channels to length 1 (L2), then scale and shift all of them by two scalars."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))

    def forward(self, h: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return h normalised."""
        return F.normalize(h, dim=1) * self.scale + self.shift


def _strided(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), *_norm_and_leak())


def _norm_and_leak() -> tuple[nn.Module, nn.Module]:
    return UnitChannels(), nn.LeakyReLU(0.2)


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


def _draw_weights(module: nn.Module) -> None:
    """Draw a layer's weights from N(0, 0.02), as the original does; the first residuals are small."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.02)


class Encoder(nn.Module):
    """Picture to features, each level of half the side."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(_strided(inputs, outputs) for inputs, outputs in pairwise([3, *widths]))
        self.apply(_draw_weights)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Return the features of all levels, the deepest last."""
        features, h = [], images
        for level in self.levels:
            h = level(h)
            features.append(h)
        return features


class Decoder(nn.Module):
    """What to add to a picture, of its own deepest features and those with parts exchanged."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        ladder = [2 * widths[-1], *reversed(widths[:-1])]
        self.levels = nn.ModuleList(
            nn.Sequential(_doubling(inputs, outputs), UnitChannels(), nn.ReLU()) for inputs, outputs in pairwise(ladder)
        )
        self.out = _doubling(ladder[-1], 3)
        self.apply(_draw_weights)

    def forward(
        self, exchanged: Features, own: Features, skips: Sequence[Tensor]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the residual; `skips` are the encoder's shallower features, the shallowest first."""
        h = torch.cat([exchanged, own], dim=1)
        for level, skip in zip(self.levels, reversed(skips), strict=True):
            h = level(h) + skip
        result: Tensor = RESIDUAL_RANGE * torch.tanh(self.out(h))
        return result


class Critic(nn.Module):
    """Judges whether a picture is true and shows the values it is said to show."""

    def __init__(self, widths: Sequence[int], num_values: int, side: int) -> None:
        super().__init__()
        self.told = LabelledConv2d(3, num_values, widths[0], 3, stride=2, padding=1, bias=True)
        self.layers = nn.Sequential(*_norm_and_leak(), *(_strided(*step) for step in pairwise(widths)))
        for _ in widths:
            side = -(-side // 2)
        self.out = nn.Linear(widths[-1] * side**2, 1)
        self.apply(_draw_weights)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], values: Float[Tensor, "batch values"]
    ) -> Float[Tensor, " batch"]:
        """Return the logits of being true."""
        logits: Tensor = self.out(self.layers(self.told(images, values)).flatten(1))
        return logits[:, 0].float()


class Critics(nn.Module):
    """One critic at the full size, and one at half of it."""

    def __init__(self, widths: Sequence[int], num_values: int, image_size: int) -> None:
        super().__init__()
        self.at_full = Critic(widths, num_values, image_size)
        self.at_half = Critic(widths, num_values, image_size // 2)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], values: Float[Tensor, "batch values"]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """Return the logits of both."""
        return self.at_full(images, values), self.at_half(F.avg_pool2d(images, 2), values)


@dataclass(frozen=True)
class Exchange:
    """Both sides of each pair after the exchange: pictures, the labels they must show, whether there was a change."""

    images: Float[Tensor, "twice 3 height width"]
    labels: Int64[Tensor, "twice attributes"]
    changed: Bool[Tensor, " twice"]


def adversarial_loss(
    logits: Float[Tensor, " rows"], are_true: bool, counted: Bool[Tensor, " rows"]
) -> Float[Tensor, ""]:
    """Return the binary cross-entropy, averaged over the rows that count; 0 if none does."""
    losses = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, are_true), reduction="none")
    return (losses * counted).sum() / counted.sum().clamp_min(1)


def replace_channels(own: Features, donors: Features, channels: slice) -> Features:
    """Return own features with some channels of the donors'."""
    return torch.cat([own[:, : channels.start], donors[:, channels], own[:, channels.stop :]], dim=1)


class Elegant(Baseline):
    """Encoder, decoder and two critics; both sides move at every step."""

    reads_names = True

    def __init__(self, config: PipelineConfig, schema: AttributeSchema) -> None:
        super().__init__(config, schema)
        self.settings = config.baselines.elegant
        widths, size, count = self.settings.widths, config.model.image_size, len(schema.names)
        self.side = halved(size, len(widths), "the number of baselines.elegant.widths")
        if widths[-1] < count:
            raise TooFewChannelsError(
                f"the last of baselines.elegant.widths is {widths[-1]}, but {count} attributes share these channels;"
                f" expected at least {count}. Raise it"
            )
        bounds = [widths[-1] * j // count for j in range(count + 1)]
        self.channels = tuple(slice(start, stop) for start, stop in pairwise(bounds))
        self.encoder, self.decoder = Encoder(widths), Decoder(widths)
        self.critics = Critics(self.settings.critic_widths, sum(schema.cardinalities), size)

    def goals(self) -> Sequence[Goal]:
        """Return the critics' goal, then that of encoder and decoder."""
        return (
            Goal("critic", self.critic_loss, {"critics": self.critics}, draw=self.draw),
            Goal("generator", self.generator_loss, {"encoder": self.encoder, "decoder": self.decoder}, draw=self.draw),
        )

    def method(self, device: torch.device | str = "cpu") -> "ElegantMethod":
        """Return the method that edits with these weights; moves them to the device, into eval mode."""
        return ElegantMethod(self.to(device).eval(), device)

    def draw(self, samples: Samples, generator: torch.Generator) -> int:
        """Draw the attribute that is exchanged."""
        return int(torch.randint(len(self.channels), (), generator=generator, device=generator.device))

    def critic_loss(self, samples: Samples, j: int) -> Terms:
        """Return the critics' cross-entropies of true pictures and of exchanged ones, of pairs that differ."""
        images, labels = samples.images.flatten(0, 1), samples.labels.flatten(0, 1)
        with torch.no_grad():
            exchange = self.exchange(images, labels, self.encoder(images), j)
        fakes = self.critics(exchange.images, self.one_hots(exchange.labels))
        trues = self.critics(images, self.one_hots(labels))
        # A picture is on one side of two pairs, so its logit counts in both. Each mean stands for A's and for B's.
        full, half = (
            2 * adversarial_loss(fake, False, exchange.changed)
            + 2 * adversarial_loss(true.repeat(2), True, exchange.changed)
            for fake, true in zip(fakes, trues, strict=True)
        )
        terms = {"critic_full": full.detach(), "critic_half": half.detach()}
        return (full + self.settings.half_weight * half) / 4, terms

    def generator_loss(self, samples: Samples, j: int) -> Terms:
        """Return the error of unexchanged reconstructions, and how far the critics see through exchanged pictures."""
        images, labels = samples.images.flatten(0, 1), samples.labels.flatten(0, 1)
        features = self.encoder(images)
        # Every picture is A of one pair and B of another: the sum over both sides is twice the mean.
        reconstruction = 2 * F.mse_loss(self.add_residual(images, features, features[-1]), images)
        exchange = self.exchange(images, labels, features, j)
        with held_still(self.critics):
            logits = self.critics(exchange.images, self.one_hots(exchange.labels))
        full, half = (2 * adversarial_loss(each, True, exchange.changed) for each in logits)
        loss = self.settings.lambda_reconstruction * reconstruction + full + self.settings.half_weight * half
        terms = {"generator_reconstruction": reconstruction, "generator_full": full, "generator_half": half}
        return loss, {name: term.detach() for name, term in terms.items()}

    def exchange(
        self,
        images: Float[Tensor, "batch 3 height width"],
        labels: Int64[Tensor, "batch attributes"],
        features: Sequence[Tensor],
        j: int,
    ) -> Exchange:
        """Exchange attribute j between neighbours: the first half are all pairs' A, the second all their B."""
        order = torch.arange(len(images), device=images.device)
        rows, donors = order.repeat(2), torch.cat([order.roll(1), order.roll(-1)])
        own = features[-1]
        exchanged = replace_channels(own[rows], own[donors], self.channels[j])
        shown = labels[rows]
        shown[:, j] = labels[donors, j]
        return Exchange(
            images=self.add_residual(images[rows], [level[rows] for level in features], exchanged),
            labels=shown,
            changed=labels[rows, j] != labels[donors, j],
        )

    def add_residual(
        self, images: Float[Tensor, "batch 3 height width"], features: Sequence[Tensor], exchanged: Features
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return images changed from their own features towards the exchanged ones, clamped to [-1, 1]."""
        *skips, own = features
        result: Tensor = (images + self.decoder(exchanged, own, skips)).clamp(-1, 1)
        return result

    def one_hots(self, labels: Int64[Tensor, "batch attributes"]) -> Float[Tensor, "batch values"]:
        """Return labels as the critics are told them."""
        return one_hots(labels, self.schema.cardinalities)


class ElegantMethod(PictureMethod):
    """Edits with a trained ELEGANT: an attribute's part is its channels of the deepest features."""

    def __init__(self, model: Elegant, device: torch.device | str) -> None:
        widths = [(channels.stop - channels.start) * model.side**2 for channels in model.channels]
        super().__init__(model.schema, model.config.model.image_size, widths, device)
        self.model = model

    def read(self, images: Images) -> Parts:
        """Return the deepest features, channel after channel."""
        deepest: Tensor = self.model.encoder(images)[-1]
        return deepest.flatten(1)

    def render(self, images: Images, parts: Parts) -> Images:
        """Return the pictures with the residual that other parts give, beside their own features and skips."""
        features = self.model.encoder(images)
        return self.model.add_residual(images, features, parts.reshape(features[-1].shape))
