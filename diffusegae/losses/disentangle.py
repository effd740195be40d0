"""L_dis (Eqs. 10 and 11) as functions of tensors: L_r, L_ss and L_ur of GROUPs, of latents or of images.

A GROUP of codes is [groups, 1 + subsets, width]: the centre, then one partner per subset of attributes that it shares
with the centre. All of L_dis is L1, averaged over elements and summed over the terms of a GROUP, as the authors do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from diffusegae.editing.operations import recombine_rows
from diffusegae.schema import AttributeSchema

Codec = Callable[[Tensor], Tensor]
Subsets = Sequence[tuple[int, ...]]
STRIDE = 0.1  # of a way, over which its velocity is taken


@dataclass(frozen=True)
class GroupLayout:
    """Which parts of z_dis the members of a GROUP share: the schema's slices and the partners' attribute subsets."""

    parts: tuple[slice, ...]
    subsets: tuple[tuple[int, ...], ...]

    @property
    def num_members(self) -> int:
        """Centre and partners."""
        return 1 + len(self.subsets)

    def reassembly_sources(self) -> list[list[int]]:
        """Return, per attribute, the members (never the centre) that share its value with the centre."""
        return [[1 + i for i, subset in enumerate(self.subsets) if j in subset] for j in range(len(self.parts))]


def swap_with_centre(
    z_dis: Float[Tensor, "groups members z_dis"], layout: GroupLayout
) -> tuple[Float[Tensor, "groups subsets z_dis"], Float[Tensor, "groups subsets z_dis"]]:
    """Swap the shared parts of each partner with the centre's; return the centres' and the partners' new codes."""
    partners = z_dis[:, 1:].clone()
    centres = z_dis[:, :1].repeat(1, len(layout.subsets), 1)
    for i, subset in enumerate(layout.subsets):
        for j in subset:
            part = layout.parts[j]
            centres[:, i, part], partners[:, i, part] = z_dis[:, 1 + i, part], z_dis[:, 0, part]
    return centres, partners


def reassemble_centre(
    z_dis: Float[Tensor, "groups members z_dis"], layout: GroupLayout, generator: torch.Generator
) -> Float[Tensor, "groups z_dis"]:
    """Build the centre's code from partners alone, each part from one (drawn if several do) that shares it."""
    columns = []
    for part, sources in zip(layout.parts, layout.reassembly_sources(), strict=True):
        chosen = torch.randint(0, len(sources), (len(z_dis),), generator=generator)
        members = torch.tensor(sources)[chosen].to(z_dis.device)
        columns.append(z_dis[torch.arange(len(z_dis), device=z_dis.device), members, part])
    return torch.cat(columns, dim=1)


def shared_part_distance(z_dis: Float[Tensor, "groups members z_dis"], layout: GroupLayout) -> Float[Tensor, ""]:
    """Return how far apart shared parts are (L1), over how far apart unshared ones are, summed over attributes.

    L_ss only asks that swapped codes decode alike, which leaves a part free to carry, faintly, what it should not; a
    probe finds it. Images that share an attribute should have the same part, so this asks for just that. As a ratio
    it can't be lowered by shrinking what tells the values apart: 0 is ideal, 1 is blind.
    """
    return part_ratios(z_dis, layout).sum()


def part_ratios(z_dis: Float[Tensor, "groups members z_dis"], layout: GroupLayout) -> Float[Tensor, " parts"]:
    """Return, per part, its distance from the centre's in partners that share it, over that in those that don't."""
    distance = (z_dis[:, 1:] - z_dis[:, :1]).abs()
    ratios = []
    for j, part in enumerate(layout.parts):
        sharing = torch.tensor([j in subset for subset in layout.subsets], device=z_dis.device)
        per_partner = distance[..., part].mean(dim=(0, 2))
        ratios.append(per_partner[sharing].mean() / per_partner[~sharing].mean().clamp_min(1e-6))
    return torch.stack(ratios)


def draw_donors(
    groups: int, layout: GroupLayout, donors: str, generator: torch.Generator
) -> Int64[Tensor, "groups parts"]:
    """Draw whose parts make up z_u (Eq. 10): rows of the flat [groups x members] batch, one per part.

    'group': the parts come from different members of the same GROUP; 'batch': from any rows of the batch.
    """
    members, parts = layout.num_members, len(layout.parts)
    if donors == "batch":
        return torch.randint(0, groups * members, (groups, parts), generator=generator)
    order = torch.rand(groups, members, generator=generator).argsort(dim=1)[:, :parts]
    return order + torch.arange(groups)[:, None] * members


def group_layout(schema: AttributeSchema, shared: int) -> GroupLayout:
    """Return the layout of GROUP(C, shared): one partner per subset of `shared` attributes, in lexical order."""
    return GroupLayout(schema.slices, tuple(combinations(range(len(schema.names)), shared)))


def path_bend(
    decode: Codec,
    codes: Float[Tensor, "rows z_dis"],
    decoded: Float[Tensor, "rows z"],
    count: int,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Return how far the decoder's velocity along a way between two codes is from the chord's, squared; 0 if straight.

    `count` ways between random rows are drawn, and a place on each. Perceptual path length (section 4.4) is a squared
    velocity, too, and among the ways between two ends the one of constant velocity has the least; L_dis knows ends
    alone, and leaves it to the decoder to jump from one to the other.
    """
    starts, ends = torch.randint(0, len(codes), (2, count), generator=generator).to(codes.device)
    places = (1 - STRIDE) * torch.rand(count, 1, generator=generator).to(codes.device)
    here, there = (codes[starts] + at * (codes[ends] - codes[starts]) for at in (places, places + STRIDE))
    before, after = decode(torch.cat([here, there])).chunk(2)
    return F.mse_loss((after - before) / STRIDE, decoded[ends] - decoded[starts])


@dataclass(frozen=True)
class Disentanglement:
    """L_dis' three terms; how far shared parts are apart and how bent ways between codes are (not the paper's)."""

    reconstruction: Float[Tensor, ""]
    swap: Float[Tensor, ""]
    reassembly: Float[Tensor, ""]
    agreement: Float[Tensor, ""]
    bend: Float[Tensor, ""] | None = None

    def total(
        self, lambda_ss: float, lambda_ur: float, lambda_agree: float | Tensor = 0.0, lambda_bend: float | Tensor = 0.0
    ) -> Float[Tensor, ""]:
        """Return L_dis = L_r + lambda_ss L_ss + lambda_ur L_ur (Eq. 11), plus the other terms that have weight."""
        total = self.reconstruction + lambda_ss * self.swap + lambda_ur * self.reassembly
        total = total + lambda_agree * self.agreement
        return total if self.bend is None else total + lambda_bend * self.bend

    def named(self) -> dict[str, Tensor]:
        """Return the terms that were computed, without gradients, to be reported."""
        return {name: term.detach() for name, term in vars(self).items() if term is not None}


def disentanglement_loss(
    encode: Codec,
    decode: Codec,
    z: Float[Tensor, "groups members *shape"],
    layout: GroupLayout,
    donors: Int64[Tensor, "groups parts"],
    generator: torch.Generator,
    target: Float[Tensor, "groups members *shape"] | None = None,
    with_bend: bool = False,
) -> Disentanglement:
    """Return L_r, L_ss and L_ur of GROUPs of normalised latents; `target` (default z) is what decoding must return.

    GZS-Net's are the same of images, which `encode` and `decode` then take and give. L_ss has 2 terms per partner
    (both sides of the swap) and one for the centre rebuilt from its partners. `with_bend` follows one
    way between codes per GROUP.
    """
    goal = z if target is None else target
    groups, members = z.shape[:2]
    z_dis = encode(z.flatten(0, 1)).unflatten(0, (groups, members))
    centres, partners = swap_with_centre(z_dis, layout)
    rebuilt = reassemble_centre(z_dis, layout, generator)[:, None]
    z_u = recombine_rows(z_dis.flatten(0, 1), donors.to(z.device), layout.parts)
    codes = torch.cat([z_dis, centres, partners, rebuilt, z_u[:, None]], dim=1)
    flat = decode(codes.flatten(0, 1))
    decoded = flat.unflatten(0, (groups, codes.shape[1]))
    supervised = torch.cat([goal[:, :1].expand_as(goal[:, 1:]), goal[:, 1:], goal[:, :1]], dim=1)
    z_u_hat = encode(decoded[:, -1])
    return Disentanglement(
        reconstruction=_summed_l1(decoded[:, :members], goal),
        swap=_summed_l1(decoded[:, members:-1], supervised),
        reassembly=F.l1_loss(z_u_hat, z_u),
        agreement=shared_part_distance(z_dis, layout),
        bend=path_bend(decode, codes.flatten(0, 1), flat, groups, generator) if with_bend else None,
    )


def _summed_l1(a: Float[Tensor, "groups terms *shape"], b: Float[Tensor, "groups terms *shape"]) -> Float[Tensor, ""]:
    return F.l1_loss(a, b) * a.shape[1]
