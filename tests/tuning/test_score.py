"""The score: 1 for perfect codes, and what each part of it counts."""

import numpy as np
import pytest

from diffusegae.config.tuning import ScoreWeights
from diffusegae.tuning.matrix import ProbeMatrix
from diffusegae.tuning.score import ERROR, LEAK, OWN, SCORE, WORST, Score, score_of, unexplained

CHANCE = np.array([1 / 2, 1 / 5])


UNKNOWN = float("nan")


def scored(accuracy: list[list[float]], references: tuple[float, float] = (1 / 5, 1 / 2)) -> Score:
    """Score a matrix in which the two foreign entries have these references."""
    z = np.random.default_rng(0).normal(size=(50, 3))
    reference = np.array([[UNKNOWN, references[0]], [references[1], UNKNOWN]])
    probe = ProbeMatrix(("a", "b"), np.array(accuracy), reference, CHANCE)
    return score_of(probe, z, z, np.zeros(3), np.ones(3))


def test_perfect_codes_score_one_and_blind_ones_zero() -> None:
    assert scored([[1, 1 / 5], [1 / 2, 1]]).total(ScoreWeights()) == pytest.approx(1)
    assert scored([[1 / 2, 1 / 5], [1 / 2, 1 / 5]]).total(ScoreWeights()) == pytest.approx(0)


def test_accuracies_count_from_chance() -> None:
    score = scored([[0.75, 0.6], [0.5, 0.6]])
    assert score.own == pytest.approx((0.5 + 0.5) / 2)
    assert score.leak == pytest.approx((0.5 + 0.0) / 2)


def test_a_leak_counts_from_its_reference_and_from_chance_where_none_was_measured() -> None:
    accuracy = [[1, 0.2], [0.5, 1]]
    assert scored(accuracy).leak == 0
    assert scored(accuracy, (0.1, 0.5)).leak == pytest.approx(0.1 / 0.9 / 2)
    assert scored(accuracy, (UNKNOWN, UNKNOWN)).leak == 0


def test_a_pair_below_its_zero_does_not_make_up_for_another() -> None:
    assert scored([[1, 0.6], [0.1, 1]]).leak == scored([[1, 0.6], [0.5, 1]]).leak == pytest.approx(0.25)


def test_error_is_the_share_of_z_scored_variance_that_is_lost() -> None:
    random = np.random.default_rng(1)
    mean, spread = np.array([1.0, -2.0]), np.array([0.1, 10.0])
    z = mean + spread * random.normal(size=(400, 2))
    assert unexplained(z, z, mean, spread) == 0
    assert unexplained(z, np.broadcast_to(mean, z.shape), mean, spread) == pytest.approx(1)
    one_lost = np.stack([z[:, 0], np.full(400, mean[1])], axis=1)
    assert unexplained(z, one_lost, mean, spread) == pytest.approx(
        0.5, abs=0.05
    )  # small dimensions count as large ones
    assert unexplained(z, z + 100, mean, spread) == 1


def test_a_dead_dimension_does_not_count() -> None:
    z = np.stack([np.random.default_rng(0).normal(size=100), np.zeros(100)], axis=1)
    nearly = z + np.array([0, 1e-6])
    assert unexplained(z, nearly, np.zeros(2), np.array([1.0, 0.0])) < 1e-5


def test_weights_and_parts_are_reported() -> None:
    score, weights = Score(own=0.9, leak=0.2, error=0.4), ScoreWeights(own=2, leak=3, error=0.5)
    assert score.as_metrics(weights) == {SCORE: pytest.approx(1.0), OWN: 0.9, LEAK: 0.2, ERROR: 0.4}
    assert WORST.total(weights) == -3.5
