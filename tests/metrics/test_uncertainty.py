"""Intervals: what they cover by simulation, that pairs are kept together, and what a verdict says."""

from collections.abc import Callable

import numpy as np
import pytest

from diffusegae.metrics import uncertainty
from diffusegae.metrics.uncertainty import Interval, resample, verdict

NAN = float("nan")
Drawn = tuple[list[np.ndarray], list[np.ndarray]]


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty, "DRAWS", 600)


def coverage(draw: Callable[[np.random.Generator], Drawn], truth: float, largest: bool = False) -> float:
    """Return in how many of 200 worlds the interval holds the truth."""
    random, hits = np.random.default_rng(0), 0
    for world in range(200):
        found = resample(*draw(random), seed=world)
        interval = found.largest() if largest else found.interval()
        hits += interval.low <= truth <= interval.high
    return hits / 200


def images_with_two_items(random: np.random.Generator) -> Drawn:
    own = np.repeat(random.normal(size=(150, 1)), 2, axis=0)
    return [np.repeat(np.arange(150), 2)], [own + 0.3 * random.normal(size=(300, 1))]


def three_seeds(random: np.random.Generator) -> Drawn:
    images = random.normal(size=(200, 1))
    return [np.arange(200)] * 3, [images + 0.5 * random.normal() + random.normal(size=(200, 1)) for _ in range(3)]


def level_figures(random: np.random.Generator) -> Drawn:
    return [np.arange(200)], [random.normal(size=(200, 6))]


def one_ahead(random: np.random.Generator) -> Drawn:
    return [np.arange(200)], [random.normal(size=(200, 6)) + np.eye(6)[0]]


def test_an_interval_of_a_mean_covers_its_share() -> None:
    assert coverage(images_with_two_items, 0.0) == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize(("draw", "truth", "largest"), [(images_with_two_items, 0.0, False), (one_ahead, 1.0, True)])
def test_groups_of_images_cover_as_much(
    monkeypatch: pytest.MonkeyPatch, draw: Callable[[np.random.Generator], Drawn], truth: float, largest: bool
) -> None:
    units, values = draw(np.random.default_rng(0))
    apart = resample(units, values, seed=0).interval()
    monkeypatch.setattr(uncertainty, "GROUPS", 60)
    together = resample(units, values, seed=0).interval()
    assert together.mean == pytest.approx(apart.mean)
    assert together.high - together.low == pytest.approx(apart.high - apart.low, rel=0.25)
    assert coverage(draw, truth, largest) == pytest.approx(0.95, abs=0.05)


def test_items_of_an_image_do_not_count_as_images_of_their_own() -> None:
    units, values = images_with_two_items(np.random.default_rng(0))
    together, apart = resample(units, values, seed=0).interval(), resample([np.arange(300)], values, seed=0).interval()
    assert together.high - together.low > 1.25 * (apart.high - apart.low)


def test_three_seeds_cover_their_share_too() -> None:
    assert 0.92 <= coverage(three_seeds, 0.0) <= 1.0


def test_the_largest_of_level_figures_is_not_taken_for_a_leak() -> None:
    assert coverage(level_figures, 0.0, largest=True) >= 0.93
    assert coverage(one_ahead, 1.0, largest=True) >= 0.93


def test_the_largest_is_found_and_its_interval_excludes_nothing() -> None:
    found = resample(*one_ahead(np.random.default_rng(1)), seed=0).largest()
    assert found.low > 0.6
    assert found.low < found.mean < found.high


def test_two_methods_are_compared_on_the_same_images() -> None:
    random = np.random.default_rng(0)
    hardness = random.normal(size=(300, 1))
    ours, theirs = ([hardness + offset + 0.05 * random.normal(size=(300, 1))] for offset in (0.0, 0.02))
    units = [np.arange(300)]
    paired = resample(units, [ours[0] - theirs[0]], seed=0).interval()
    assert verdict(paired, 0.0, "lower") == "holds"
    each = [resample(units, values, seed=0).interval() for values in (ours, theirs)]
    assert each[0].high > each[1].low  # unpaired nothing could be said


def test_what_was_not_measured_is_left_out_and_of_nothing_there_is_no_interval() -> None:
    values = np.array([[1.0, NAN, NAN], [3.0, 5.0, NAN], [NAN, 7.0, NAN]])
    found = resample([np.arange(3)], [values], seed=0)
    assert found.means[:2].tolist() == [2.0, 6.0]
    nothing = found.interval(2)
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()
    assert found.largest().mean == 6.0
    assert verdict(nothing, 0.0, "lower") == "undecided"
    with pytest.raises(ValueError, match="no seed"):
        resample([], [], seed=0)


def test_a_seed_fixes_the_draws_and_the_mean_is_over_seeds() -> None:
    units, values = [np.arange(4), np.arange(2)], [np.ones((4, 1)), 4 * np.ones((2, 1))]
    first, again = (resample(units, values, seed=5).interval() for _ in range(2))
    assert first == again
    assert first.mean == pytest.approx(2.5)
    assert first.low < 1.0 < 4.0 < first.high  # two seeds say little


def test_verdicts_are_of_whole_intervals() -> None:
    below, across, above = Interval(0.1, 0.05, 0.15), Interval(0.2, 0.15, 0.25), Interval(0.3, 0.25, 0.35)
    assert [verdict(i, 0.2, "lower") for i in (below, across, above)] == ["holds", "undecided", "fails"]
    assert [verdict(i, 0.2, "higher") for i in (below, across, above)] == ["fails", "undecided", "holds"]
