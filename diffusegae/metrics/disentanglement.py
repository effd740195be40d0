"""DCI, MIG and SAP: how far each attribute sits in a place of its own in a code, by the field's three measures.

- DCI: Eastwood & Williams, ICLR 2018, "A Framework for the Quantitative Evaluation of Disentangled Representations"
- MIG: Chen et al., NeurIPS 2018, arXiv 1802.04942
- SAP: Kumar et al., ICLR 2018, arXiv 1711.00848, for discrete attributes

Each is given in two forms. Per dimension they are the papers' measures, with the settings of Google's
disentanglement_lib; differences are said where they are made. A method that gives an attribute a part of several
dimensions cannot score 1 on completeness, MIG or SAP of that form, however well it separates. Per part, a whole part
plays the role of a dimension: its importance is the sum over its dimensions, what it tells is what a linear classifier
reads from all of it. Figures of the two forms are not comparable with each other, nor those per part with the papers'.

Dead ends have one rule each. A dimension that is constant in training has importance 0, information 0 and the accuracy
of a guess, 1 / number of values (a part of such dimensions: of always answering the most frequent value). An attribute
with a single value among the rows drawn, in training or in test, is left out: its figures are NaN and means run over
the others. Means over no attribute, and DCI's disentanglement when fewer than two attributes are left, are NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import entr
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.svm import LinearSVC
from torch import Tensor

from diffusegae.metrics.probe import LabelledCodes, fit_linear_classifier

NUM_BINS = 20  # of MIG's histograms, as in disentanglement_lib
MIN_ROUNDS, MAX_ROUNDS = 10, 100  # of boosting; disentanglement_lib takes 100
MAX_TREES = 2000  # per attribute, unless MIN_ROUNDS needs more; a round grows a tree for every value
L2 = 1.0  # XGBoost's default; without it the trees of a value with few rows take boundless steps and learn noise
SCALES = tuple(2.0 ** (step / 2) for step in range(-12, 7))  # of the logits, 1 / temperature


@dataclass(frozen=True)
class UnitReadings:
    """What each unit of a code (a dimension, or a part) tells of each attribute, and the scores that follow from it.

    `importance` is DCI's R with columns that sum to 1 (to 0 where nothing was learnt), `information` the mutual
    information as a share of the attribute's entropy, `accuracy` that of a linear classifier; all in [0, 1]. The column
    of an attribute that was left out is NaN.
    """

    importance: Float[np.ndarray, "units m"]
    information: Float[np.ndarray, "units m"]
    accuracy: Float[np.ndarray, "units m"]

    @property
    def disentanglement(self) -> float:
        """DCI's D in [0, 1]: 1 when every unit matters to one attribute only; units weigh by their importance."""
        return _concentration(_without_nan_columns(self.importance))

    @property
    def completeness(self) -> float:
        """DCI's C in [0, 1]: 1 when every attribute needs one unit only."""
        return _concentration(_without_nan_columns(self.importance).T)

    @property
    def information_gaps(self) -> Float[np.ndarray, " m"]:
        """MIG of each attribute, in [0, 1]: the most informative unit against the next."""
        return _gaps(self.information)

    @property
    def accuracy_gaps(self) -> Float[np.ndarray, " m"]:
        """SAP of each attribute: the most accurate unit against the next; its ideal is 1 - 1/|A|, not 1."""
        return _gaps(self.accuracy)

    def as_metrics(self, names: Sequence[str], prefix: str = "") -> dict[str, float]:
        """Return flat metrics: `dci/…`, `mig/mean_gap`, `mig/<attribute>` and the same of `sap`, after the prefix."""
        metrics = {
            f"{prefix}dci/disentanglement": self.disentanglement,
            f"{prefix}dci/completeness": self.completeness,
        }
        for measure, gaps in (("mig", self.information_gaps), ("sap", self.accuracy_gaps)):
            metrics[f"{prefix}{measure}/mean_gap"] = _mean(gaps)
            metrics |= {f"{prefix}{measure}/{name}": float(gap) for name, gap in zip(names, gaps, strict=True)}
        return metrics


@dataclass(frozen=True)
class Disentanglement:
    """The three measures of one code, per dimension and, where the code has parts, per part."""

    names: tuple[str, ...]
    informativeness: Float[np.ndarray, " m"]  # held-out accuracy of the boosted trees that gave the importances
    dimensions: UnitReadings
    parts: UnitReadings | None
    num_train: int  # rows drawn
    num_test: int

    @property
    def mean_informativeness(self) -> float:
        """DCI's I as disentanglement_lib reports it: accuracy, so 1 is best (the paper's is an error)."""
        return _mean(self.informativeness)

    def as_metrics(self) -> dict[str, float]:
        """Return flat metrics, NaN for what was left out.

        `dci/disentanglement`, `dci/completeness`, `dci/informativeness`, `dci/accuracy/<attribute>`, `mig/mean_gap`,
        `mig/<attribute>`, `sap/mean_gap`, `sap/<attribute>`; then those of the parts, with `part_` before them. The
        trees read the whole code in both forms, so informativeness stands there once.
        """
        metrics = self.dimensions.as_metrics(self.names)
        metrics["dci/informativeness"] = self.mean_informativeness
        accuracies = zip(self.names, self.informativeness, strict=True)
        metrics |= {f"dci/accuracy/{name}": float(accuracy) for name, accuracy in accuracies}
        return metrics if self.parts is None else metrics | self.parts.as_metrics(self.names, prefix="part_")


def measure_disentanglement(
    train: LabelledCodes,
    test: LabelledCodes,
    names: Sequence[str],
    parts: Sequence[slice] | None = None,
    *,
    seed: int,
    limit: int = 5000,
) -> Disentanglement:
    """Measure DCI, MIG and SAP of a code; models are fitted on `train` and scored on `test`.

    `names` are the attributes in the order of the label columns, `parts` the slices of the code that count as units
    (AttributeSchema.slices, or `split_in_proportion` for a code that has none); dimensions outside them do not count in
    the second form. Time is bounded by drawing at most `limit` rows of each split by `seed`, and by MAX_TREES; it grows
    in proportion to rows, dimensions and trees. Only MIG per dimension sees every training row: it is cheap, and
    histograms of few rows overstate information.

    Raises:
        ValueError: the code has a single dimension or part, so that there is no second best, or a name is missing.
    """
    _check(train, names, parts)
    drawn, drawn_test = _standardise(_draw(train, seed, limit), _draw(test, seed + 1, limit))
    kept = [a for a in range(len(names)) if _varies(drawn, a) and _varies(drawn_test, a)]
    boosted = {a: measure_importance(drawn, drawn_test, a, seed=seed) for a in kept}
    importance = {a: shares for a, (shares, _) in boosted.items()}
    dimensions = UnitReadings(
        importance=_columns(importance, len(names), train.codes.shape[1]),
        information=_columns({a: measure_information(train, a) for a in kept}, len(names), train.codes.shape[1]),
        accuracy=_columns({a: _read_dimensions(drawn, drawn_test, a) for a in kept}, len(names), train.codes.shape[1]),
    )
    accuracy = {a: np.array([score]) for a, (_, score) in boosted.items()}
    return Disentanglement(
        names=tuple(names),
        informativeness=_columns(accuracy, len(names), 1)[0],
        dimensions=dimensions,
        parts=None if parts is None else _measure_parts(drawn, drawn_test, importance, parts),
        num_train=len(drawn.codes),
        num_test=len(drawn_test.codes),
    )


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

    NaN when the attribute has a single value.
    """
    low, high = data.codes.min(axis=0), data.codes.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    bins = np.minimum((data.codes - low) / width * NUM_BINS, NUM_BINS - 1).astype(np.int64)
    values, labels = np.unique(data.labels[:, attribute], return_inverse=True)
    entropy = _entropy(np.bincount(labels))
    if not entropy > 0:
        return np.full(data.codes.shape[1], np.nan)
    information = np.empty(data.codes.shape[1])
    for i in range(data.codes.shape[1]):
        cells = np.bincount(bins[:, i] * len(values) + labels, minlength=NUM_BINS * len(values))
        information[i] = _entropy(np.bincount(bins[:, i])) + entropy - _entropy(cells)
    return np.clip(information / entropy, 0.0, 1.0)  # rounding only


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
    entropy = _entropy(torch.bincount(labels).numpy())
    return max(0.0, 1.0 - cross_entropy / entropy)


def _measure_parts(
    train: LabelledCodes,
    test: LabelledCodes,
    importance: Mapping[int, Float[np.ndarray, " dim"]],
    parts: Sequence[slice],
) -> UnitReadings:
    """Read every part by the probe's classifier: its accuracy (as in Table 1) serves SAP, its cross-entropy MIG."""
    num_attributes = train.labels.shape[1]
    readings = {a: np.array([_read_part(train, test, part, a) for part in parts]) for a in importance}
    shares = {a: np.array([shares[part].sum() for part in parts]) for a, shares in importance.items()}
    # Where parts leave dimensions out, the rest is taken as the whole, so that columns sum to 1 again.
    shares = {a: share / (share.sum() or 1.0) for a, share in shares.items()}
    return UnitReadings(
        importance=_columns(shares, num_attributes, len(parts)),
        information=_columns({a: reading[:, 0] for a, reading in readings.items()}, num_attributes, len(parts)),
        accuracy=_columns({a: reading[:, 1] for a, reading in readings.items()}, num_attributes, len(parts)),
    )


def _read_part(train: LabelledCodes, test: LabelledCodes, part: slice, attribute: int) -> tuple[float, float]:
    """Return the information bound and the accuracy of a linear classifier on one part."""
    labels, answers = (torch.from_numpy(split.labels[:, attribute]).long() for split in (train, test))
    codes, test_codes = (torch.from_numpy(split.codes[:, part]).float() for split in (train, test))
    weight, bias = fit_linear_classifier(codes, labels, 1 + int(torch.cat([labels, answers]).max()))
    logits = test_codes @ weight + bias
    return bound_information(logits, answers), float((logits.argmax(dim=1) == answers).double().mean())


def _read_dimensions(train: LabelledCodes, test: LabelledCodes, attribute: int) -> Float[np.ndarray, " dim"]:
    """Return the held-out accuracy of a linear SVM on each dimension alone.

    The SVM is disentanglement_lib's. That it sees standardised codes is ours: the scale of a code must not count.
    """
    labels, answers = train.labels[:, attribute], test.labels[:, attribute]
    accuracies = np.full(train.codes.shape[1], 1.0 / len(np.unique(labels)))
    for i in np.flatnonzero(np.ptp(train.codes, axis=0) > 0):
        column = slice(i, i + 1)
        model = LinearSVC(C=0.01, class_weight="balanced").fit(train.codes[:, column], labels)
        accuracies[i] = np.mean(model.predict(test.codes[:, column]) == answers)
    return accuracies


def _check(train: LabelledCodes, names: Sequence[str], parts: Sequence[slice] | None) -> None:
    if len(names) != train.labels.shape[1]:
        raise ValueError(f"{len(names)} names {list(names)} for {train.labels.shape[1]} columns of labels; name each")
    if train.codes.shape[1] < 2:
        raise ValueError(f"the code has {train.codes.shape[1]} dimension(s); a gap to the second best needs 2 or more")
    if parts is not None and len(parts) < 2:
        raise ValueError(f"{len(parts)} part(s) given; a gap to the second best needs 2 or more. Leave parts out")


def _draw(data: LabelledCodes, seed: int, limit: int) -> LabelledCodes:
    """Return at most `limit` rows, in random order even when all are taken."""
    chosen = np.random.default_rng(seed).permutation(len(data.codes))[:limit]
    return LabelledCodes(data.codes[chosen], data.labels[chosen])


def _standardise(train: LabelledCodes, test: LabelledCodes) -> tuple[LabelledCodes, LabelledCodes]:
    """Bring both splits to the mean and deviation of the first; a constant dimension stays constant."""
    mean, is_constant = train.codes.mean(axis=0), np.ptp(train.codes, axis=0) == 0
    scale = np.where(is_constant, 1.0, train.codes.std(axis=0))
    splits = (LabelledCodes((split.codes - mean) / scale, split.labels) for split in (train, test))
    return next(splits), next(splits)


def _varies(data: LabelledCodes, attribute: int) -> bool:
    return len(np.unique(data.labels[:, attribute])) > 1


def _columns(
    values: Mapping[int, Float[np.ndarray, " units"]], num_attributes: int, num_units: int
) -> Float[np.ndarray, "units m"]:
    """Set columns side by side, NaN where an attribute has none."""
    nothing = np.full(num_units, np.nan)
    return np.stack([values.get(a, nothing) for a in range(num_attributes)], axis=1)


def _without_nan_columns(table: Float[np.ndarray, "units m"]) -> Float[np.ndarray, "units kept"]:
    is_kept: Bool[np.ndarray, " m"] = ~np.isnan(table).any(axis=0)
    return table[:, is_kept]


def _concentration(importance: Float[np.ndarray, "rows choices"]) -> float:
    """Return the mean of 1 - H(row) to the base of the number of choices, rows weighing by their sum.

    0 when nothing is important, NaN when there is no row or no choice.
    """
    if importance.shape[0] < 1 or importance.shape[1] < 2:
        return float("nan")
    sums = importance.sum(axis=1, keepdims=True)
    if not sums.sum() > 0:
        return 0.0
    shares = importance / np.where(sums > 0, sums, 1.0)
    concentration = 1.0 - entr(shares).sum(axis=1) / np.log(importance.shape[1])
    return float(concentration @ sums[:, 0] / sums.sum())


def _gaps(table: Float[np.ndarray, "units m"]) -> Float[np.ndarray, " m"]:
    ordered = np.sort(table, axis=0)
    return np.asarray(ordered[-1] - ordered[-2])


def _mean(values: Float[np.ndarray, " m"]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _entropy(counts: Int[np.ndarray, " values"]) -> float:
    """Return the entropy in nats of the distribution that counts describe."""
    return float(entr(counts / counts.sum()).sum())
