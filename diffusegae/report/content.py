"""What a report speaks of: rows and their figures by stratum, with intervals, paired differences and the best of each.

Sections name a figure without its stratum, `<measure>/<quantity>[/<detail>…]`; `at` puts the stratum in.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Integer

from diffusegae.data.splits import STRATA
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.results import Statistic, Subjects, summarise
from diffusegae.metrics.table import quantity_of
from diffusegae.metrics.uncertainty import Interval, Resampled, resample

WORDS: Mapping[str, str] = {name: name.replace("_", " ") for name in STRATA}
RECOGNISABLE = 0.8  # of what the classifier reads right in true pictures
LARGEST = "_max"  # ends the name of a figure that is the largest of several


@dataclass(frozen=True)
class Drawn:
    """The figures of one row's items in a stratum, by column, and what their means might have been."""

    units: list[Integer[np.ndarray, " items"]]  # by seed
    columns: Mapping[str, int]
    resampled: Resampled

    def pick(self, figures: Sequence[str]) -> Resampled:
        """Return some of the figures."""
        columns = [self.columns[figure] for figure in figures]
        return Resampled(self.resampled.means[columns], self.resampled.drawn[:, columns])


@dataclass(frozen=True)
class Content:
    """The rows of a report in order, what every row is held against, and the row that the report is about."""

    subjects: Subjects
    references: Measured
    names: tuple[str, ...]  # attributes
    ours: str
    published: Mapping[str, str] = field(default_factory=dict)  # row → its key in paper.py, where they differ
    _drawn: dict[tuple[str, str, str, int], Drawn] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def titles(self) -> dict[str, str]:
        """Return what tables call each row."""
        return {row: judged[0].finding.title for row, judged in self.subjects.items()}

    @cached_property
    def summary(self) -> dict[str, dict[str, Statistic]]:
        """Return each row's figures over its seeds."""
        return summarise(j.finding.model_copy(update={"name": r}) for r, each in self.subjects.items() for j in each)

    @cached_property
    def known(self) -> dict[str, float]:
        """Return the references' figures."""
        return self.references.metrics

    @cached_property
    def strata(self) -> tuple[str, ...]:
        """Return the strata in which anything was measured."""
        figures = [*self.known, *(metric for found in self.summary.values() for metric in found)]
        return tuple(stratum for stratum in STRATA if any(f.split("/")[1] == stratum for f in figures))

    def strata_of(self, figure: str) -> list[str]:
        """Return the strata in which any row has a figure."""
        return [s for s in self.strata if any(at(figure, s) in figures for figures in self.summary.values())]

    def interval(self, row: str, metric: str) -> Interval | None:
        """Return the 95% interval of a row's figure over items and seeds; None where it is no mean of items."""
        measure, stratum, figure = metric.split("/", 2)
        drawn = self._draw(row, measure, stratum, len(self.subjects[row]))
        if figure.endswith(LARGEST):
            each = [name for name in drawn.columns if name.startswith(figure.removesuffix(LARGEST) + "/")]
            return drawn.pick(each).largest() if each else None
        return drawn.pick([figure]).interval() if figure in drawn.columns else None

    def difference(self, row: str, other: str, metric: str) -> Interval | None:
        """Return the 95% interval of a figure less another row's, the same items and seeds drawn for both.

        None where it is no mean of items of both.

        Raises:
            ValueError: the rows were judged on different items.
        """
        measure, stratum, figure = metric.split("/", 2)
        seeds = min(len(self.subjects[row]), len(self.subjects[other]))
        ours, theirs = (self._draw(each, measure, stratum, seeds) for each in (row, other))
        if figure not in ours.columns or figure not in theirs.columns:
            return None
        if len(ours.units) != len(theirs.units) or not all(map(np.array_equal, ours.units, theirs.units)):
            raise ValueError(
                f"{self.titles[row]} and {self.titles[other]} were judged on different items of {measure} ({stratum}),"
                " not on the same in the same order; measure both again with one evaluation config"
            )
        one, two = ours.pick([figure]), theirs.pick([figure])
        # Rounded: the last bits of two equal sums may differ.
        return Resampled(one.means - two.means, (one.drawn - two.drawn).round(12)).interval()

    def best(self, metric: str) -> tuple[str, bool] | None:
        """Return the best row by a figure, and whether the interval of its lead over the next excludes 0.

        Nothing is proven of figures that are no means of items. None where fewer than two rows have the figure, the
        best are level, or none can be best.
        """
        quantity = quantity_of(metric)
        found = {row: figures[metric].mean for row, figures in self.summary.items() if metric in figures}
        if len(found) < 2 or quantity.better is None:
            return None
        best, following = sorted(found, key=lambda row: quantity.lead(0.0, found[row]))[:2]
        if found[best] == found[following]:
            return None
        difference = self.difference(best, following, metric)
        return best, difference is not None and excludes_zero(difference)

    def recognised(self, row: str) -> tuple[float, str] | None:
        """Return the share of a row's pictures that are read right, and which; None where it is high or unknown."""
        for figure, what in (("reconstruct/all_right", "all attributes"), ("replace/all_kept", "every kept attribute")):
            for stratum in self.strata_of(figure)[:1]:
                if found := self.summary[row].get(at(figure, stratum)):
                    read = math.prod(self.known.get(f"judge/{stratum}/accuracy/{name}", 1.0) for name in self.names)
                    return (found.mean, what) if found.mean < RECOGNISABLE * read else None
        return None

    def _draw(self, row: str, measure: str, stratum: str, seeds: int) -> Drawn:
        """Draw all figures that a row's first seeds have of a measure; the same items for all rows that share them."""
        key = (row, measure, stratum, seeds)
        if key not in self._drawn:
            every = [each for j in self.subjects[row][:seeds] if (each := j.measured.items.get(measure)) is not None]
            rows = [items.stratum == STRATA.index(stratum) for items in every]
            units = [items.unit[here] for items, here in zip(every, rows, strict=True)]
            found = [{n: v[here] for n, v in e.figures.items()} for e, here in zip(every, rows, strict=True)]
            names = [n for n in (found[0] if found else ()) if all(n in e and not np.isnan(e[n]).all() for e in found)]
            values = [np.stack([each[name] for name in names], axis=1) for each in found] if names else []
            nothing = Resampled(np.empty(0), np.empty((0, 0)))
            means = resample(units, values, seed=0) if names else nothing
            self._drawn[key] = Drawn(units, {name: k for k, name in enumerate(names)}, means)
        return self._drawn[key]


def at(figure: str, stratum: str) -> str:
    """Return the name of a figure in a stratum: `replace/lpips` is `replace/seen_pairs/lpips`."""
    measure, rest = figure.split("/", 1)
    return f"{measure}/{stratum}/{rest}"


def excludes_zero(interval: Interval) -> bool:
    """Return whether a difference is proven."""
    return interval.low > 0 or interval.high < 0
