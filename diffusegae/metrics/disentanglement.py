"""DCI and MIG: how far each attribute sits in a place of its own in a code, by the field's two measures.

- DCI: Eastwood & Williams, ICLR 2018, "A Framework for the Quantitative Evaluation of Disentangled Representations"
- MIG: Chen et al., NeurIPS 2018, arXiv 1802.04942

Each is given in two forms. Per dimension they are the papers' measures, with the settings of Google's
disentanglement_lib; differences are said where they are made. A method that gives an attribute a part of several
dimensions cannot score 1 on completeness or MIG of that form, however well it separates. Per part, a whole part plays
the role of a dimension: its importance is the sum over its dimensions, what it tells is what a linear classifier reads
from all of it. Figures of the two forms are not comparable with each other, nor those per part with the papers'.

Dead ends have one rule each. A dimension that is constant in training has importance 0 and information 0. An attribute
with a single value among the rows drawn, in training or in test, is left out: its figures are NaN and means run over
the others. Means over no attribute, and DCI's disentanglement when fewer than two attributes are left, are NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from scipy.special import entr
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor

from diffusegae.metrics.probe import LabelledCodes, fit_linear_classifier, mean, standardise
from diffusegae.metrics.quantity import Quantity

QUANTITIES = (
    Quantity("dci_disentanglement", "DCI disentanglement", "higher"),
    Quantity("dci_completeness", "DCI completeness", "higher"),
    Quantity("dci_informativeness", "DCI informativeness", "higher"),
    Quantity("mig", "MIG", "higher"),
    Quantity("part_dci_disentanglement", "DCI disentanglement of parts", "higher"),
    Quantity("part_dci_completeness", "DCI completeness of parts", "higher"),
    Quantity("part_mig", "MIG of parts", "higher"),
)
NUM_BINS = 20  # of MIG's histograms, as in disentanglement_lib
MIN_ROUNDS, MAX_ROUNDS = 10, 100  # of boosting; disentanglement_lib takes 100
MAX_TREES = 2000  # per attribute, unless MIN_ROUNDS needs more; a round grows a tree for every value
L2 = 1.0  # XGBoost's default; without it the trees of a value with few rows take boundless steps and learn noise
SCALES = tuple(2.0 ** (step / 2) for step in range(-12, 7))  # of the logits, 1 / temperature


@dataclass(frozen=True)
class UnitReadings:
    """What each unit of a code (a dimension, or a part) tells of each attribute, and the scores that follow from it.

    `importance` is DCI's R with columns that sum to 1 (to 0 where nothing was learnt), `information` the mutual
    information as a share of the attribute's entropy; both in [0, 1]. The column of an attribute left out is NaN.
    """

    importance: Float[np.ndarray, "units m"]
    information: Float[np.ndarray, "units m"]

    @property
    def gaps(self) -> Float[np.ndarray, " m"]:
        """MIG of each attribute, in [0, 1]: the most informative unit against the next."""
        ordered = np.sort(self.information, axis=0)
        return np.asarray(ordered[-1] - ordered[-2])

    def as_metrics(self, prefix: str = "") -> dict[str, float]:
        """Return DCI's D, its C and the mean gap, all in [0, 1], as `dci_disentanglement`, `dci_completeness`, `mig`.

        D is 1 when every unit matters to one attribute only (units weigh by their importance), C when every attribute
        needs one unit only. The names begin with the prefix.
        """
        importance = self.importance[:, ~np.isnan(self.importance).any(axis=0)]
        return {
            f"{prefix}dci_disentanglement": _concentration(importance),
            f"{prefix}dci_completeness": _concentration(importance.T),
            f"{prefix}mig": float(mean(self.gaps)),
        }


@dataclass(frozen=True)
class Disentanglement:
    """The two measures of one code, per dimension and per part."""

    informativeness: Float[np.ndarray, " m"]  # held-out accuracy of the boosted trees that gave the importances
    dimensions: UnitReadings
    parts: UnitReadings

    def as_metrics(self) -> dict[str, float]:
        """Return flat metrics, NaN for what was left out: those of the dimensions, then `part_` and those of the parts.

        `dci_informativeness` is DCI's I as disentanglement_lib reports it, an accuracy (the paper's is an error). The
        trees read the whole code in both forms, so it stands there once.
        """
        whole = {"dci_informativeness": float(mean(self.informativeness))}
        return self.dimensions.as_metrics() | whole | self.parts.as_metrics("part_")


def measure_disentanglement(
    train: LabelledCodes,
    test: LabelledCodes,
    names: Sequence[str],
    parts: Sequence[slice],
    *,
    seed: int,
    limit: int = 5000,
) -> Disentanglement:
    """Measure DCI and MIG of a code; models are fitted on `train` and scored on `test`.

    `names` are the attributes in the order of the label columns, `parts` the slices of the code that count as units
    (AttributeSchema.slices, or `split_in_proportion` for a code that has none); dimensions outside them do not count in
    the second form. Time is bounded by drawing at most `limit` rows of each split by `seed`, and by MAX_TREES; it grows
    in proportion to rows, dimensions and trees. Only MIG per dimension sees every training row: it is cheap, and
    histograms of few rows overstate information.

    Raises:
        ValueError: the code has a single dimension or part, so that there is no second best, or a name is missing.
    """
    width, m = train.codes.shape[1], train.labels.shape[1]
    if len(names) != m:
        raise ValueError(f"{len(names)} names {list(names)} for {m} columns of labels; name each")
    if min(width, len(parts)) < 2:
        raise ValueError(f"the code has {width} dimension(s) in {len(parts)} part(s); a second best needs 2 of each")
    drawn, drawn_test = standardise(_draw(train, seed, limit), _draw(test, seed + 1, limit))
    informativeness = np.full(m, np.nan)
    importance, information = np.full((2, width, m), np.nan)
    part_importance, part_information = np.full((2, len(parts), m), np.nan)
    for a in range(m):
        if min(len(np.unique(split.labels[:, a])) for split in (drawn, drawn_test)) < 2:
            continue
        importance[:, a], informativeness[a] = measure_importance(drawn, drawn_test, a, seed=seed)
        information[:, a] = measure_information(train, a)
        inside = np.array([importance[part, a].sum() for part in parts])
        part_importance[:, a] = inside / (inside.sum() or 1.0)  # parts may leave dimensions out
        part_information[:, a] = [_read_part(drawn, drawn_test, part, a) for part in parts]
    units = UnitReadings(part_importance, part_information)
    return Disentanglement(informativeness, UnitReadings(importance, information), units)


def measure_importance(
    train: LabelledCodes, test: LabelledCodes, attribute: int, *, seed: int
) -> tuple[Float[np.ndarray, " dim"], float]:
    """Return each dimension's share of what boosted trees learn of an attribute (DCI's R), and their test accuracy.

    Trees of depth 3 at learning rate 0.1, as in disentanglement_lib's GradientBoostingClassifier, but grown on
    histograms, with Newton gains under L2, and in fewer rounds where the attribute has more than MAX_TREES / MAX_ROUNDS
    values (there the accuracy is well below a linear probe's; the shares are hardly affected). Importance is the sum
    of the gains of all splits on a dimension. The shares are all 0 when no tree found a split.
    """
    labels = train.labels[:, attribute]
    rounds = int(np.clip(MAX_TREES // len(np.unique(labels)), MIN_ROUNDS, MAX_ROUNDS))
    model = HistGradientBoostingClassifier(
        max_iter=rounds, max_depth=3, max_leaf_nodes=8, min_samples_leaf=1, l2_regularization=L2, early_stopping=False,
        random_state=seed,
    )  # fmt: skip
    model.fit(train.codes, labels)
    gains = np.zeros(train.codes.shape[1])
    for trees in model._predictors:  # scikit-learn offers the gains of its histogram trees nowhere else
        for tree in trees:
            splits = tree.nodes[tree.nodes["is_leaf"] == 0]
            np.add.at(gains, splits["feature_idx"], splits["gain"])
    accuracy = float(np.mean(model.predict(test.codes) == test.labels[:, attribute]))
    return gains / (gains.sum() or 1.0), accuracy


def measure_information(data: LabelledCodes, attribute: int) -> Float[np.ndarray, " dim"]:
    """Return I(dimension; attribute) / H(attribute) of each dimension, cut into NUM_BINS equal bins over its range.

    The attribute must have two values or more.
    """
    low, width = data.codes.min(axis=0), np.ptp(data.codes, axis=0)
    bins = ((data.codes - low) / np.where(width > 0, width, 1.0) * NUM_BINS).astype(np.int64).clip(max=NUM_BINS - 1)
    values, labels = np.unique(data.labels[:, attribute], return_inverse=True)
    entropy = _entropy(np.bincount(labels))
    cells = bins * len(values) + labels[:, None]
    own, joint = (np.array([_entropy(np.bincount(column)) for column in table.T]) for table in (bins, cells))
    information = own + entropy - joint
    return np.asarray((information / entropy).clip(0.0, 1.0))  # rounding only


def bound_information(logits: Float[Tensor, "n values"], labels: Int[Tensor, " n"]) -> float:
    """Return a lower bound of I(code; attribute) / H(attribute), in [0, 1], from a classifier's held-out logits.

    A vector has no histogram, but I = H(a) - H(a | code) >= H(a) - the cross-entropy of any classifier on codes that it
    was not fitted to (Barber & Agakov 2003); it is tight when the classifier knows the true posterior. Overconfident
    logits would make it loose, so each half of the rows takes the best of SCALES for the other half: the scale is
    chosen without the labels it is judged by, and the bound holds. Rows must be in random order, with two values or
    more. What only a non-linear classifier could read does not count.
    """
    log_likelihood = torch.stack(
        [torch.log_softmax(scale * logits.double(), dim=1).gather(1, labels[:, None])[:, 0] for scale in SCALES]
    )
    first, second = log_likelihood[:, ::2], log_likelihood[:, 1::2]
    chosen = (first[second.mean(dim=1).argmax()], second[first.mean(dim=1).argmax()])
    cross_entropy = -float(torch.cat(chosen).mean())
    return max(0.0, 1.0 - cross_entropy / _entropy(torch.bincount(labels).numpy()))


def _read_part(train: LabelledCodes, test: LabelledCodes, part: slice, attribute: int) -> float:
    """Return the bound of what the probe's linear classifier reads of an attribute from one part."""
    labels, answers = (torch.from_numpy(split.labels[:, attribute]).long() for split in (train, test))
    codes, test_codes = (torch.from_numpy(split.codes[:, part]) for split in (train, test))
    weight, bias = fit_linear_classifier(codes, labels, 1 + int(torch.cat([labels, answers]).max()))
    return bound_information(test_codes @ weight + bias, answers)


def _draw(data: LabelledCodes, seed: int, limit: int) -> LabelledCodes:
    """Return at most `limit` rows, in random order even when all are taken."""
    chosen = np.random.default_rng(seed).permutation(len(data.codes))[:limit]
    return LabelledCodes(data.codes[chosen], data.labels[chosen])


def _concentration(importance: Float[np.ndarray, "rows choices"]) -> float:
    """Return the mean of 1 - H(row) to the base of the number of choices, rows weighing by their sum.

    0 when nothing is important, NaN when there is no row or no choice.
    """
    if importance.shape[0] < 1 or importance.shape[1] < 2:
        return float("nan")
    if not importance.any():
        return 0.0
    rows = importance[importance.any(axis=1)]
    concentrations = [1.0 - _entropy(row) / np.log(len(row)) for row in rows]
    return float(np.average(concentrations, weights=rows.sum(axis=1)))


def _entropy(counts: Num[np.ndarray, " values"]) -> float:
    """Return the entropy in nats of the distribution that counts or weights describe."""
    return float(entr(counts / counts.sum()).sum())
