"""The algebra of z_dis: replace, recombine, interpolate, swap and reassemble parts; pure functions, nothing learned.

A code is [batch, z_dis]; its parts are the schema's slices. Members of a GROUP lie along axis 1: centre first, then the
partners in the order of the attribute subsets that they share with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from diffusegae.schema import AttributeSchema


def replace_parts(
    source: Float[Tensor, "batch z_dis"], donor: Float[Tensor, "batch z_dis"], parts: Sequence[slice]
) -> Float[Tensor, "batch z_dis"]:
    """Return the source's codes with the given parts taken from the donor (replacement, Fig. 6)."""
    result = source.clone()
    for part in parts:
        result[:, part] = donor[:, part]
    return result


def recombine(donors: Sequence[Float[Tensor, "batch z_dis"]], parts: Sequence[slice]) -> Float[Tensor, "batch z_dis"]:
    """Return codes whose j-th part comes from the j-th donor (recombination, Fig. 7)."""
    return torch.cat([donor[:, part] for donor, part in zip(donors, parts, strict=True)], dim=1)


def recombine_rows(
    z_dis: Float[Tensor, "batch z_dis"], rows: Int64[Tensor, "count parts"], parts: Sequence[slice]
) -> Float[Tensor, "count z_dis"]:
    """Return codes whose j-th part is that of row `rows[:, j]` of the batch."""
    return torch.cat([z_dis[rows[:, j], part] for j, part in enumerate(parts)], dim=1)


def interpolate_parts(
    source: Float[Tensor, "batch z_dis"],
    target: Float[Tensor, "batch z_dis"],
    alpha: float,
    parts: Sequence[slice],
) -> Float[Tensor, "batch z_dis"]:
    """Return Lerp(source, target; alpha) in the given parts; the others stay the source's (Figs 8 and 9)."""
    result = source.clone()
    for part in parts:
        result[:, part] = torch.lerp(source[:, part], target[:, part], alpha)
    return result


@dataclass(frozen=True)
class GroupLayout:
    """Which parts of z_dis the members of a GROUP share: the schema's slices and the partners' attribute subsets."""

    parts: tuple[slice, ...]
    subsets: tuple[tuple[int, ...], ...]

    @property
    def num_members(self) -> int:
        """Centre and partners."""
        return 1 + len(self.subsets)

    @property
    def num_codes(self) -> int:
        """Codes that L_dis decodes per GROUP: the members', both sides of each swap, the rebuilt centre's and z_u."""
        return self.num_members + 2 * len(self.subsets) + 2

    def reassembly_sources(self) -> list[list[int]]:
        """Return, per attribute, the members (never the centre) that share its value with the centre."""
        return [[1 + i for i, subset in enumerate(self.subsets) if j in subset] for j in range(len(self.parts))]


def group_layout(schema: AttributeSchema, shared: int) -> GroupLayout:
    """Return the layout of GROUP(C, shared): one partner per subset of `shared` attributes, in lexical order."""
    return GroupLayout(schema.slices, tuple(combinations(range(len(schema.names)), shared)))


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
    z_dis: Float[Tensor, "groups members z_dis"], layout: GroupLayout, sources: Int64[Tensor, "groups parts"]
) -> Float[Tensor, "groups z_dis"]:
    """Build the centre's code from partners alone, each part from the member that `draw_sources` named."""
    rows = torch.arange(len(z_dis), device=z_dis.device)
    return torch.cat([z_dis[rows, sources[:, j], part] for j, part in enumerate(layout.parts)], dim=1)
