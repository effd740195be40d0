"""GAE, the group-supervised auto-encoder: z_sem to z_dis, whose parts are the attributes, and back (Fig. 1b, facts §5).

Encoder: a square MLP block, four widening MLP blocks, the bottlenecks, and a two-layer projection to z_dis. The decoder
mirrors it, and its last block is a skip block, without which training is unstable (paper, section 3.4). It works on
normalised latents; `models/normaliser.py` is what normalises them.

A z_sem is nearly a sum over its attributes, and what tells a hundred backgrounds apart lies in its small directions,
which blocks of MLPs find last. `linear_paths` gives each side a linear map for the sum and leaves the blocks the rest.
What is no sum is a product: a turned vehicle is not a vehicle plus a turn. `Products` decodes by just that.
"""

import math
from collections.abc import Sequence
from itertools import combinations, pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.config.model import GaeConfig, ModelConfig
from diffusegae.models.layers import group_norm


def _norm(kind: str, width: int) -> nn.Module:
    return nn.LayerNorm(width) if kind == "layer" else group_norm(width)


class MlpBlock(nn.Module):
    """Linear, norm, SiLU and dropout, plus the input (projected when the width changes) unless it has no skip."""

    def __init__(self, inputs: int, outputs: int, config: GaeConfig, has_skip: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.norm = _norm(config.norm, outputs)
        self.dropout = nn.Dropout(config.dropout)
        projected: nn.Module = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()
        self.skip = projected if has_skip else None

    def forward(self, h: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Return the block's output."""
        result: Tensor = self.dropout(F.silu(self.norm(self.linear(h))))
        return result if self.skip is None else self.skip(h) + result


class BottleneckBlock(nn.Module):
    """Two linear layers with norms and SiLU between, plus the input, at constant width."""

    def __init__(self, width: int, config: GaeConfig) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.norm_first, self.norm_second = _norm(config.norm, width), _norm(config.norm, width)

    def forward(self, h: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """Return the block's output."""
        result: Tensor = h + self.norm_second(self.second(F.silu(self.norm_first(self.first(h)))))
        return result


class PartNorm(nn.Module):
    """Layer-normalise each attribute's part of z_dis by itself, without learned scale.

    A part of fixed length cannot hide a second attribute in its magnitude; without it identity leaks into other parts.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = list(widths)

    def forward(self, z_dis: Float[Tensor, "batch z_dis"]) -> Float[Tensor, "batch z_dis"]:
        """Return z_dis with every part at mean 0 and variance 1."""
        parts = z_dis.split(self.widths, dim=1)
        return torch.cat([F.layer_norm(part, (part.shape[1],)) for part in parts], dim=1)


class Quantise(nn.Module):
    """Round to multiples of a step, passing the gradient straight through (van den Oord et al., 2017).

    What a part whispers below the step can't be heard, neither by the decoder nor by a probe.
    """

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, z_dis: Float[Tensor, "batch z_dis"]) -> Float[Tensor, "batch z_dis"]:
        """Return the nearest multiples of the step."""
        rounded = (z_dis / self.step).round() * self.step
        return z_dis + (rounded - z_dis).detach()


class Products(nn.Module):
    """Decode a code by products of its parts: for every pair of attributes, and for all together, `rank` of them.

    h_Sr = prod over j in S of (a_Sjr · part_j + b_Sjr), and a linear map of all h. What two attributes make together
    is thus said in so many words, where blocks of MLPs would have to bend it. It is linear in each part: one
    attribute's way between two values is a straight line in z_sem.
    """

    def __init__(self, widths: Sequence[int], rank: int, z_sem: int) -> None:
        super().__init__()
        self.widths, attributes = list(widths), range(len(widths))
        self.sets = list(dict.fromkeys([*combinations(attributes, 2), tuple(attributes)]))
        counts = [sum(j in each for each in self.sets) for j in attributes]
        self.factors = nn.ModuleList(nn.Linear(w, n * rank) for w, n in zip(widths, counts, strict=True))
        self.counts, self.total = counts, nn.Linear(rank * len(self.sets), z_sem)

    def forward(self, z_dis: Float[Tensor, "batch z_dis"]) -> Float[Tensor, "batch z_sem"]:
        """Return the normalised z_sem."""
        parts = zip(self.factors, z_dis.split(self.widths, dim=1), self.counts, strict=True)
        factors = [list(factor(part).chunk(count, dim=1)) for factor, part, count in parts]
        products = [math.prod((factors[j].pop() for j in each[1:]), start=factors[each[0]].pop()) for each in self.sets]
        result: Tensor = self.total(torch.cat(products, dim=1))
        return result


class GroupAutoEncoder(nn.Module):
    """The GAE: `encode` to z_dis, `decode` back to the normalised z_sem."""

    def __init__(self, config: ModelConfig, part_widths: Sequence[int]) -> None:
        super().__init__()
        gae, z_sem, z_dis = config.gae, config.z_sem_width, config.z_dis_width
        ladder = [z_sem, *gae.widths]
        steps = list(pairwise(ladder))
        top = ladder[-1]
        self.encoder = nn.Sequential(
            MlpBlock(z_sem, z_sem, gae),
            *(MlpBlock(inputs, outputs, gae) for inputs, outputs in steps),
            *(BottleneckBlock(top, gae) for _ in range(gae.num_bottlenecks)),
            nn.Sequential(nn.Linear(top, top), nn.SiLU(), nn.Linear(top, z_dis)),
        )
        self.decoder: nn.Module
        if gae.decoder == "products":
            self.decoder = Products(part_widths, gae.rank, z_sem)
        else:
            self.decoder = nn.Sequential(
                nn.Sequential(nn.Linear(z_dis, top), nn.SiLU(), nn.Linear(top, top)),
                *(BottleneckBlock(top, gae) for _ in range(gae.num_bottlenecks)),
                *(MlpBlock(outputs, inputs, gae) for inputs, outputs in reversed(steps)),
                MlpBlock(z_sem, z_sem, gae, gae.last_skip),
            )
        self.linear_in = nn.Linear(z_sem, z_dis) if gae.linear_paths else None
        self.linear_out = nn.Linear(z_dis, z_sem) if gae.linear_paths else None
        self.part_norm = PartNorm(part_widths) if gae.normalise_parts else nn.Identity()
        self.quantise = Quantise(gae.quantise_step) if gae.quantise_step else nn.Identity()

    def encode(self, z: Float[Tensor, "batch z_sem"]) -> Float[Tensor, "batch z_dis"]:
        """Return z_dis of a normalised z_sem."""
        z_dis: Tensor = self.encoder(z)
        if self.linear_in is not None:
            z_dis = z_dis + self.linear_in(z)
        rounded: Tensor = self.quantise(self.part_norm(z_dis))
        return rounded

    def decode(self, z_dis: Float[Tensor, "batch z_dis"]) -> Float[Tensor, "batch z_sem"]:
        """Return the normalised z_sem that z_dis describes."""
        z: Tensor = self.decoder(z_dis)
        if self.linear_out is not None:
            z = z + self.linear_out(z_dis)
        return z

    def forward(self, z: Float[Tensor, "batch z_sem"]) -> Float[Tensor, "batch z_sem"]:
        """Return the reconstruction of a normalised z_sem."""
        return self.decode(self.encode(z))
