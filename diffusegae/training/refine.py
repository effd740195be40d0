"""Stage 2, refining: the GAE on GROUPs of latents, by L_dis (paper, section 3.3, Eq. 11)."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae.config.training import RefineConfig
from diffusegae.losses.disentangle import (
    GroupDraws,
    disentanglement_loss,
    draw_groups,
    draw_sources,
    own_partners,
    part_ratios,
)
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.models.parts import GroupLayout, group_layout, reassemble_centre
from diffusegae.schema import AttributeSchema
from diffusegae.training.stages import Batch, Objective, ObjectiveModule, Stage, StageInputs


class DisentangleObjective(ObjectiveModule):
    """L_dis of GROUPs of stored latents, and two terms that are not the paper's, whose weights rise from 0.

    At their whole weight from the start they outweigh L_r and L_ss, and keep the GAE from learning what tells images
    apart: noise makes shared parts disagree, and a decoder that is straight is linear.
    """

    def __init__(self, model: DiffuseGAE, layout: GroupLayout, config: RefineConfig) -> None:
        super().__init__()
        self.gae, self.normaliser = model.gae, model.normaliser
        self.layout, self.config = layout, config

    def draw(self, batch: Batch, generator: torch.Generator) -> GroupDraws:
        """Draw donors, sources and ways of each GROUP."""
        return draw_groups(len(batch), self.layout, self.config.donors, generator)

    def forward(self, batch: Batch, draws: GroupDraws) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return L_dis of a batch of latents [groups, members, z_sem]."""
        z = self.normaliser.normalise(batch.flatten(0, 1)).unflatten(0, batch.shape[:2])
        gae, config = self.gae, self.config
        terms = disentanglement_loss(gae.encode, gae.decode, z, self.layout, draws, with_bend=config.lambda_bend > 0)
        rising = (weight * self.progress for weight in (config.lambda_agree, config.lambda_bend))
        loss = terms.total(config.lambda_ss, config.lambda_ur, *rising)
        return loss, {"dis": loss.detach(), **terms.named()}


def monitor_codes(
    model: DiffuseGAE, z_sem: Float[Tensor, "groups members z_sem"], schema: AttributeSchema, layout: GroupLayout
) -> dict[str, float]:
    """Return, on held-out GROUPs, how far the centre rebuilt from partners is from the centre, over that of a stranger.

    Also how close a partner's shared part is to the centre's, over the distance of unshared parts: 0 is ideal, 1 blind.
    """
    groups, members, _ = z_sem.shape
    z = model.normaliser.normalise(z_sem.flatten(0, 1)).unflatten(0, (groups, members))
    z_dis = model.gae.encode(z.flatten(0, 1)).unflatten(0, (groups, members))
    sources = draw_sources(groups, layout, torch.Generator().manual_seed(0)).to(z_dis.device)
    decoded = model.gae.decode(reassemble_centre(z_dis, layout, sources))
    own, stranger = (decoded - z[:, 0]).abs().mean(), (decoded.roll(1, 0) - z[:, 0]).abs().mean()
    ratios = zip(schema.names, part_ratios(z_dis, layout, own_partners(z)).tolist(), strict=True)
    return {"rebuilt_ratio": float(own / stranger), **{f"part_ratio/{name}": ratio for name, ratio in ratios}}


def build_refine(inputs: StageInputs) -> Stage[DiffuseGAE]:
    """Return stage 2: the GAE trains on stored latents; the normaliser takes their statistics."""
    config, model = inputs.config, inputs.build_model(new_gae=True)
    if inputs.latent_mean is not None and inputs.latent_covariance is not None:
        model.normaliser.fit(inputs.latent_mean, inputs.latent_covariance, config.refine.whitening_power)
    stage = config.refine
    layout = group_layout(inputs.schema, stage.shared)
    objective = DisentangleObjective(model, layout, stage)

    def monitor(ema: DiffuseGAE, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        return monitor_codes(ema, batch, inputs.schema, layout)

    return Stage(
        name="refine",
        config=stage,
        model=model,
        objectives=[Objective("dis", objective, {"gae": model.gae})],
        monitor=monitor,
        paint=None,
        frozen=[model.encoder, model.unet],
    )
