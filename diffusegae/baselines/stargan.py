"""StarGAN (Choi et al., CVPR 2018): one generator, told by label maps what a picture shall show (facts, section 5).

The original knows binary attributes, or one multi-valued one. Here every attribute has any number of values: the
one-hots of all attributes, side by side, are the label map beside the picture, and the critic's class head gives one
softmax per attribute, whose cross-entropies are summed. As in the original a picture's target is what another picture
of the batch shows, all attributes at once.

StarGAN takes a picture and the target domain, not a donor picture. A donor's domain is read by the critic's own class
head, and so are the values of the source that an edit leaves as they are.

The first InstanceNorm takes away what a constant map adds everywhere; values reach the picture from its padded border.
That is how it was published, and it is left so.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.baselines.baseline import Baseline, Goal, Samples, Terms, held_still
from diffusegae.baselines.halvings import halved
from diffusegae.baselines.instance_norm import InstanceNormResidual, norm_and_relu, normalised
from diffusegae.baselines.label_maps import LabelledConv2d, one_hots
from diffusegae.baselines.picture_code import Parts, PictureMethod
from diffusegae.config.baselines import StarGanConfig
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.method import Images
from diffusegae.schema import AttributeSchema


class Generator(nn.Module):
    """Picture and label map to the picture that shows those values."""

    def __init__(self, config: StarGanConfig, num_values: int) -> None:
        super().__init__()
        widths = [config.generator_width * 2**k for k in range(config.num_downsamples + 1)]
        steps = list(pairwise(widths))
        first, last = widths[0], widths[-1]
        self.told = LabelledConv2d(3, num_values, first, 7, stride=1, padding=3, bias=False)
        self.layers = nn.Sequential(
            *norm_and_relu(first),
            *(normalised(nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False)) for a, b in steps),
            *(InstanceNormResidual(last) for _ in range(config.num_residuals)),
            *(normalised(nn.ConvTranspose2d(b, a, 4, stride=2, padding=1, bias=False)) for a, b in reversed(steps)),
            nn.Conv2d(first, 3, 7, padding=3, bias=False),
            nn.Tanh(),
        )

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], values: Float[Tensor, "batch values"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the images as the one-hot values ask."""
        result: Tensor = self.layers(self.told(images, values)).float()
        return result


class Critic(nn.Module):
    """Judges patches of a picture, and reads the values that it shows."""

    def __init__(self, config: StarGanConfig, num_values: int, side: int) -> None:
        super().__init__()
        widths = [3, *(config.critic_width * 2**k for k in range(config.critic_layers))]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.01))
                for inputs, outputs in pairwise(widths)
            )
        )
        # No bias: true and false scores would cancel its gradient.
        self.patches = nn.Conv2d(widths[-1], 1, 3, padding=1, bias=False)
        self.classes = nn.Conv2d(widths[-1], num_values, side, bias=False)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch 1 rows columns"], Float[Tensor, "batch values"]]:
        """Return the patches' scores and the logits of all attributes' values."""
        h = self.layers(images)
        return self.patches(h).float(), self.classes(h).flatten(1).float()


def gradient_penalty(
    score: Callable[[Tensor], Tensor],
    real: Float[Tensor, "batch 3 height width"],
    fake: Float[Tensor, "batch 3 height width"],
    mix: Float[Tensor, "batch 1 1 1"],
) -> Float[Tensor, ""]:
    """Return WGAN-GP's (|grad| - 1)^2 of an image's summed scores, at places between real (mix 1) and fake (0)."""
    between = torch.lerp(fake, real, mix).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norms - 1).square().mean()


def class_loss(
    logits: Float[Tensor, "batch values"], labels: Int64[Tensor, "batch attributes"], cardinalities: Sequence[int]
) -> Float[Tensor, ""]:
    """Return the cross-entropy of each attribute's logits, summed over attributes."""
    split = logits.split(list(cardinalities), dim=1)
    return torch.stack([F.cross_entropy(each, labels[:, j]) for j, each in enumerate(split)]).sum()


class Mixes(NamedTuple):
    """What chance decides of the critic's loss: whose labels are targets, and the places between real and fake."""

    order: Int64[Tensor, " batch"]
    mix: Float[Tensor, "batch 1 1 1"]


def draw_order(samples: Samples, generator: torch.Generator) -> Int64[Tensor, " batch"]:
    """Draw a permutation of all images of the samples."""
    count = samples.labels.shape[:2].numel()
    return torch.randperm(count, generator=generator, device=generator.device).to(samples.labels.device)


def draw_mixes(samples: Samples, generator: torch.Generator) -> Mixes:
    """Draw a permutation of all images of the samples, and a place for each."""
    order = draw_order(samples, generator)
    mix = torch.rand(len(order), 1, 1, 1, generator=generator, device=generator.device)
    return Mixes(order, mix.to(order.device))


class StarGan(Baseline):
    """Generator and critic; the critic moves at every step, the generator every few."""

    reads_names = True

    def __init__(self, config: PipelineConfig, schema: AttributeSchema) -> None:
        super().__init__(config, schema)
        self.settings = config.baselines.stargan
        size, num_values = config.model.image_size, sum(schema.cardinalities)
        # An InstanceNorm of a single pixel is nothing but its shift.
        halved(size, self.settings.num_downsamples, "baselines.stargan.num_downsamples", smallest=2)
        side = halved(size, self.settings.critic_layers, "baselines.stargan.critic_layers")
        self.generator = Generator(self.settings, num_values)
        self.critic = Critic(self.settings, num_values, side)

    def goals(self) -> Sequence[Goal]:
        """Return the critic's goal and, every few steps, the generator's."""
        return (
            Goal("critic", self.critic_loss, {"critic": self.critic}, draw=draw_mixes),
            Goal(
                "generator",
                self.generator_loss,
                {"generator": self.generator},
                self.settings.critics_per_generator,
                draw_order,
            ),
        )

    def method(self, device: torch.device | str = "cpu") -> "StarGanMethod":
        """Return the method that edits with these weights; moves them to the device, into eval mode."""
        return StarGanMethod(self.to(device).eval(), device)

    def critic_loss(self, samples: Samples, draws: Mixes) -> Terms:
        """Return WGAN-GP's loss and the cross-entropy of true pictures' values."""
        images, labels, targets = self._batch(samples, draws.order)
        with torch.no_grad():
            fakes = self.generator(images, self.one_hots(targets))
        scores, logits = self.critic(images)
        distance = scores.mean() - self.critic(fakes)[0].mean()
        penalty = gradient_penalty(lambda between: self.critic(between)[0], images, fakes, draws.mix)
        values = class_loss(logits, labels, self.schema.cardinalities)
        loss = -distance + self.settings.lambda_penalty * penalty + self.settings.lambda_class * values
        terms = {"critic_distance": distance, "critic_penalty": penalty, "critic_class": values}
        return loss, {name: term.detach() for name, term in terms.items()}

    def generator_loss(self, samples: Samples, order: Int64[Tensor, " batch"]) -> Terms:
        """Return what the critic thinks of the fakes, their distance from the target, and the way back (L1)."""
        images, labels, targets = self._batch(samples, order)
        fakes = self.generator(images, self.one_hots(targets))
        with held_still(self.critic):
            scores, logits = self.critic(fakes)
        adversarial = -scores.mean()
        values = class_loss(logits, targets, self.schema.cardinalities)
        cycle = F.l1_loss(self.generator(fakes, self.one_hots(labels)), images)
        loss = adversarial + self.settings.lambda_class * values + self.settings.lambda_cycle * cycle
        terms = {"generator_adversarial": adversarial, "generator_class": values, "generator_cycle": cycle}
        return loss, {name: term.detach() for name, term in terms.items()}

    def one_hots(self, labels: Int64[Tensor, "batch attributes"]) -> Float[Tensor, "batch values"]:
        """Return labels as the generator is told them."""
        return one_hots(labels, self.schema.cardinalities)

    def read_labels(self, images: Float[Tensor, "batch 3 height width"]) -> Int64[Tensor, "batch attributes"]:
        """Return the values that the critic's class head reads."""
        _, logits = self.critic(images)
        split = logits.split(list(self.schema.cardinalities), dim=1)
        return torch.stack([each.argmax(dim=1) for each in split], dim=1)

    def _batch(
        self, samples: Samples, order: Int64[Tensor, " batch"]
    ) -> tuple[
        Float[Tensor, "batch 3 height width"], Int64[Tensor, "batch attributes"], Int64[Tensor, "batch attributes"]
    ]:
        """Return images, their labels, and as targets the labels of others of the batch."""
        images, labels = samples.images.flatten(0, 1), samples.labels.flatten(0, 1)
        return images, labels, labels[order]


class StarGanMethod(PictureMethod):
    """Edits with a trained StarGAN: an attribute's part is the one-hot of its value, as the class head reads it."""

    def __init__(self, model: StarGan, device: torch.device | str) -> None:
        super().__init__(model.schema, model.config.model.image_size, model.schema.cardinalities, device)
        self.model = model

    def read(self, images: Images) -> Parts:
        """Return the one-hots of the values that pictures show."""
        return self.model.one_hots(self.model.read_labels(images))

    def render(self, images: Images, parts: Parts) -> Images:
        """Return the pictures under other values."""
        result: Tensor = self.model.generator(images, parts)
        return result
