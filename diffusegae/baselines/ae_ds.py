"""AE+DS: GZS-Net's auto-encoder of pixels without swaps, each part of the code supervised by its label directly.

The published head of a part is three linear layers with nothing between them (facts §5): a linear probe, trained
together with the code that it reads. Editing does without the heads.

`lambda_agree` and `quantise_step` add what our GAE has beyond L_dis, the agreement of shared parts and rounded codes;
both are 0 as published. There are no GROUPs here, so agreement is asked of all pairs in a batch (`batch_agreement`).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.baselines.baseline import Baseline, Goal, Samples, Terms
from diffusegae.baselines.pixel_autoencoder import PixelAutoEncoder
from diffusegae.baselines.pixel_method import PixelAutoEncoderMethod
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.schema import AttributeSchema


class AeDs(Baseline):
    """The auto-encoder of pixels and one linear head per attribute."""

    reads_names = True

    def __init__(self, config: PipelineConfig, schema: AttributeSchema) -> None:
        super().__init__(config, schema)
        self.settings = config.baselines.ae_ds
        self.autoencoder = PixelAutoEncoder(self.settings, config.model.image_size, schema.widths)
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
        """Return the reconstruction's L1, the attributes' cross-entropies and the agreement, if it has weight."""
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
        loss = reconstruction + self.settings.lambda_labels * entropy
        if self.settings.lambda_agree > 0:
            agreement = batch_agreement(codes, labels, self.schema.slices)
            loss, terms["agreement"] = loss + self.settings.lambda_agree * agreement, agreement.detach()
        return loss, terms


def batch_agreement(
    codes: Float[Tensor, "batch code"], labels: Int64[Tensor, "batch attributes"], parts: Sequence[slice]
) -> Float[Tensor, ""]:
    """Return L_agree without GROUPs, summed over attributes: 0 is ideal, 1 per attribute is blind.

    The parts' distance (L1) in pairs of the batch that share the attribute's value, over that in pairs that don't. An
    attribute that no pair shares, or every pair, says nothing and counts 0.
    """
    other = ~torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    ratios = []
    for j, part in enumerate(parts):
        distance = torch.cdist(codes[:, part].float(), codes[:, part].float(), p=1)
        same = labels[:, j, None] == labels[:, j]
        sharing, differing = same & other, ~same
        near = (distance * sharing).sum() / sharing.sum().clamp_min(1)
        far = (distance * differing).sum() / differing.sum().clamp_min(1)
        ratios.append(torch.where(differing.any(), near / far.clamp_min(1e-6), 0.0))
    return torch.stack(ratios).sum()


def _head(width: int, cardinality: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, 2 * width), nn.Linear(2 * width, 2 * cardinality), nn.Linear(2 * cardinality, cardinality)
    )
