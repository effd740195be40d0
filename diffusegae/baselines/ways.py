"""Ways of changing one attribute in an undivided code: those of the authors, and those that users find to work.

A way leads a code z from its value of an attribute to its donor's. Which values a code has is read by linear
classifiers of the codes, never told. There are three kinds:

- along the classifiers' direction, by a step of some length or as far as the donor lies (directions.py);
- by class means: z + mean(donor's value) - mean(source's value);
- by joint means with another attribute, where the change looks different with each of its values (a turn moves other
  pixels of a car than of a plane): z + mean(donor's value, source's other) - mean(source's value, source's other).
  Where no training code has such a pair of values, the class means serve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from diffusegae.baselines.directions import PUBLISHED_LENGTH, Directions

LENGTHS = (0.15, PUBLISHED_LENGTH, 0.6, 1.2)  # of steps, over sqrt(width), in z-scored codes
Values = Int64[Tensor, "batch attributes"]


@dataclass(frozen=True)
class AlongDirection:
    """A step along the classifiers' direction; without a length as far as the donor lies."""

    length: float | None = None


@dataclass(frozen=True)
class ByMeans:
    """The difference of two means, of all codes of a value or of those that share the source's value of `other`."""

    other: int | None = None


Way = AlongDirection | ByMeans
FARTHEST = "direction, as far as the donor"
MEANS = "class means"


def ways_of(names: Sequence[str], attribute: int) -> dict[str, Way]:
    """Return the ways in which an attribute can change, by the names that the tables use; the default first."""
    ways: dict[str, Way] = {FARTHEST: AlongDirection()}
    for length in LENGTHS:
        published = " (published)" if length == PUBLISHED_LENGTH else ""
        ways[f"direction, step {length:g}{published}"] = AlongDirection(length)
    ways[MEANS] = ByMeans()
    return ways | {f"joint means with {name}": ByMeans(j) for j, name in enumerate(names) if j != attribute}


def editing_note(chosen: Mapping[str, str]) -> str:
    """Return a sentence that names each attribute's way."""
    return f"Edits by {'; '.join(f'{name}: {way}' for name, way in chosen.items())}."


@dataclass(frozen=True, eq=False)
class Moves:
    """All that the ways need of labelled codes: classifiers, means by value, and means by pair of values.

    `pairs[j, k]`, j < k, is [values of j, values of k, code], and `counts[j, k]` says of how many codes.
    """

    directions: Directions
    means: tuple[Tensor, ...]  # [values, code] of each attribute
    pairs: Mapping[tuple[int, int], Tensor]
    counts: Mapping[tuple[int, int], Tensor]

    @classmethod
    def fit(
        cls, codes: Float[Tensor, "n code"], labels: Int[Tensor, "n attributes"], cardinalities: Sequence[int]
    ) -> "Moves":
        """Fit all of it on labelled codes, on their device; a value without a code has the mean of all."""
        codes, columns = codes.float(), labels.long().to(codes.device).unbind(1)
        means, pairs, counts = [], {}, {}
        for column, size in zip(columns, cardinalities, strict=True):
            mean, count = _means(codes, column, size)
            means.append(torch.where(count[:, None] > 0, mean, codes.mean(dim=0)))
        for k, wide in enumerate(cardinalities):
            for j, high in enumerate(cardinalities[:k]):
                mean, count = _means(codes, columns[j] * wide + columns[k], high * wide)
                pairs[j, k], counts[j, k] = mean.unflatten(0, (high, wide)), count.unflatten(0, (high, wide))
        return cls(Directions.fit(codes, labels, cardinalities), tuple(means), pairs, counts)

    def read(self, codes: Float[Tensor, "batch code"]) -> Values:
        """Return the values that the classifiers see in codes."""
        return self.directions.read(codes)

    def step(
        self, way: Way, codes: Float[Tensor, "batch code"], donors: Float[Tensor, "batch code"],
        present: Values, wanted: Values, attribute: int,
    ) -> Float[Tensor, "batch code"]:  # fmt: skip
        """Return what to add to codes for the wanted value of an attribute; 0 where it is present."""
        old, new = present[:, attribute], wanted[:, attribute]
        if isinstance(way, AlongDirection):
            return self.directions.step(codes, donors, old, new, attribute, way.length)
        shift = self.means[attribute][new] - self.means[attribute][old]
        if way.other is None:
            return shift
        kept = present[:, way.other]
        (before, seen_before), (after, seen_after) = (
            self._joint(attribute, value, way.other, kept) for value in (old, new)
        )
        return torch.where((seen_before & seen_after)[:, None], after - before, shift)

    def _joint(self, attribute: int, values: Tensor, other: int, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means of pairs of values, and which of them a code had."""
        key, index = ((attribute, other), (values, kept)) if attribute < other else ((other, attribute), (kept, values))
        return self.pairs[key][index], self.counts[key][index] > 0

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it flat, for a safetensors file."""
        fitted = self.directions
        flat = {"mean": fitted.mean, "scale": fitted.scale}
        for kind, each in (("weights", fitted.weights), ("biases", fitted.biases), ("means", self.means)):
            flat |= {f"{kind}/{j}": tensor for j, tensor in enumerate(each)}
        for (j, k), pair in self.pairs.items():
            flat |= {f"pairs/{j}/{k}": pair, f"counts/{j}/{k}": self.counts[j, k]}
        return {name: tensor.contiguous() for name, tensor in flat.items()}

    @classmethod
    def of_tensors(cls, flat: Mapping[str, Tensor], num_attributes: int, device: torch.device) -> "Moves":
        """Return what `tensors` gave, on a device."""
        moved = {name: tensor.to(device) for name, tensor in flat.items()}
        weights, biases, means = (
            tuple(moved[f"{kind}/{j}"] for j in range(num_attributes)) for kind in ("weights", "biases", "means")
        )
        keys = [(j, k) for k in range(num_attributes) for j in range(k)]
        pairs, counts = ({(j, k): moved[f"{kind}/{j}/{k}"] for j, k in keys} for kind in ("pairs", "counts"))
        return cls(Directions(moved["mean"], moved["scale"], weights, biases), means, pairs, counts)


def _means(codes: Tensor, groups: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the mean code of each of `count` groups, 0 of an empty one, and how many codes each has."""
    sizes = torch.bincount(groups, minlength=count)
    sums = torch.zeros(count, codes.shape[1], dtype=codes.dtype, device=codes.device).index_add_(0, groups, codes)
    return sums / sizes.clamp_min(1)[:, None], sizes
