"""Probes: agreement with scikit-learn, entries known by construction, and the zero that leaks count from."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from diffusegae.metrics.probe import (
    WEIGHT_DECAY,
    LabelledCodes,
    PartReadings,
    fit_linear_classifier,
    measure_parts,
    shuffle_within,
    split_in_proportion,
)
from diffusegae.tuning.matrix import ProbeMatrix

CARDINALITIES = (3, 4)
NAMES = ("shape", "colour")
PARTS = (slice(0, 4), slice(4, 8))


def known_codes(seed: int, n: int, leak: float = 0.0) -> LabelledCodes:
    """Make codes whose first four dimensions hold attribute 0 and last four attribute 1; `leak` adds 1 to the first."""
    random = np.random.default_rng(seed)
    labels = np.stack([random.integers(0, count, n) for count in CARDINALITIES], axis=1)
    first, second = np.eye(4)[labels[:, 0]], np.eye(4)[labels[:, 1]]
    noise = 0.05 * random.normal(size=(n, 8))
    return LabelledCodes(np.concatenate([first + leak * second, second], axis=1) + noise, labels)


def measure(leak: float) -> PartReadings:
    return measure_parts(known_codes(0, 1200, leak), known_codes(1, 400, leak), PARTS, NAMES, CARDINALITIES, seed=0)


def test_disentangled_codes_give_ones_on_the_diagonal_and_their_reference_elsewhere() -> None:
    matrix = ProbeMatrix.of(measure(leak=0.0))
    assert matrix.diagonal.tolist() == [1.0, 1.0]
    assert matrix.chance.tolist() == [1 / 3, 1 / 4]
    assert matrix.accuracy[0, 1] == pytest.approx(1 / 4, abs=0.08)
    assert matrix.reference[1, 0] == pytest.approx(1 / 3, abs=0.08)
    assert abs(matrix.as_metrics()["probe/mean_leak"]) < 0.06
    assert np.isnan(np.diagonal(matrix.leak)).all()


def test_a_leak_into_the_first_part_shows_in_the_first_row() -> None:
    readings = measure(leak=2.0)
    matrix = ProbeMatrix.of(readings)
    assert matrix.accuracy[0, 1] > 0.95
    assert matrix.as_metrics()["probe/max_leak"] == matrix.leak[0, 1] == pytest.approx(3 / 4, abs=0.08)
    assert abs(matrix.leak[1, 0]) < 0.08
    assert matrix.as_metrics()["probe/shape/colour"] == matrix.accuracy[0, 1]


def test_figures_are_per_row_and_their_means_are_the_matrix() -> None:
    readings = measure(leak=2.0)
    figures, matrix = readings.figures(), ProbeMatrix.of(readings)
    assert {name: len(values) for name, values in figures.items()} == dict.fromkeys(
        ["own/shape", "own/colour", "leak/shape/colour", "leak/colour/shape", "reads/shape/colour",
         "reads/colour/shape", "leak", "full/shape", "full/colour"], 400,
    )  # fmt: skip
    assert figures["leak/shape/colour"].mean() == pytest.approx(matrix.leak[0, 1])
    assert figures["leak"].mean() == pytest.approx(matrix.as_metrics()["probe/mean_leak"])
    assert figures["full/shape"].tolist() == [1.0] * 400
    assert set(readings.figures("mlp_")) == {
        "mlp_own/shape", "mlp_own/colour", "mlp_leak/shape/colour", "mlp_leak/colour/shape", "mlp_leak",
    }  # fmt: skip
    assert figures["reads/shape/colour"].mean() == matrix.accuracy[0, 1]


def held_out_combinations() -> tuple[LabelledCodes, LabelledCodes]:
    """Make one-hot codes of every combination of (5, 6, 7) values, a fifth of the combinations held out."""
    labels = np.array(list(product(range(5), range(6), range(7))))
    is_test = np.random.default_rng(3).random(len(labels)) < 0.2
    codes = np.concatenate([np.eye(count)[labels[:, a]] for a, count in enumerate((5, 6, 7))], axis=1)
    return LabelledCodes(codes[~is_test], labels[~is_test]), LabelledCodes(codes[is_test], labels[is_test])


def test_the_reference_is_the_best_guess_from_the_own_value_below_chance_where_combinations_are_held_out() -> None:
    train, test = held_out_combinations()
    parts = (slice(0, 5), slice(5, 11), slice(11, 18))
    found = ProbeMatrix.of(measure_parts(train, test, parts, "abc", (5, 6, 7), seed=0))
    for r, a in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]:
        best = []
        for row in test.labels:
            counts = Counter(train.labels[train.labels[:, r] == row[r], a])
            first = [value for value, count in counts.items() if count == max(counts.values())]
            best.append((row[a] in first) / len(first))
        tied = np.sqrt(sum(share * (1 - share) for share in best)) / len(best)  # whichever of them it answers
        assert found.reference[r, a] == pytest.approx(np.mean(best), abs=0.01 + 2 * tied)
        assert found.accuracy[r, a] == found.reference[r, a]  # a one-hot code has nothing to shuffle
    off_diagonal = ~np.eye(3, dtype=bool)
    assert (found.reference - found.chance)[off_diagonal].mean() < -0.03
    assert found.as_metrics()["probe/mean_leak"] == found.as_metrics()["probe/max_leak"] == 0.0


def test_shuffling_keeps_the_own_value_and_loses_the_rest() -> None:
    labels = np.array(list(product(range(3), range(4))) * 50)
    mixed = shuffle_within(labels.astype(float), labels[:, 0], np.random.default_rng(0))
    assert (mixed[:, 0] == labels[:, 0]).all()
    assert np.mean(mixed[:, 1] == labels[:, 1]) == pytest.approx(1 / 4, abs=0.06)
    assert sorted(map(tuple, mixed)) == sorted(map(tuple, labels.astype(float)))


def test_the_own_value_may_be_finer_than_what_is_read() -> None:
    """An instance's very code is what its part should hold, and says more than its kind."""
    random = np.random.default_rng(0)
    instance, colour = random.integers(0, 12, 2400), random.integers(0, 4, 2400)
    colour[instance < 3] = instance[instance < 3]  # these instances have one colour each
    labels, own = np.stack([instance // 6, colour], axis=1), np.stack([instance, colour], axis=1)
    codes = np.concatenate([np.eye(12)[instance], np.eye(4)[colour]], axis=1)

    def leak_of(own: np.ndarray) -> float:
        train, test = (LabelledCodes(codes[h], labels[h], own[h]) for h in (slice(0, 1600), slice(1600, 2400)))
        readings = measure_parts(train, test, (slice(0, 12), slice(12, 16)), NAMES, (2, 4), seed=0)
        return float(ProbeMatrix.of(readings).leak[0, 1])

    assert leak_of(own) == pytest.approx(0, abs=0.01)
    assert leak_of(labels) > 0.1


def test_values_that_training_has_not_and_rows_that_nothing_can_be_shuffled_with_are_not_measured() -> None:
    train, test = known_codes(0, 300), known_codes(1, 60)
    unseen = test.labels.copy()
    unseen[0] = (7, unseen[0, 1])
    readings = measure_parts(train, LabelledCodes(test.codes, unseen), PARTS, NAMES, CARDINALITIES, seed=0)
    assert np.isnan(readings.reads[0, :, 0]).all()
    assert not np.isnan(readings.reads[0, :, 1]).any()
    assert not np.isnan(readings.reads[1:]).any()
    assert np.isnan(readings.reference[0, 0, 1])  # the only row of its shape
    assert np.isnan(readings.figures()["leak"][0])
    assert not np.isnan(ProbeMatrix.of(readings).leak[0, 1])


def test_constant_dimensions_answer_the_most_frequent_training_value() -> None:
    codes = np.zeros((10, 2))
    train = LabelledCodes(codes, np.array([[0, 1]] * 7 + [[1, 0]] * 3))
    test = LabelledCodes(codes, np.array([[0, 1]] * 4 + [[1, 1]] * 6))
    matrix = ProbeMatrix.of(measure_parts(train, test, (slice(0, 1), slice(1, 2)), NAMES, (2, 2), seed=0))
    assert matrix.accuracy.tolist() == [[0.4, 1.0]] * 2


def test_an_attribute_of_one_value_is_read() -> None:
    train = known_codes(0, 50)
    constant = LabelledCodes(train.codes, train.labels * [1, 0])
    readings = measure_parts(constant, constant, PARTS, NAMES, CARDINALITIES, seed=0)
    assert readings.reads[:, :, 1].tolist() == [[1.0, 1.0]] * 50


def test_classifier_reaches_scikit_learns_optimum() -> None:
    data = known_codes(3, 300)
    codes = torch.from_numpy(data.codes + np.random.default_rng(4).normal(size=data.codes.shape)).float()
    labels = torch.from_numpy(data.labels[:, 1])
    weight, bias = fit_linear_classifier(codes, labels, 4)
    theirs = LogisticRegression(C=1 / (len(codes) * WEIGHT_DECAY), tol=1e-8, max_iter=2000)
    theirs.fit(codes.numpy(), labels.numpy())
    ours = torch.softmax(codes @ weight + bias, dim=1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(codes.numpy()), atol=2e-3)


def test_split_in_proportion_covers_the_code() -> None:
    assert split_in_proportion((60, 20, 20), 512) == (slice(0, 307), slice(307, 410), slice(410, 512))
