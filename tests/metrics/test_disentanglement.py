"""DCI and MIG: closed forms, codes with scores known by construction, agreement with scikit-learn and SciPy."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import mutual_info_score

from diffusegae.metrics.disentanglement import (
    NUM_BINS,
    QUANTITIES,
    Disentanglement,
    UnitReadings,
    bound_information,
    measure_disentanglement,
    measure_importance,
    measure_information,
)
from diffusegae.metrics.probe import LabelledCodes

NAMES = ("shape", "colour")
PARTS = (slice(0, 3), slice(3, 7))
AXES = (slice(0, 1), slice(1, 2))
QUARTER_FLIPPED = 1 + 0.25 * math.log2(0.25) + 0.75 * math.log2(0.75)  # what a bit tells that is wrong in 1 of 4 cases


def factorial(cardinalities: tuple[int, ...], repeats: int) -> np.ndarray:
    """Return every combination of values equally often, so that attributes are exactly independent."""
    return np.array(list(product(*map(range, cardinalities))) * repeats)


def one_hot(repeats: int) -> LabelledCodes:
    labels = factorial((3, 4), repeats)
    return LabelledCodes(np.concatenate([np.eye(3)[labels[:, 0]], np.eye(4)[labels[:, 1]]], axis=1), labels)


def noise(seed: int, n: int) -> LabelledCodes:
    random = np.random.default_rng(seed)
    return LabelledCodes(random.normal(size=(n, 6)), random.integers(0, 3, (n, 2)))


def grid(seed: int, degrees: float) -> LabelledCodes:
    """Make codes that hold one attribute along each of two axes, with a little noise, turned by an angle."""
    labels = factorial((4, 4), 25)
    codes = labels - 1.5 + 0.05 * np.random.default_rng(seed).normal(size=labels.shape)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return LabelledCodes(codes @ np.array([[cosine, sine], [-sine, cosine]]), labels)


def read(importance: list[list[float]]) -> UnitReadings:
    table = np.array(importance)
    return UnitReadings(table, np.zeros_like(table))


def disentanglement(readings: UnitReadings) -> float:
    return readings.as_metrics()["dci_disentanglement"]


def completeness(readings: UnitReadings) -> float:
    return readings.as_metrics()["dci_completeness"]


def test_a_unit_that_serves_one_attribute_is_disentangled_and_two_that_share_one_are_incomplete() -> None:
    readings = read([[0.5, 0.0], [0.5, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert disentanglement(readings) == pytest.approx(1.0)
    assert completeness(readings) == pytest.approx((1 - math.log(2) / math.log(4) + 1) / 2)


def test_disentanglement_and_completeness_are_the_papers_sums() -> None:
    importance = np.random.default_rng(0).dirichlet(np.full(5, 0.5), size=3).T
    per_unit = 1 - entropy(importance.T, base=3)
    readings = read(importance.tolist())
    assert disentanglement(readings) == pytest.approx(np.average(per_unit, weights=importance.sum(axis=1)))
    assert completeness(readings) == pytest.approx(np.mean(1 - entropy(importance, base=5)))
    assert 0.05 < disentanglement(readings) < 0.95


def test_equal_importance_scores_nothing() -> None:
    readings = read([[0.25, 0.25]] * 4)
    assert disentanglement(readings) == pytest.approx(0.0, abs=1e-12)
    assert completeness(readings) == pytest.approx(0.0, abs=1e-12)


def test_gaps_are_between_the_two_best_units_of_each_attribute() -> None:
    information = np.array([[0.9, 0.1], [0.2, 0.4], [0.3, 0.3]])
    readings = UnitReadings(np.full((3, 2), 1 / 3), information)
    np.testing.assert_allclose(readings.gaps, [0.6, 0.1])
    assert readings.as_metrics("part_")["part_mig"] == pytest.approx(0.35)


def test_one_dimension_for_each_of_two_bits_is_perfect_in_every_measure() -> None:
    labels = factorial((2, 2), 50)
    data = LabelledCodes(labels.astype(float), labels)
    metrics = measure_disentanglement(data, data, NAMES, AXES, seed=0).as_metrics()
    assert set(metrics) == {quantity.key for quantity in QUANTITIES}
    assert metrics == pytest.approx(dict.fromkeys(metrics, 1.0), abs=0.02)
    assert metrics["dci_disentanglement"] == metrics["dci_completeness"] == metrics["dci_informativeness"] == 1.0
    assert metrics["mig"] == pytest.approx(1.0)


def test_a_one_hot_code_is_perfect_per_part_though_not_per_dimension() -> None:
    result = measure_disentanglement(one_hot(40), one_hot(20), NAMES, PARTS, seed=0)
    assert disentanglement(result.parts) == pytest.approx(1.0)
    assert completeness(result.parts) == pytest.approx(1.0)
    assert result.parts.gaps == pytest.approx([1.0, 1.0], abs=0.02)
    assert result.informativeness.tolist() == [1.0, 1.0]
    assert disentanglement(result.dimensions) == pytest.approx(1.0)
    assert completeness(result.dimensions) < 0.8
    assert result.dimensions.gaps == pytest.approx([0.0, 0.0], abs=1e-9)


def test_noise_scores_about_nothing() -> None:
    parts = (slice(0, 3), slice(3, 6))
    result = measure_disentanglement(noise(0, 1000), noise(1, 1000), NAMES, parts, seed=0)
    for readings in (result.dimensions, result.parts):
        assert disentanglement(readings) < 0.05
        assert completeness(readings) < 0.05
        assert readings.gaps.max() < 0.05
    assert result.informativeness == pytest.approx([1 / 3, 1 / 3], abs=0.06)


def test_a_rotation_keeps_informativeness_and_loses_disentanglement() -> None:
    straight = measure_disentanglement(grid(0, 0), grid(1, 0), NAMES, AXES, seed=0)
    turned = measure_disentanglement(grid(0, 45), grid(1, 45), NAMES, AXES, seed=0)
    assert straight.informativeness.mean() > 0.99
    assert turned.informativeness.mean() > 0.97
    assert disentanglement(straight.dimensions) > 0.95
    assert disentanglement(turned.dimensions) < 0.1
    assert completeness(straight.dimensions) > 0.95
    assert completeness(turned.dimensions) < 0.1
    assert straight.dimensions.gaps.min() > 0.95
    assert turned.dimensions.gaps.max() < 0.1


def test_information_of_a_bit_that_is_wrong_once_in_four() -> None:
    data = LabelledCodes(np.array([[0, 0], [0, 1], [0, 0], [1, 1], [1, 0], [1, 1], [1, 0], [0, 1]]) * 7.0 - 3.0,
                         np.repeat([0, 1], 4)[:, None])  # fmt: skip
    information = measure_information(data, 0)
    np.testing.assert_allclose(information, [QUARTER_FLIPPED, 0.0], atol=1e-12)


def test_information_agrees_with_scikit_learn_on_disentanglement_libs_bins() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 5, (700, 1)) + 3  # values need not start at 0
    codes = random.normal(size=(700, 4)) + labels * np.array([0.0, 0.3, 1.0, 5.0])
    shares = np.bincount(labels[:, 0])[3:] / 700
    theirs = [
        mutual_info_score(labels[:, 0], np.digitize(column, np.histogram(column, NUM_BINS)[1][:-1]))
        for column in codes.T
    ]
    ours = measure_information(LabelledCodes(codes, labels), 0)
    np.testing.assert_allclose(ours, np.array(theirs) / -(shares * np.log(shares)).sum(), atol=1e-9)


def test_part_importance_is_the_share_of_its_dimensions() -> None:
    result = measure_disentanglement(one_hot(20), one_hot(20), NAMES, (slice(0, 1), slice(2, 5)), seed=0)
    importance = result.dimensions.importance
    inside = np.stack([importance[0], importance[2:5].sum(axis=0)])
    assert inside.sum(axis=0)[0] < 0.9  # dimension 1 lies outside of both
    np.testing.assert_allclose(result.parts.importance, inside / inside.sum(axis=0))


@pytest.mark.parametrize("confidence", [0.25, 1.0, 8.0])
def test_bound_is_tight_for_the_true_posterior_however_confident(confidence: float) -> None:
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    seen = labels ^ np.array([1, 1, 0, 0, 0, 0, 0, 0] * 2)
    log_posterior = torch.from_numpy(np.log(np.where(np.eye(2)[seen] > 0, 0.75, 0.25)))
    bound = bound_information(confidence * log_posterior, torch.from_numpy(labels))
    assert bound == pytest.approx(QUARTER_FLIPPED)


def test_bound_stays_below_the_information_of_two_overlapping_gaussians() -> None:
    random = np.random.default_rng(4)
    labels = random.integers(0, 2, 20_000)
    x = random.normal(size=20_000) + 2 * labels - 1
    density = np.exp(-0.5 * (np.linspace(-8, 8, 4001)[:, None] - [-1, 1]) ** 2) / math.sqrt(2 * math.pi)
    posterior = density / density.sum(axis=1, keepdims=True)
    step = 16 / 4000
    truth = 1 - float((-(density / 2) * np.log2(posterior)).sum()) * step
    true_logits = torch.from_numpy(np.stack([-x, x], axis=1))
    wrong_logits = torch.from_numpy(np.stack([-x, x + 1], axis=1))
    assert bound_information(true_logits, torch.from_numpy(labels)) == pytest.approx(truth, abs=0.01)
    assert bound_information(wrong_logits, torch.from_numpy(labels)) < truth - 0.02


def test_bound_of_confident_nonsense_is_zero() -> None:
    random = np.random.default_rng(5)
    logits = torch.from_numpy(30 * random.normal(size=(400, 5)))
    assert bound_information(logits, torch.from_numpy(random.integers(0, 5, 400))) == pytest.approx(0.0, abs=0.02)


def test_importance_agrees_with_gradient_boosting_on_exact_splits() -> None:
    random = np.random.default_rng(6)
    codes = random.normal(size=(600, 5))
    score = codes @ np.array([2.0, 1.0, 0.5, 0.0, 0.0])
    labels = np.digitize(score, [-1.0, 1.0])[:, None]
    data = LabelledCodes(codes, labels)
    shares, accuracy = measure_importance(data, data, 0, seed=0)
    theirs = GradientBoostingClassifier(random_state=0).fit(codes, labels[:, 0])
    np.testing.assert_allclose(shares, theirs.feature_importances_, atol=0.08)
    assert shares.sum() == pytest.approx(1.0)
    assert np.argsort(-shares)[:3].tolist() == [0, 1, 2]
    assert accuracy == pytest.approx(theirs.score(codes, labels[:, 0]), abs=0.03)


def many_values(seed: int) -> LabelledCodes:
    """Make codes of 100 values with 20 rows each, read from 10 dimensions and not from the other 20."""
    labels = np.repeat(np.arange(100), 20)[:, None]
    centres = np.random.default_rng(9).normal(size=(100, 10))
    codes = np.concatenate([centres[labels[:, 0]], np.zeros((len(labels), 20))], axis=1)
    return LabelledCodes(codes + 0.5 * np.random.default_rng(seed).normal(size=codes.shape), labels)


def test_trees_of_many_values_with_few_rows_do_not_learn_noise() -> None:
    """Without regularisation half of the importance lay on the noise, and a perfect code looked entangled."""
    shares, accuracy = measure_importance(many_values(0), many_values(1), 0, seed=0)
    assert shares[:10].sum() > 0.95
    assert accuracy > 0.65


def test_a_constant_dimension_and_an_attribute_of_one_value_do_no_harm() -> None:
    data = one_hot(15)
    codes = np.concatenate([data.codes, np.full((len(data.codes), 1), 0.3)], axis=1)
    labels = np.concatenate([data.labels, np.full((len(data.codes), 1), 2)], axis=1)
    parts = (slice(0, 3), slice(3, 7), slice(7, 8))
    full = LabelledCodes(codes, labels)
    result = measure_disentanglement(full, full, (*NAMES, "size"), parts, seed=0)
    readings, of_parts = result.dimensions, result.parts
    assert readings.importance[7, :2].tolist() == readings.information[7, :2].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(of_parts.information[2, :2], [0.0, 0.0], atol=1e-6)
    for table in (readings, of_parts):
        for values in (table.importance, table.information):
            assert np.isnan(values[:, 2]).all()
            assert not np.isnan(values[:, :2]).any()
    metrics = result.as_metrics()
    assert not any(math.isnan(value) for value in metrics.values())  # means run over the others
    assert np.isnan(result.informativeness).tolist() == [False, False, True]
    assert metrics["part_dci_disentanglement"] == pytest.approx(1.0)


def test_a_constant_code_scores_zero() -> None:
    data = LabelledCodes(np.ones((60, 4)), factorial((2, 3), 10))
    result = measure_disentanglement(data, data, NAMES, (slice(0, 2), slice(2, 4)), seed=0)
    scores = result.as_metrics()
    del scores["dci_informativeness"]
    assert scores == pytest.approx(dict.fromkeys(scores, 0.0), abs=1e-6)
    assert result.informativeness == pytest.approx([1 / 2, 1 / 3])


def test_without_any_attribute_that_varies_all_is_nan() -> None:
    data = LabelledCodes(np.random.default_rng(7).normal(size=(20, 2)), np.zeros((20, 2), dtype=np.int64))
    metrics = measure_disentanglement(data, data, NAMES, AXES, seed=0).as_metrics()
    defined = {name for name, value in metrics.items() if not math.isnan(value)}
    assert defined == set()
    assert len(metrics) == len(QUANTITIES)


def test_a_value_that_training_has_not_seen_counts_as_an_error() -> None:
    data = one_hot(10)
    unseen = LabelledCodes(data.codes, np.where(data.labels == 2, 9, data.labels))
    result = measure_disentanglement(data, unseen, NAMES, PARTS, seed=0)
    assert result.informativeness == pytest.approx([2 / 3, 3 / 4])
    assert (np.diagonal(result.parts.information) < 0.8).all()


def measure_limited(seed: int) -> Disentanglement:
    parts = (slice(0, 3), slice(3, 6))
    return measure_disentanglement(noise(0, 400), noise(1, 300), NAMES, parts, seed=seed, limit=90)


def test_rows_are_drawn_by_the_seed_and_histograms_take_them_all() -> None:
    first, again, other = (measure_limited(seed) for seed in (0, 0, 1))
    assert (first.informativeness * 90 % 1 == 0).all()
    assert first.as_metrics() == again.as_metrics()
    assert first.as_metrics()["dci_informativeness"] != other.as_metrics()["dci_informativeness"]
    np.testing.assert_array_equal(first.dimensions.information[:, 1], measure_information(noise(0, 400), 1))
    np.testing.assert_array_equal(first.dimensions.information, other.dimensions.information)


def test_what_has_no_second_best_or_no_name_is_refused() -> None:
    data = one_hot(1)
    with pytest.raises(ValueError, match="1 names .* 2 columns"):
        measure_disentanglement(data, data, ("shape",), PARTS, seed=0)
    narrow = LabelledCodes(data.codes[:, :1], data.labels)
    with pytest.raises(ValueError, match=r"1 dimension\(s\)"):
        measure_disentanglement(narrow, narrow, NAMES, PARTS, seed=0)
    with pytest.raises(ValueError, match=r"1 part\(s\)"):
        measure_disentanglement(data, data, NAMES, PARTS[:1], seed=0)
