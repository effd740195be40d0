"""Stage 3, fine-tuning: encoder, GAE and UNet end to end on GROUPs of images, by L_simple + gamma L_dis (Eq. 12).

The UNet is conditioned on what comes out of the GAE, so the gap between z_sem and its reconstruction closes. With
`condition: reassembled` it is conditioned on codes whose shared parts were swapped between centre and partners, or all
brought together from the partners: a member must then be denoised from parts that other images supplied, which is what
editing asks of the model.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import FinetuneConfig
from diffusegae.diffusion.process import PredictionKind
from diffusegae.diffusion.schedule import Schedule, schedule_of
from diffusegae.images import label_grid, make_grid
from diffusegae.losses.disentangle import GroupDraws, disentanglement_loss, draw_groups, draw_sources, own_partners
from diffusegae.losses.simple import NoisyBatch, denoising_loss, draw_noise
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.models.parts import GroupLayout, group_layout, reassemble_centre, swap_with_centre
from diffusegae.pixels import to_pixels
from diffusegae.training.pretrain import PICTURE_STEPS, decode_latents, shuffle_ratio
from diffusegae.training.refine import monitor_codes
from diffusegae.training.stages import Batch, Objective, ObjectiveModule, Stage, StageInputs

MONITOR_GROUPS, PICTURE_GROUPS = 64, 8


class JointDraws(NamedTuple):
    """What chance decides of a batch in stage 3; `condition` names the members whose parts condition the centre."""

    noisy: NoisyBatch
    condition: Int64[Tensor, "groups parts"] | None
    groups: GroupDraws


class JointObjective(ObjectiveModule):
    """L_simple on all members of GROUPs, under conditions that passed through the GAE, plus gamma L_dis."""

    def __init__(
        self,
        model: DiffuseGAE,
        layout: GroupLayout,
        schedule: Schedule,
        kind: PredictionKind,
        config: FinetuneConfig,
    ) -> None:
        super().__init__()
        self.model, self.layout = model, layout
        self.schedule, self.kind, self.config = schedule, kind, config

    def draw(self, batch: Batch, generator: torch.Generator) -> JointDraws:
        """Draw t and eps of each image, and what L_dis leaves to chance of each GROUP."""
        groups, config, layout = len(batch), self.config, self.layout
        noisy = draw_noise(batch.flatten(0, 1), self.schedule, self.kind, generator)
        is_reassembled = config.condition == "reassembled"
        condition = draw_sources(groups, layout, generator) if is_reassembled else None
        return JointDraws(noisy, condition, draw_groups(groups, layout, config.donors, generator))

    def forward(self, batch: Batch, draws: JointDraws) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return L of a batch of images [groups, members, 3, h, w]."""
        config, gae, x_0 = self.config, self.model.gae, batch.flatten(0, 1)
        z_sem = self.model.encode(x_0)
        with torch.autocast(x_0.device.type, enabled=False):  # the small GAE's gradients drown in bfloat16's rounding
            z = self.model.normaliser.normalise(z_sem.float()).unflatten(0, batch.shape[:2])
            z_hat = self.model.normaliser.denormalise(gae.decode(self._condition(z, draws.condition)))
        denoising, reported = denoising_loss(self.model.unet, x_0, draws.noisy, z_hat, config.lambda_canvas)
        if config.gamma == 0:
            return denoising, reported
        target = z.detach() if config.detach_target else None
        with torch.autocast(x_0.device.type, enabled=False):
            with_bend, own = config.lambda_bend > 0, own_partners(batch)
            terms = disentanglement_loss(gae.encode, gae.decode, z, self.layout, draws.groups, target, with_bend, own)
        dis = terms.total(config.lambda_ss, config.lambda_ur, config.lambda_agree, config.lambda_bend)
        return denoising + config.gamma * dis, {**reported, "dis": dis.detach()}

    def _condition(
        self, z: Float[Tensor, "groups members z_sem"], sources: Int64[Tensor, "groups parts"] | None
    ) -> Float[Tensor, "rows z_dis"]:
        """Return the codes that condition the UNet, one per member: its own, or reassembled from the sources."""
        flat: Tensor = self.model.gae.encode(z.flatten(0, 1))
        if sources is None:
            return flat
        z_dis = flat.unflatten(0, z.shape[:2])
        centre = reassemble_centre(z_dis, self.layout, sources)[:, None]
        _, partners = swap_with_centre(z_dis, self.layout)
        return torch.cat([centre, partners], dim=1).flatten(0, 1)


def paint_recombinations(
    model: DiffuseGAE, batch: Batch, layout: GroupLayout, config: PipelineConfig
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw held-out GROUPs: centre, partners, and the centre rebuilt from its partners' parts with fixed x_T."""
    images = batch[:PICTURE_GROUPS]
    groups, members = images.shape[:2]
    z_dis = model.disentangle(model.encode(images.flatten(0, 1))).unflatten(0, (groups, members))
    sources = draw_sources(groups, layout, torch.Generator().manual_seed(0)).to(z_dis.device)
    codes = reassemble_centre(z_dis, layout, sources)
    rebuilt = decode_latents(model, model.entangle(codes), config, PICTURE_STEPS)
    columns = torch.cat([images, rebuilt[:, None]], dim=1)
    grid = make_grid(to_pixels(columns.flatten(0, 1)), members + 1, scale=max(1, 96 // config.model.image_size))
    return label_grid(grid, ["centre", *["partner"] * (members - 1), "rebuilt"])


def build_finetune(inputs: StageInputs) -> Stage[DiffuseGAE]:
    """Return stage 3; the parts that the config does not name are frozen."""
    config, model, stage = inputs.config, inputs.build_model(), inputs.config.finetune
    layout = group_layout(inputs.schema, stage.shared)
    objective = JointObjective(model, layout, schedule_of(config.diffusion), config.diffusion.prediction, stage)
    factors: dict[str, float] = {part: factor for part, factor in stage.rate_factors.items()}
    parts: dict[str, nn.Module] = {"encoder": model.encoder, "gae": model.gae, "unet": model.unet}

    def monitor(ema: DiffuseGAE, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        images = batch[:MONITOR_GROUPS]
        z_sem = ema.encode(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return {
            **monitor_codes(ema, z_sem, inputs.schema, layout),
            **shuffle_ratio(ema, images[:, 0], config, generator),
        }

    return Stage(
        name="finetune",
        config=stage,
        model=model,
        objectives=[Objective("joint", objective, {name: parts[name] for name in stage.train}, rate_factors=factors)],
        monitor=monitor,
        paint=lambda ema, batch: paint_recombinations(ema, batch, layout, config),
        frozen=[part for name, part in parts.items() if name not in stage.train],
    )
