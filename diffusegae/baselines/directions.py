"""Directions in a space of codes along which attributes change: Diff-AE's manipulation, of any number of values.

Diff-AE fits a linear classifier of an attribute on z-scored codes and moves z by 0.3 sqrt(width) along its unit normal
(facts §2). With many values the classifier is multinomial, and what leads from one value to another is the difference
of their weights, the normal of the boundary between the two. The published length was chosen by eye for binary
attributes of faces; among many values it often ends short of the boundary. Without a length a step goes as far along
the normal as the donor's own code lies.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor
from torch.nn import functional as F

from diffusegae.metrics.probe import fit_linear_classifier

PUBLISHED_LENGTH = 0.3  # Diff-AE's


@dataclass(frozen=True, eq=False)
class Directions:
    """A linear classifier for each attribute, on codes that are z-scored by `mean` and `scale`."""

    mean: Float[Tensor, " code"]
    scale: Float[Tensor, " code"]
    weights: tuple[Tensor, ...]  # [code, values] of each attribute
    biases: tuple[Tensor, ...]  # [values]

    @classmethod
    def fit(
        cls,
        codes: Float[Tensor, "n code"],
        labels: Int[Tensor, "n attributes"],
        cardinalities: Sequence[int],
    ) -> "Directions":
        """Fit the classifiers on labelled codes; the result is on their device."""
        mean, spread = codes.mean(dim=0), codes.std(dim=0)
        scale = torch.where(spread > 0, spread, 1.0)  # a dead dimension must not become NaN
        normalised = ((codes - mean) / scale).float().cpu()
        fits = [
            fit_linear_classifier(normalised, labels[:, column].long().cpu(), count)
            for column, count in enumerate(cardinalities)
        ]
        weights, biases = (tuple(tensor.to(codes.device) for tensor in kind) for kind in zip(*fits, strict=True))
        return cls(mean, scale, weights, biases)

    def read(self, codes: Float[Tensor, "batch code"]) -> Int64[Tensor, "batch attributes"]:
        """Return the value of each attribute that the classifiers see in the codes."""
        normalised = (codes - self.mean) / self.scale
        logits = [torch.addmm(bias, normalised, w) for w, bias in zip(self.weights, self.biases, strict=True)]
        return torch.stack([each.argmax(dim=1) for each in logits], dim=1)

    def step(
        self,
        codes: Float[Tensor, "batch code"],
        donors: Float[Tensor, "batch code"],
        present: Int64[Tensor, " batch"],
        wanted: Int64[Tensor, " batch"],
        attribute: int,
        length: float | None = None,
    ) -> Float[Tensor, "batch code"]:
        """Return what leads codes from an attribute's present values to the wanted ones, 0 where they agree.

        `length` is over sqrt(width), in z-scored codes; None goes as far as the donors lie.
        """
        weight = self.weights[attribute].T
        direction = F.normalize(weight[wanted] - weight[present], dim=1)
        if length is None:
            size = ((donors - codes) / self.scale * direction).sum(dim=1, keepdim=True)
        else:
            size = codes.new_tensor(length * math.sqrt(codes.shape[1]))
        result: Tensor = size * direction * self.scale
        return result
