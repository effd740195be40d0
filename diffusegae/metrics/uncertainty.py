"""Intervals and verdicts: the bootstrap over images, and over seeds where there are several.

Images (units: all items that stand on one image go together) are drawn with replacement, the same ones for every seed
and every figure, so that figures of two methods are compared picture by picture. Seeds are few: drawn 3 of 3 with
replacement they show two thirds of their variance and none of a t-distribution's tails. They are weighted instead by
Gaussian multipliers over a chi, so that a mean over seeds moves as Student's t with one degree of freedom less than
there are seeds. Of one seed the interval speaks of the images alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer

from diffusegae.metrics.quantity import Direction

DRAWS = 2000
TAILS = (0.025, 0.975)
# More units are put into so many groups at random, and groups are drawn. The variance of a mean is the same either way;
# its estimate from 1,000 groups wanders by 4 %, the width of an interval by 2 %.
GROUPS = 1000

Verdict = Literal["holds", "fails", "undecided"]
Units = Sequence[Integer[np.ndarray, "_"]]  # seed by seed
Values = Sequence[Float[np.ndarray, "_ k"]]


@dataclass(frozen=True)
class Interval:
    """A figure over all seeds and images and its 95% interval; NaN where nothing was measured."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Resampled:
    """The means of k figures and what they might have been with other images and seeds."""

    means: Float[np.ndarray, " k"]
    drawn: Float[np.ndarray, "draws k"]

    def interval(self, figure: int = 0) -> Interval:
        """Return a figure's mean and its percentile interval."""
        mean, drawn = float(self.means[figure]), self.drawn[:, figure]
        drawn = drawn[~np.isnan(drawn)]
        if np.isnan(mean) or not len(drawn):
            return Interval(mean, np.nan, np.nan)
        low, high = np.quantile(drawn, TAILS)
        return Interval(mean, float(low), float(high))

    def largest(self) -> Interval:
        """Return the largest of the means with an interval of the largest of the true ones.

        The largest of several means is too high, and highest where all are level. Its lower end is therefore what is
        left when the most that any mean stands too high is taken off; its upper end is the highest of the means' own.
        Coverage is 95% or more, whichever figure is the largest. Figures without a value are left out.
        """
        known = ~np.isnan(self.means)
        if not known.any():
            return Interval(np.nan, np.nan, np.nan)
        means, drawn = self.means[known], self.drawn[:, known]
        drawn = np.where(np.isnan(drawn), means, drawn)
        low = means.max() - np.quantile((drawn - means).max(axis=1), TAILS[1])
        return Interval(float(means.max()), float(low), float(np.quantile(drawn, TAILS[1], axis=0).max()))


def resample(units: Units, values: Values, *, seed: int) -> Resampled:
    """Draw the means of k figures over the seeds and the items of each.

    `units[s]` and `values[s]` belong to the items of seed s; NaN values are left out, figure by figure. A unit that
    several seeds measured is drawn for all. Give the differences of two methods' items to hold these apart.

    Raises:
        ValueError: there is no seed.
    """
    if not units:
        raise ValueError("no seed to take a mean over; give the items of one seed or more")
    generator = np.random.default_rng(seed)
    sums, counts = _tabulate(units, values, generator)
    num_seeds, num_units = sums.shape[:2]
    # How often each unit is drawn, with replacement.
    places = generator.integers(num_units, size=(DRAWS, num_units)) + num_units * np.arange(DRAWS)[:, None]
    often = np.bincount(places.ravel(), minlength=places.size).reshape(places.shape).astype(np.float64)
    with np.errstate(invalid="ignore"):  # 0 / 0 where nothing was measured
        means = (sums.sum(axis=1) / counts.sum(axis=1)).mean(axis=0)
        by_seed = (often @ sums) / (often @ counts)
    return Resampled(means, np.einsum("ds,sdk->dk", _weigh_seeds(num_seeds, generator), by_seed))


def verdict(interval: Interval, bound: float, better: Direction) -> Verdict:
    """Say whether a figure is on the good side of a bound: by the whole interval, or undecided."""
    good, bad = interval.high <= bound, interval.low > bound
    if better == "higher":
        good, bad = interval.low >= bound, interval.high < bound
    return "holds" if good else "fails" if bad else "undecided"


def _tabulate(units: Units, values: Values, generator: np.random.Generator) -> Float[np.ndarray, "2 seeds units k"]:
    """Return the sum and the number of values of each seed and unit, or group of units."""
    every, place = np.unique(np.concatenate(units), return_inverse=True)
    size = min(len(every), GROUPS)
    places = np.split(generator.permutation(len(every))[place] % size, np.cumsum([len(each) for each in units])[:-1])
    table = np.zeros((2, len(units), size, values[0].shape[1]))
    for s, (rows, found) in enumerate(zip(places, values, strict=True)):
        np.add.at(table[0, s], rows, np.nan_to_num(found))
        np.add.at(table[1, s], rows, ~np.isnan(found))
    return table


def _weigh_seeds(seeds: int, generator: np.random.Generator) -> Float[np.ndarray, "draws seeds"]:
    """Return weights that sum to 1 and under which a mean over seeds moves by t times its standard error.

    With g standard normal, sum_s (g_s - mean g) x_s has the variance (S - 1) s^2, of S values with sample variance s^2.
    Over S (S - 1) that is the squared standard error, and over chi^2 / (S - 1) besides it is Student's.
    """
    if seeds == 1:
        return np.ones((DRAWS, 1))
    normal = generator.normal(size=(DRAWS, seeds))
    chi = np.sqrt(generator.chisquare(seeds - 1, size=(DRAWS, 1)) / (seeds - 1))
    return np.asarray(1 / seeds + (normal - normal.mean(axis=1, keepdims=True)) / (np.sqrt(seeds * (seeds - 1)) * chi))
