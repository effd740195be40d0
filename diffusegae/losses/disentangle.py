"""L_dis (Eqs. 10 and 11) as functions of tensors: L_r, L_ss and L_ur of GROUPs, of latents or of images.

A GROUP of codes is [groups, 1 + subsets, width]: the centre, then one partner per subset of attributes that it shares
with the centre. All of L_dis is L1, averaged over elements and summed over the terms of a GROUP, as the authors do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from diffusegae.models.parts import GroupLayout, reassemble_centre, recombine_rows, swap_with_centre

Codec = Callable[[Tensor], Tensor]
Subsets = Sequence[tuple[int, ...]]
STRIDE = 0.1  # of a way, over which its velocity is taken


def draw_sources(groups: int, layout: GroupLayout, generator: torch.Generator) -> Int64[Tensor, "groups parts"]:
    """Draw which member supplies each part of the rebuilt centre: a partner that shares it, any where several do."""
    device, columns = generator.device, []
    for sources in layout.reassembly_sources():
        chosen = torch.randint(0, len(sources), (groups,), generator=generator, device=device)
        columns.append(torch.tensor(sources, device=device)[chosen])
    return torch.stack(columns, dim=1)


def own_partners(z: Float[Tensor, "groups members *shape"]) -> Bool[Tensor, "groups subsets"]:
    """Tell which partners are the centre itself, as those are whose centre lacks the label to be shared."""
    return (z[:, 1:] == z[:, :1]).flatten(2).all(dim=2)


def shared_part_distance(
    z_dis: Float[Tensor, "groups members z_dis"], layout: GroupLayout, own: Bool[Tensor, "groups subsets"]
) -> Float[Tensor, ""]:
    """Return how far apart shared parts are (L1), over how far apart unshared ones are, summed over attributes.

    L_ss only asks that swapped codes decode alike, which leaves a part free to carry, faintly, what it should not; a
    probe finds it. Images that share an attribute should have the same part, so this asks for just that. As a ratio
    it can't be lowered by shrinking what tells the values apart: 0 is ideal, 1 is blind.
    """
    return part_ratios(z_dis, layout, own).sum()


def part_ratios(
    z_dis: Float[Tensor, "groups members z_dis"], layout: GroupLayout, own: Bool[Tensor, "groups subsets"]
) -> Float[Tensor, " parts"]:
    """Return, per part, its distance from the centre's in partners that share it, over that in those that don't.

    Partners that are the centre itself (`own`) don't count.
    """
    counted = (~own).to(z_dis.dtype)[:, :, None]
    shares = counted.mean(dim=(0, 2)).clamp_min(1e-6)
    distance = (z_dis[:, 1:] - z_dis[:, :1]).abs() * counted
    ratios = []
    for j, part in enumerate(layout.parts):
        sharing = [i for i, subset in enumerate(layout.subsets) if j in subset]
        others = [i for i, subset in enumerate(layout.subsets) if j not in subset]
        per_partner = distance[..., part].mean(dim=(0, 2)) / shares
        ratios.append(per_partner[sharing].mean() / per_partner[others].mean().clamp_min(1e-6))
    return torch.stack(ratios)


def draw_donors(
    groups: int, layout: GroupLayout, donors: str, generator: torch.Generator
) -> Int64[Tensor, "groups parts"]:
    """Draw whose parts make up z_u (Eq. 10): rows of the flat [groups x members] batch, one per part.

    'group': the parts come from different members of the same GROUP; 'batch': from any rows of the batch.
    """
    members, parts, device = layout.num_members, len(layout.parts), generator.device
    if donors == "batch":
        return torch.randint(0, groups * members, (groups, parts), generator=generator, device=device)
    order = torch.rand(groups, members, generator=generator, device=device).argsort(dim=1)[:, :parts]
    return order + torch.arange(groups, device=device)[:, None] * members


class Ways(NamedTuple):
    """Ways between codes, drawn for `path_bend`: the rows at their two ends, and a place on each, in [0, .9)."""

    ends: Int64[Tensor, "2 count"]
    places: Float[Tensor, "count 1"]


def draw_ways(codes: int, count: int, generator: torch.Generator) -> Ways:
    """Draw `count` ways between random rows of so many codes."""
    ends = torch.randint(0, codes, (2, count), generator=generator, device=generator.device)
    return Ways(ends, (1 - STRIDE) * torch.rand(count, 1, generator=generator, device=generator.device))


class GroupDraws(NamedTuple):
    """What chance decides of L_dis: z_u's donors, the rebuilt centre's sources, and the ways that are followed."""

    donors: Int64[Tensor, "groups parts"]
    sources: Int64[Tensor, "groups parts"]
    ways: Ways


def draw_groups(groups: int, layout: GroupLayout, donors: str, generator: torch.Generator) -> GroupDraws:
    """Draw what chance decides of L_dis of so many GROUPs, one way for each."""
    return GroupDraws(
        draw_donors(groups, layout, donors, generator),
        draw_sources(groups, layout, generator),
        draw_ways(groups * layout.num_codes, groups, generator),
    )


def path_bend(
    decode: Codec,
    codes: Float[Tensor, "rows z_dis"],
    decoded: Float[Tensor, "rows z"],
    ways: Ways,
) -> Float[Tensor, ""]:
    """Return how far the decoder's velocity along a way between two codes is from the chord's, squared; 0 if straight.

    Perceptual path length (section 4.4) is a squared velocity, too, and among the ways between two ends the one of
    constant velocity has the least; L_dis knows ends alone, and leaves it to the decoder to jump from one to the other.
    """
    starts, ends = ways.ends
    places = (ways.places, ways.places + STRIDE)
    here, there = (codes[starts] + at * (codes[ends] - codes[starts]) for at in places)
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
        terms = {
            "reconstruction": self.reconstruction,
            "swap": self.swap,
            "reassembly": self.reassembly,
            "agreement": self.agreement,
            "bend": self.bend,
        }  # not vars(self), which torch 2.11 does not compile
        return {name: term.detach() for name, term in terms.items() if term is not None}


def disentanglement_loss(
    encode: Codec,
    decode: Codec,
    z: Float[Tensor, "groups members *shape"],
    layout: GroupLayout,
    draws: GroupDraws,
    target: Float[Tensor, "groups members *shape"] | None = None,
    with_bend: bool = False,
    own: Bool[Tensor, "groups subsets"] | None = None,
) -> Disentanglement:
    """Return L_r, L_ss and L_ur of GROUPs of normalised latents; `target` (default z) is what decoding must return.

    GZS-Net's are the same of images, which `encode` and `decode` then take and give. L_ss has 2 terms per partner
    (both sides of the swap) and one for the centre rebuilt from its partners. `with_bend` follows the
    ways that were drawn. `own` tells the partners that are the centre itself, by default those whose z is the centre's.
    """
    goal = z if target is None else target
    groups, members = z.shape[:2]
    z_dis = encode(z.flatten(0, 1)).unflatten(0, (groups, members))
    centres, partners = swap_with_centre(z_dis, layout)
    rebuilt = reassemble_centre(z_dis, layout, draws.sources)[:, None]
    z_u = recombine_rows(z_dis.flatten(0, 1), draws.donors, layout.parts)
    codes = torch.cat([z_dis, centres, partners, rebuilt, z_u[:, None]], dim=1)
    flat = decode(codes.flatten(0, 1))
    decoded = flat.unflatten(0, (groups, codes.shape[1]))
    supervised = torch.cat([goal[:, :1].expand_as(goal[:, 1:]), goal[:, 1:], goal[:, :1]], dim=1)
    z_u_hat = encode(decoded[:, -1])
    return Disentanglement(
        reconstruction=_summed_l1(decoded[:, :members], goal),
        swap=_summed_l1(decoded[:, members:-1], supervised),
        reassembly=F.l1_loss(z_u_hat, z_u),
        agreement=shared_part_distance(z_dis, layout, own_partners(z) if own is None else own),
        bend=path_bend(decode, codes.flatten(0, 1), flat, draws.ways) if with_bend else None,
    )


def _summed_l1(a: Float[Tensor, "groups terms *shape"], b: Float[Tensor, "groups terms *shape"]) -> Float[Tensor, ""]:
    return F.l1_loss(a, b) * a.shape[1]
