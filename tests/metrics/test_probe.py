"""Linear probes: agreement with scikit-learn, and matrices whose entries are known by construction."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from diffusegae.metrics.probe import (
    WEIGHT_DECAY,
    LabelledCodes,
    ProbeMatrix,
    fit_linear_classifier,
    measure_probe_matrix,
    split_in_proportion,
)

CARDINALITIES = (3, 4)
NAMES = ("shape", "colour")


def known_codes(seed: int, n: int, leak: float = 0.0) -> LabelledCodes:
    """Make codes whose first four dimensions hold attribute 0 and last four attribute 1; `leak` adds 1 to the first."""
    random = np.random.default_rng(seed)
    labels = np.stack([random.integers(0, count, n) for count in CARDINALITIES], axis=1)
    first, second = np.eye(4)[labels[:, 0]], np.eye(4)[labels[:, 1]]
    noise = 0.05 * random.normal(size=(n, 8))
    return LabelledCodes(np.concatenate([first + leak * second, second], axis=1) + noise, labels)


def measure(leak: float) -> ProbeMatrix:
    parts = (slice(0, 4), slice(4, 8))
    return measure_probe_matrix(known_codes(0, 1200, leak), known_codes(1, 400, leak), parts, NAMES, CARDINALITIES)


def test_disentangled_codes_give_ones_on_the_diagonal_and_chance_elsewhere() -> None:
    matrix = measure(leak=0.0)
    assert matrix.diagonal.tolist() == [1.0, 1.0]
    assert matrix.chance.tolist() == [1 / 3, 1 / 4]
    assert matrix.accuracy[0, 1] == pytest.approx(1 / 4, abs=0.08)
    assert matrix.accuracy[1, 0] == pytest.approx(1 / 3, abs=0.08)
    assert abs(matrix.mean_excess) < 0.06
    assert matrix.full_code.tolist() == [1.0, 1.0]


def test_a_leak_into_the_first_part_shows_in_the_first_row() -> None:
    matrix = measure(leak=2.0)
    assert matrix.accuracy[0, 1] > 0.95
    assert matrix.accuracy[1, 0] == pytest.approx(1 / 3, abs=0.08)
    assert matrix.max_excess == pytest.approx(matrix.accuracy[0, 1] - 1 / 4)


def test_excess_is_the_signed_mean_over_the_off_diagonal_against_the_columns_chance() -> None:
    matrix = ProbeMatrix(
        names=NAMES,
        accuracy=np.array([[1.0, 0.35], [0.25, 0.9]]),
        full_code=np.ones(2),
        chance=np.array([1 / 3, 1 / 4]),
        majority=np.array([0.4, 0.3]),
        num_train=8,
        num_test=2,
    )
    np.testing.assert_allclose(matrix.off_diagonal_excess, [0.10, 0.25 - 1 / 3])
    assert matrix.mean_excess == pytest.approx((0.10 + 0.25 - 1 / 3) / 2)
    assert matrix.max_excess == pytest.approx(0.10)
    assert matrix.as_metrics()["probe/shape/colour"] == 0.35
    assert "| part shape | **1.000** | 0.350 |" in matrix.as_markdown()
    assert matrix.as_rows()[-1] == ("majority", [0.4, 0.3])


def test_majority_answers_the_most_frequent_training_value() -> None:
    codes = np.zeros((10, 2))
    train = LabelledCodes(codes, np.array([[0, 1]] * 7 + [[1, 0]] * 3))
    test = LabelledCodes(codes, np.array([[0, 1]] * 4 + [[1, 1]] * 6))
    matrix = measure_probe_matrix(train, test, (slice(0, 1), slice(1, 2)), NAMES, (2, 2))
    assert matrix.majority.tolist() == [0.4, 1.0]
    assert np.isfinite(matrix.accuracy).all()  # constant dimensions do no harm


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
