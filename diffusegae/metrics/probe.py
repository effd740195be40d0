"""The probes of the paper's Table 1: what a classifier reads from each part of z_dis, against the right zero.

Entry [r, a] is the held-out accuracy of predicting attribute a from the part of attribute r alone: rows are parts and
columns are predicted attributes, as in Table 1 (its row "Identity" reads .96, .019 ~ 1/111, .168 ~ 1/6).

A part that holds its own attribute and nothing else does not read others at 1 / |A|. Where combinations are held out, a
guess from the own value goes for those combinations that training showed more often, which the held-out rows show less
often: below 1 / |A|. Where values are unbalanced it lies above. The reference is therefore measured: the same probe,
trained and scored on codes that are shuffled among rows of equal own value. They hold the own value and the code's
noise, and nothing of the others. Leak = score - reference; 0 says that nothing leaks.

A decoder is not linear, so a small MLP reads the parts too (`read_mlp`).
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, permutations

import numpy as np
import torch
from jaxtyping import Float, Float32, Integer
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import Tensor
from torch.nn import functional as F

from diffusegae.metrics.quantity import Quantity

QUANTITIES = (
    Quantity("own", "read from its own part", "higher"),
    Quantity("reads", "read from another part", None),
    Quantity("leak", "leak", "lower", "signed"),
    Quantity("leak_max", "largest leak", "lower", "signed"),
    Quantity("mlp_own", "read from its own part, by an MLP", "higher"),
    Quantity("mlp_leak", "leak, by an MLP", "lower", "signed"),
    Quantity("mlp_leak_max", "largest leak, by an MLP", "lower", "signed"),
    Quantity("full", "read from the whole code", "higher"),
    Quantity("is_divided", "has parts of its own", None, "count"),
    Quantity("width", "dimensions", None, "count"),
)
WEIGHT_DECAY = 1e-4  # of the mean cross-entropy; scikit-learn's C = 1 / (n WEIGHT_DECAY)
ITERATIONS = 60
SHUFFLES = 2  # of the reference; more make it less noisy, each costs as much as the reading of all foreign parts
HIDDEN, EPOCHS, MLP_ROWS = 64, 30, 20_000  # of the MLP; 10,000 rows of 100 dimensions and 111 values take 3 s

Codes = Float32[np.ndarray, "n dim"]
Values = Integer[np.ndarray, " n"]
Others = Float32[np.ndarray, "rows dim"]
Answers = Integer[np.ndarray, " rows"]
Probe = Callable[[Codes, Values, Others], Answers]  # (codes, their labels, other codes) → answers to the others


@dataclass(frozen=True)
class LabelledCodes:
    """Codes and the labels of the images they came from, one column per attribute."""

    codes: Float[np.ndarray, "n dim"]
    labels: Integer[np.ndarray, "n m"]
    # By which each own part was trained (GROUP labels: the instance, where `labels` may say the kind alone).
    own: Integer[np.ndarray, "n m"] | None = None  # the same as `labels` if not given


@dataclass(frozen=True)
class PartReadings:
    """What a probe read from each part of each held-out code: 1 right, 0 wrong, NaN not measured.

    Not measured is a value that no training row shows, and the reference of a row whose own value no other held-out row
    shares, for there is nothing to shuffle it with.
    """

    names: tuple[str, ...]
    reads: Float[np.ndarray, "rows m m"]  # [row, part, attribute]
    reference: Float[np.ndarray, "rows m m"]  # mean over the shuffles; the diagonal is NaN
    full: Float[np.ndarray, "rows m"]
    chance: Float[np.ndarray, " m"]

    @property
    def leak(self) -> Float[np.ndarray, "rows m m"]:
        """Reads minus reference."""
        return np.asarray(self.reads - self.reference)

    def figures(self, prefix: str = "") -> dict[str, Float[np.ndarray, " rows"]]:
        """Return `own/<attribute>`, `leak/<part>/<attribute>`, `leak` (the mean over the latter) by row.

        Without a prefix `reads/<part>/<attribute>` and `full/<attribute>` too; with one, all names begin with it.
        """
        found = {f"{prefix}own/{name}": self.reads[:, a, a] for a, name in enumerate(self.names)}
        for (r, part), (a, name) in permutations(enumerate(self.names), 2):
            found[f"{prefix}leak/{part}/{name}"] = self.leak[:, r, a]
            if not prefix:
                found[f"reads/{part}/{name}"] = self.reads[:, r, a]
        found[f"{prefix}leak"] = mean(self.leak.reshape(len(self.leak), -1), axis=1)
        return found if prefix else found | {f"full/{name}": self.full[:, a] for a, name in enumerate(self.names)}


def read_linear(codes: Codes, labels: Values, others: Others) -> Answers:
    """Fit `fit_linear_classifier` on standardised codes and return its answers to others."""
    values = torch.from_numpy(labels).long()
    weight, bias = fit_linear_classifier(torch.from_numpy(codes), values, int(values.max()) + 1)
    return (torch.from_numpy(others) @ weight + bias).argmax(dim=1).numpy()


def read_mlp(codes: Codes, labels: Values, others: Others) -> Answers:
    """Fit one hidden layer on at most MLP_ROWS standardised codes for EPOCHS and return its answers to others."""
    chosen = np.random.default_rng(0).permutation(len(codes))[:MLP_ROWS]
    model = MLPClassifier(
        (HIDDEN,), learning_rate_init=3e-3, alpha=1e-2, batch_size=min(200, len(chosen)), max_iter=EPOCHS,
        random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are the bound
        model.fit(codes[chosen], labels[chosen])
    return np.asarray(model.predict(others))


def measure_parts(
    train: LabelledCodes,
    test: LabelledCodes,
    parts: Sequence[slice],
    names: Sequence[str],
    cardinalities: Sequence[int],
    *,
    seed: int,
    probe: Probe = read_linear,
    shuffles: int = SHUFFLES,
    full: bool = True,
) -> PartReadings:
    """Train a probe for each (part, attribute) on `train` and score it on `test`, with the reference of each.

    `parts[r]` is the slice of the code that belongs to attribute r; for a code without parts (z_sem, Diff-AE) take
    `split_in_proportion`. `full` reads the whole code too. `seed` decides the shuffles.
    """
    train, test = standardise(train, test)
    return PartReadings(
        names=tuple(names),
        reads=np.stack([read_part(train, test, part, probe) for part in parts], axis=1),
        reference=_measure_reference(train, test, parts, probe, shuffles, seed),
        full=read_part(train, test, slice(None), probe) if full else np.full(test.labels.shape, np.nan),
        chance=1.0 / np.asarray(cardinalities, dtype=np.float64),
    )


def shuffle_within(
    codes: Float[np.ndarray, "n dim"], own: Integer[np.ndarray, " n"], generator: np.random.Generator
) -> Float[np.ndarray, "n dim"]:
    """Permute codes among rows of equal own value, so that they tell nothing but that value."""
    order = np.argsort(own, kind="stable")
    shuffled = np.lexsort((generator.random(len(own)), own))
    mixed = np.empty_like(codes)
    mixed[order] = codes[shuffled]
    return mixed


def fit_linear_classifier(
    codes: Float[Tensor, "n dim"], labels: Integer[Tensor, " n"], num_values: int
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


def standardise(train: LabelledCodes, test: LabelledCodes) -> tuple[LabelledCodes, LabelledCodes]:
    """Bring both to mean 0 and deviation 1 of the first, per dimension, as float32; what is constant stays so."""
    centre, spread = train.codes.mean(axis=0), train.codes.std(axis=0)
    scale = np.where(np.ptp(train.codes, axis=0) > 0, spread, 1.0)
    first, second = (replace(data, codes=((data.codes - centre) / scale).astype(np.float32)) for data in (train, test))
    return first, second


def mean(values: Float[np.ndarray, "..."], axis: int = 0) -> Float[np.ndarray, "..."]:
    """Return the mean of what was measured; NaN of nothing."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(values, axis=axis) / (~np.isnan(values)).sum(axis=axis))


def _measure_reference(
    train: LabelledCodes, test: LabelledCodes, parts: Sequence[slice], probe: Probe, shuffles: int, seed: int
) -> Float[np.ndarray, "rows m m"]:
    """Return what a probe reads of foreign attributes from codes that hold the own value alone, mean over shuffles."""
    generator, reference = np.random.default_rng(seed), np.zeros((len(test.codes), len(parts), len(parts)))
    for r, part in enumerate(parts):
        own = [(data.labels if data.own is None else data.own)[:, r] for data in (train, test)]
        for _ in range(shuffles):
            first, second = (
                replace(data, codes=shuffle_within(data.codes[:, part], values, generator))
                for data, values in zip((train, test), own, strict=True)
            )
            reference[:, r] += read_part(first, second, slice(None), probe, skip=r) / shuffles
        _, place, count = np.unique(own[1], return_inverse=True, return_counts=True)
        reference[count[place] == 1, r] = np.nan
    return reference


def read_part(
    train: LabelledCodes, test: LabelledCodes, part: slice, probe: Probe, skip: int | None = None
) -> Float[np.ndarray, "rows m"]:
    """Return 1 where a probe trained on a part of `train` reads an attribute from that part of a row of `test`.

    Else 0; NaN where no training row shows the row's value, and of the attribute to skip.
    """
    found = np.full(test.labels.shape, np.nan)
    for a, (labels, truth) in enumerate(zip(train.labels.T, test.labels.T, strict=True)):
        if a != skip:
            values = np.unique(labels)  # a single one is the answer
            answers = probe(train.codes[:, part], labels, test.codes[:, part]) if len(values) > 1 else values
            found[:, a] = np.where(np.isin(truth, values), answers == truth, np.nan)
    return found
