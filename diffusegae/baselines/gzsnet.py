"""GZS-Net: L_dis of GROUPs of images, the parts of their codes swapped and decoded (Ge et al., ICLR 2021).

Our GAE's loss is its, so the two differ in what it is minimised on: pixels here, latents there. `lambda_agree` and
`quantise_step` add what our GAE has beyond it, the agreement of shared parts and rounded codes; 0 as published.
"""

from collections.abc import Sequence

import torch

from diffusegae.baselines.baseline import Baseline, Goal, Samples, Terms
from diffusegae.baselines.pixel_autoencoder import PixelAutoEncoder
from diffusegae.baselines.pixel_method import PixelAutoEncoderMethod
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.losses.disentangle import GroupDraws, disentanglement_loss, draw_groups
from diffusegae.models.parts import group_layout
from diffusegae.schema import AttributeSchema


class GzsNet(Baseline):
    """The auto-encoder of pixels, trained on GROUPs."""

    def __init__(self, config: PipelineConfig, schema: AttributeSchema) -> None:
        super().__init__(config, schema)
        self.settings = config.baselines.gzsnet
        self.layout = group_layout(schema, self.settings.shared)
        self.autoencoder = PixelAutoEncoder(self.settings, config.model.image_size, schema.widths)

    def goals(self) -> Sequence[Goal]:
        """Return the one goal."""
        return [Goal("gzs", self.loss, {"autoencoder": self.autoencoder}, draw=self.draw)]

    def method(self, device: torch.device | str = "cpu") -> PixelAutoEncoderMethod:
        """Return the method that edits with these weights."""
        image_size = self.config.model.image_size
        return PixelAutoEncoderMethod(self.to(device).eval().autoencoder, self.schema, image_size, device)

    def draw(self, samples: Samples, generator: torch.Generator) -> GroupDraws:
        """Draw donors and sources of each GROUP."""
        return draw_groups(len(samples), self.layout, "group", generator)

    def loss(self, samples: Samples, draws: GroupDraws) -> Terms:
        """Return reconstruction, swaps and, if they have weight, a random recombination's cycle and the agreement."""
        settings, codec = self.settings, self.autoencoder
        terms = disentanglement_loss(codec.encode, codec.decode, samples.images, self.layout, draws)
        loss = terms.reconstruction + settings.lambda_combine * terms.swap
        if settings.lambda_unsup > 0:  # at zero, the published default, its backward would only add zeros
            loss = loss + settings.lambda_unsup * terms.reassembly
        if settings.lambda_agree > 0:
            loss = loss + settings.lambda_agree * terms.agreement
        return loss, terms.named()
