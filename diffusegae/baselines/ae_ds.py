"""AE+DS: GZS-Net's auto-encoder of pixels without swaps, each part of the code supervised by its label directly.

The published head of a part is three linear layers with nothing between them (facts §5): a linear probe, trained
together with the code that it reads. Editing does without the heads.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.baselines.baseline import Baseline, Goal, Samples, Terms
from diffusegae.baselines.pixel_autoencoder import PixelAutoEncoder
from diffusegae.baselines.pixel_method import PixelAutoEncoderMethod
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.schema import AttributeSchema


class AeDs(Baseline):
    """The auto-encoder of pixels and one linear head per attribute."""

    def __init__(self, config: PipelineConfig, schema: AttributeSchema) -> None:
        super().__init__(config, schema)
        self.settings = config.baselines.ae_ds
        self.autoencoder = PixelAutoEncoder(self.settings, config.model.image_size, schema.width)
        sizes = zip(schema.widths, schema.cardinalities, strict=True)
        self.heads = nn.ModuleList([_head(width, cardinality) for width, cardinality in sizes])

    def goals(self) -> Sequence[Goal]:
        """Return the one goal."""
        return [Goal("ae_ds", self.loss, {"autoencoder": self.autoencoder, "heads": self.heads})]

    def method(self, device: torch.device | str = "cpu") -> PixelAutoEncoderMethod:
        """Return the method that edits with these weights."""
        image_size = self.config.model.image_size
        return PixelAutoEncoderMethod(self.to(device).eval().autoencoder, self.schema, image_size, device)

    def classify(self, codes: Float[Tensor, "batch code"]) -> list[Float[Tensor, "batch _values"]]:
        """Return each attribute's logits, read from its own part."""
        return [head(codes[:, part]) for head, part in zip(self.heads, self.schema.slices, strict=True)]

    def loss(self, samples: Samples, draws: None) -> Terms:
        """Return the reconstruction's L1 and the attributes' cross-entropies, summed."""
        images, labels = samples.images.flatten(0, 1), samples.labels.flatten(0, 1)
        codes = self.autoencoder.encode(images)
        reconstruction = F.l1_loss(self.autoencoder.decode(codes), images)
        answers = list(zip(self.schema.names, self.classify(codes), labels.unbind(1), strict=True))
        entropy = torch.stack([F.cross_entropy(logits, truth) for _, logits, truth in answers]).sum()
        terms = {
            "reconstruction": reconstruction.detach(),
            "labels": entropy.detach(),
            **{f"accuracy/{name}": (logits.argmax(1) == truth).float().mean() for name, logits, truth in answers},
        }
        return reconstruction + self.settings.lambda_labels * entropy, terms


def _head(width: int, cardinality: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, 2 * width), nn.Linear(2 * width, 2 * cardinality), nn.Linear(2 * cardinality, cardinality)
    )
