"""Edits scored against the truth: closeness to the true render of the edit, and what the judge reads from it.

Replacement changes one attribute of a picture and keeps the others (Fig. 6); recombination takes every attribute from
another picture (Fig. 7). For rendered data the picture that either should give exists, so both are measured, not shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diffusegae.images import to_unit
from diffusegae.metrics.distances import mse, ssim

CHUNK = 256  # images that pass a network at a time

Perceptual = Callable[[Tensor, Tensor], Tensor]


@runtime_checkable  # for the run-time shape checks of the tests
class Judge(Protocol):
    """What reads attributes from pictures (`classifier.AttributeClassifier`)."""

    def predict(self, images: Float[Tensor, "batch 3 height width"]) -> Int[Tensor, "batch m"]:
        """Return the value of each attribute of images in [-1, 1]."""
        ...


@dataclass(frozen=True)
class Closeness:
    """Mean distances to the true pictures; `lpips` is None when its weights are not installed."""

    mse: float
    ssim: float
    lpips: float | None

    def as_metrics(self, prefix: str) -> dict[str, float]:
        """Return the measured distances as `<prefix>/mse` and so on."""
        metrics = {f"{prefix}/mse": self.mse, f"{prefix}/ssim": self.ssim}
        return metrics if self.lpips is None else metrics | {f"{prefix}/lpips": self.lpips}


@dataclass(frozen=True)
class ReplacementScore:
    """One set of single-attribute edits: how many, how close, and what the judge reads from them."""

    count: int
    closeness: Closeness
    swapped_right: float  # share of edits that show the wanted value
    kept_right: float  # share of kept attributes that still show theirs
    all_kept_right: float  # share of edits in which every kept attribute does

    def as_metrics(self, prefix: str) -> dict[str, float]:
        """Return flat metrics under a prefix."""
        return self.closeness.as_metrics(prefix) | {
            f"{prefix}/count": float(self.count),
            f"{prefix}/swapped_right": self.swapped_right,
            f"{prefix}/kept_right": self.kept_right,
            f"{prefix}/all_kept_right": self.all_kept_right,
        }


@dataclass(frozen=True)
class ReplacementScores:
    """Replacement over all edits, and over the edits of each attribute that was swapped at least once."""

    overall: ReplacementScore
    by_attribute: Mapping[str, ReplacementScore]

    def as_metrics(self) -> dict[str, float]:
        """Return `counterfactual/replace/<quantity>` and `counterfactual/replace/<attribute>/<quantity>`."""
        metrics = self.overall.as_metrics("counterfactual/replace")
        for name, score in self.by_attribute.items():
            metrics |= score.as_metrics(f"counterfactual/replace/{name}")
        return metrics


@dataclass(frozen=True)
class RecombinationScores:
    """Recombination: how many, how close, and the share that shows each attribute's wanted value."""

    count: int
    closeness: Closeness
    right: Mapping[str, float]
    all_right: float

    def as_metrics(self) -> dict[str, float]:
        """Return `counterfactual/recombine/<quantity>` and `counterfactual/recombine/<attribute>/right`."""
        prefix = "counterfactual/recombine"
        metrics = self.closeness.as_metrics(prefix) | {f"{prefix}/count": float(self.count)}
        metrics |= {f"{prefix}/{name}/right": share for name, share in self.right.items()}
        return metrics | {f"{prefix}/all_right": self.all_right}


def score_replacements(
    edited: Float[Tensor, "n 3 height width"],
    truth: Float[Tensor, "n 3 height width"],
    targets: Int[Tensor, "n m"],
    swapped: Int[Tensor, " n"],
    judge: Judge,
    names: Sequence[str],
    perceptual: Perceptual | None = None,
) -> ReplacementScores:
    """Score edits in [-1, 1] in which attribute `swapped[i]` was replaced; `targets` are the labels of the truth."""
    distances = _measure_distances(edited, truth, perceptual)
    right = _predict(judge, edited) == targets
    is_swapped = torch.nn.functional.one_hot(swapped, len(names)).bool()
    return ReplacementScores(
        overall=_summarise(distances, right, is_swapped),
        by_attribute={
            name: _summarise(distances[rows], right[rows], is_swapped[rows])
            for a, name in enumerate(names)
            if (rows := swapped == a).any()
        },
    )


def score_recombinations(
    edited: Float[Tensor, "n 3 height width"],
    truth: Float[Tensor, "n 3 height width"],
    targets: Int[Tensor, "n m"],
    judge: Judge,
    names: Sequence[str],
    perceptual: Perceptual | None = None,
) -> RecombinationScores:
    """Score pictures in [-1, 1] that took every attribute from another one; `targets` are the labels of the truth."""
    right = _predict(judge, edited) == targets
    return RecombinationScores(
        count=len(edited),
        closeness=_mean_closeness(_measure_distances(edited, truth, perceptual)),
        right={name: _share(right[:, a]) for a, name in enumerate(names)},
        all_right=_share(right.all(dim=1)),
    )


def measure_closeness(
    images: Float[Tensor, "n 3 height width"],
    truth: Float[Tensor, "n 3 height width"],
    perceptual: Perceptual | None = None,
) -> Closeness:
    """Return the mean distances of images in [-1, 1] to others: the columns of the paper's Table 2."""
    return _mean_closeness(_measure_distances(images, truth, perceptual))


def _summarise(
    distances: Float[Tensor, "n kinds"], right: Bool[Tensor, "n m"], is_swapped: Bool[Tensor, "n m"]
) -> ReplacementScore:
    return ReplacementScore(
        count=len(right),
        closeness=_mean_closeness(distances),
        swapped_right=_share(right[is_swapped]),
        kept_right=_share(right[~is_swapped]),
        all_kept_right=_share((right | is_swapped).all(dim=1)),
    )


def _measure_distances(
    images: Float[Tensor, "n 3 height width"], truth: Float[Tensor, "n 3 height width"], perceptual: Perceptual | None
) -> Float[Tensor, "n kinds"]:
    """Return MSE, SSIM and, if there is a perceptual distance, LPIPS of each pair as columns."""
    chunks = []
    for image, true in zip(torch.split(images, CHUNK), torch.split(truth, CHUNK), strict=True):
        columns = [mse(to_unit(image), to_unit(true)), ssim(to_unit(image), to_unit(true))]
        if perceptual is not None:
            columns.append(perceptual(image, true))
        chunks.append(torch.stack(columns, dim=1))
    return torch.cat(chunks)


def _mean_closeness(distances: Float[Tensor, "n kinds"]) -> Closeness:
    means = distances.double().nanmean(dim=0).tolist()
    return Closeness(mse=means[0], ssim=means[1], lpips=means[2] if len(means) == 3 else None)


def _predict(judge: Judge, images: Float[Tensor, "n 3 height width"]) -> Int[Tensor, "n m"]:
    return torch.cat([judge.predict(chunk) for chunk in torch.split(images, CHUNK)])


def _share(right: Bool[Tensor, "..."]) -> float:
    return float(right.double().mean())
