"""The probe matrix of the paper's Table 1: what a linear classifier reads from each part of z_dis.

Entry [r, a] is the held-out accuracy of predicting attribute a from the part of attribute r alone: rows are parts and
columns are predicted attributes, as in Table 1 (its row "Identity" reads .96, .019 ~ 1/111, .168 ~ 1/6). Perfect
disentanglement is 1 on the diagonal and chance, 1/|A_a|, elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

WEIGHT_DECAY = 1e-4  # of the mean cross-entropy; scikit-learn's C = 1 / (n WEIGHT_DECAY)
ITERATIONS = 60


@dataclass(frozen=True)
class LabelledCodes:
    """Codes and the labels of the images they came from, one column per attribute."""

    codes: Float[np.ndarray, "n dim"]
    labels: Int[np.ndarray, "n m"]


@dataclass(frozen=True)
class ProbeMatrix:
    """Held-out accuracy of each attribute (columns) from each part (rows), with what guessing would score."""

    names: tuple[str, ...]
    accuracy: Float[np.ndarray, "m m"]
    full_code: Float[np.ndarray, " m"]  # from all parts together
    chance: Float[np.ndarray, " m"]  # 1 / |A|
    majority: Float[np.ndarray, " m"]  # always answering the most frequent training value
    num_train: int
    num_test: int

    @property
    def diagonal(self) -> Float[np.ndarray, " m"]:
        """Accuracy of each attribute from its own part; the aim is 1."""
        return np.diagonal(self.accuracy)

    @property
    def off_diagonal_excess(self) -> Float[np.ndarray, " pairs"]:
        """Accuracy minus chance of every off-diagonal entry, row by row; negative where it is worse than chance."""
        is_off_diagonal = ~np.eye(len(self.names), dtype=bool)
        return np.asarray((self.accuracy - self.chance)[is_off_diagonal])

    @property
    def mean_excess(self) -> float:
        """Plain signed mean of `off_diagonal_excess`; the aim is 0."""
        return float(self.off_diagonal_excess.mean())

    @property
    def max_excess(self) -> float:
        """The worst leak: the largest of `off_diagonal_excess`."""
        return float(self.off_diagonal_excess.max())

    def as_metrics(self) -> dict[str, float]:
        """Return flat metrics: `probe/<part>/<attribute>`, `probe/full/<attribute>` and the two excesses."""
        metrics = {
            f"probe/{part}/{attribute}": float(self.accuracy[r, a])
            for r, part in enumerate(self.names)
            for a, attribute in enumerate(self.names)
        }
        metrics |= {f"probe/full/{name}": float(value) for name, value in zip(self.names, self.full_code, strict=True)}
        return metrics | {"probe/mean_excess": self.mean_excess, "probe/max_excess": self.max_excess}

    def as_rows(self) -> list[tuple[str, list[float]]]:
        """Return (row title, one figure per attribute): the parts, then the full code, chance and majority."""
        rows = [(f"part {name}", self.accuracy[r].tolist()) for r, name in enumerate(self.names)]
        guesses = (("full code", self.full_code), ("chance", self.chance), ("majority", self.majority))
        return rows + [(title, values.tolist()) for title, values in guesses]

    def as_markdown(self) -> str:
        """Return the matrix as a Markdown table with the diagonal in bold."""
        lines = ["| from | " + " | ".join(self.names) + " |", "|---|" + "---|" * len(self.names)]
        for r, (title, values) in enumerate(self.as_rows()):
            cells = [f"**{value:.3f}**" if a == r else f"{value:.3f}" for a, value in enumerate(values)]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
        excess = f"mean {self.mean_excess:+.3f}, max {self.max_excess:+.3f}"
        return "\n".join([*lines, "", f"Off-diagonal excess over chance: {excess} (n = {self.num_test} held out)"])


def measure_probe_matrix(
    train: LabelledCodes,
    test: LabelledCodes,
    parts: Sequence[slice],
    names: Sequence[str],
    cardinalities: Sequence[int],
) -> ProbeMatrix:
    """Fit a linear classifier for each (part, attribute) on `train` and score it on `test`.

    `parts[r]` is the slice of the code that belongs to attribute r; for a code without parts (z_sem, Diff-AE) take
    `split_in_proportion`, and read its `full_code` row, which the slices do not touch.
    """
    accuracy = [measure_full_code(_cut(train, part), _cut(test, part), cardinalities) for part in parts]
    majority = [
        float(np.mean(test.labels[:, a] == np.bincount(train.labels[:, a], minlength=count).argmax()))
        for a, count in enumerate(cardinalities)
    ]
    return ProbeMatrix(
        names=tuple(names),
        accuracy=np.stack(accuracy),
        full_code=measure_full_code(train, test, cardinalities),
        chance=1.0 / np.asarray(cardinalities, dtype=np.float64),
        majority=np.asarray(majority),
        num_train=len(train.codes),
        num_test=len(test.codes),
    )


def measure_full_code(
    train: LabelledCodes, test: LabelledCodes, cardinalities: Sequence[int]
) -> Float[np.ndarray, " m"]:
    """Return the held-out accuracy of each attribute from the whole of the given codes."""
    mean, std = train.codes.mean(axis=0), train.codes.std(axis=0)
    scale = np.where(std > 0, std, 1.0)  # a dead dimension carries nothing and must not become NaN
    train_x, test_x = (torch.from_numpy((split.codes - mean) / scale).float() for split in (train, test))
    accuracies = []
    for a, count in enumerate(cardinalities):
        weight, bias = fit_linear_classifier(train_x, torch.from_numpy(train.labels[:, a]).long(), count)
        answers = (test_x @ weight + bias).argmax(dim=1).numpy()
        accuracies.append(float(np.mean(answers == test.labels[:, a])))
    return np.asarray(accuracies)


def fit_linear_classifier(
    codes: Float[Tensor, "n dim"], labels: Int[Tensor, " n"], num_values: int
) -> tuple[Float[Tensor, "dim values"], Float[Tensor, " values"]]:
    """Fit multinomial logistic regression on standardised codes by full-batch L-BFGS; returns weight and bias.

    The problem is convex and starts at zero, so there is no seed. The bias is not decayed.
    """
    weight = torch.zeros(codes.shape[1], num_values, requires_grad=True)
    bias = torch.zeros(num_values, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, history_size=20, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        penalty = 0.5 * WEIGHT_DECAY * weight.square().sum()
        loss = F.cross_entropy(torch.addmm(bias, codes, weight), labels) + penalty
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach(), bias.detach()


def split_in_proportion(widths: Sequence[int], dim: int) -> tuple[slice, ...]:
    """Cut `dim` dimensions into slices in the proportion of `widths`, for codes that have no parts of their own."""
    edges = np.rint(np.cumsum([0, *widths]) * dim / sum(widths)).astype(int).tolist()
    return tuple(slice(start, stop) for start, stop in pairwise(edges))


def _cut(split: LabelledCodes, part: slice) -> LabelledCodes:
    return LabelledCodes(split.codes[:, part], split.labels)
