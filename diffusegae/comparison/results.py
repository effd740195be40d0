"""What a comparison found: every method's figures by seed, their mean and spread, and which method is best by which.

Whether a figure should be high or low is decided here, by its name (`direction_of`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat

from diffusegae.comparison.machine import Hardware, find_hardware, find_versions
from diffusegae.config.base import Config

RESULTS = "results.json"

_OVER_CHANCE = {"mean_excess", "max_excess"}
_LOW = {"mse", "lpips", "fd_vgg16"} | _OVER_CHANCE
_NEITHER = {"count", "fd_count", "is_divided", "width"}
_REFERENCES = {"chance", "majority", "judge"}


class Finding(Config):
    """What was measured of a method that was trained with one seed, and what the training took."""

    name: str = Field(min_length=1, description="The method's name.")
    seed: int = Field(description="Seed of its config.")
    metrics: Mapping[str, FiniteFloat] = Field(description="Everything measured, flat; what could not be is absent.")
    seconds: float = Field(ge=0, description="Seconds of training, all stages together.")
    images: int = Field(ge=0, description="Images seen in training, all stages together.")
    parameters: int = Field(ge=0, description="Trained and frozen weights.")
    fingerprint: str = Field(description="Hash of all that the figures depend on.")


class Statistic(Config):
    """A figure over seeds."""

    mean: float = Field(description="Mean over the seeds.")
    sd: float | None = Field(description="Sample standard deviation; null of a single seed, whose spread is unknown.")
    n: int = Field(gt=0, description="Seeds with this figure.")


Summary = Mapping[str, Mapping[str, Statistic]]  # method → metric


class Study(Config):
    """What was measured of a variant of ours over its seeds."""

    name: str = Field(min_length=1, description="What is changed.")
    figures: Mapping[str, Statistic] = Field(description="Each figure over the seeds.")
    seconds: Statistic = Field(description="Seconds of training that led to it, all stages together.")


Ablations = Mapping[str, Sequence[Study]]  # question → the config itself, then its variants


class Results(Config):
    """The content of results.json."""

    format: Literal[1] = Field(1, description="Version of this layout.")
    findings: tuple[Finding, ...] = Field(description="One per method and seed.")
    summary: dict[str, dict[str, Statistic]] = Field(description="Each figure over the seeds, by method.")
    ablations: Ablations = Field({}, description="By question: the config itself, then its variants.")
    hardware: Hardware = Field(description="The machine.")
    versions: dict[str, str] = Field(description="Versions of Python and the packages.")


@dataclass(frozen=True)
class Best:
    """The method with the best mean, and whether it is ahead of the next by more than the spread of the seeds."""

    name: str
    exceeds_spread: bool


def gather(
    findings: Iterable[Finding], hardware: Hardware | None = None, ablations: Ablations | None = None
) -> Results:
    """Join findings, and ablations if there are any, into results; the hardware is this machine's if none is given.

    Raises:
        ValueError: a method is there twice with one seed, or there is no finding.
    """
    every = tuple(findings)
    return Results(
        findings=every,
        summary=summarise(every),
        ablations=ablations or {},
        hardware=hardware or find_hardware(),
        versions=find_versions(),
    )


def write_results(results: Results, folder: Path) -> Path:
    """Write results.json into a folder; return its path."""
    path = folder / RESULTS
    path.write_text(results.model_dump_json(indent=1), encoding="utf-8")
    return path


def read_results(path: Path) -> Results:
    """Read what `write_results` wrote."""
    return Results.model_validate_json(path.read_text(encoding="utf-8"))


def summarise(findings: Iterable[Finding]) -> dict[str, dict[str, Statistic]]:
    """Return each method's figures over its seeds, methods in the order in which they first occur.

    Raises:
        ValueError: a method is there twice with one seed, or there is no finding.
    """
    by_method: dict[str, list[Finding]] = {}
    for finding in findings:
        by_method.setdefault(finding.name, []).append(finding)
    if not by_method:
        raise ValueError("no finding to summarise; measure at least one method")
    for name, found in by_method.items():
        seeds = [finding.seed for finding in found]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{name} was measured twice with one seed of {sorted(seeds)}; leave one of them out")
    return {name: _summarise_method(found) for name, found in by_method.items()}


def study_of(name: str, findings: Sequence[Finding]) -> Study:
    """Join what was measured of the seeds of one variant."""
    ((_, figures),) = summarise(findings).items()
    return Study(name=name, figures=figures, seconds=statistic_of(finding.seconds for finding in findings))


def statistic_of(values: Iterable[float]) -> Statistic:
    """Return mean, sample standard deviation and number of values."""
    array = np.asarray(list(values), np.float64)
    sd = float(array.std(ddof=1)) if len(array) > 1 else None
    return Statistic(mean=float(array.mean()), sd=sd, n=len(array))


def direction_of(metric: str) -> Literal["higher", "lower"] | None:
    """Say which way a figure is better; None of counts, references and errors, which are neither."""
    levels = metric.split("/")
    first, middle, last = levels[0], levels[1:-1], levels[-1]
    if first in _REFERENCES or last in _NEITHER or last.endswith(("_standard_error", "_pairs")):
        return None
    if last in _LOW or first == "ppl":
        return "lower"
    if first == "probe" and middle and middle != ["full"] and middle != [last]:
        return "lower"  # an attribute read from another's part
    return "higher"


def best_of(summary: Summary, metric: str) -> Best | None:
    """Return which method is best by a figure; None when fewer than two have it, the best are level, or none can be.

    The spread is that of a difference between one run of the best and one of the next (`spread_of`). Of a single seed
    it is unknown, so that nothing exceeds it.
    """
    found = {name: statistics[metric] for name, statistics in summary.items() if metric in statistics}
    if direction_of(metric) is None or len(found) < 2:
        return None
    best, following = rank(found, metric)[:2]
    lead = lead_of(metric, found[best].mean, found[following].mean)
    if lead == 0:
        return None
    spread = spread_of(found[best], found[following])
    return Best(best, exceeds_spread=spread is not None and lead > spread)


def rank(found: Mapping[str, Statistic], metric: str) -> list[str]:
    """Return the methods by their means of a figure, the best first."""
    return sorted(found, key=lambda name: found[name].mean, reverse=direction_of(metric) != "lower")


def lead_of(metric: str, one: float, other: float) -> float:
    """Return by how much one value of a figure is better than another; negative where it is worse.

    A part that tells less than chance leaks nothing, as one at chance does: there is no lead below it.
    """
    if metric.split("/")[-1] in _OVER_CHANCE:
        one, other = max(one, 0.0), max(other, 0.0)
    return other - one if direction_of(metric) == "lower" else one - other


def spread_of(one: Statistic, other: Statistic) -> float | None:
    """Return the spread of the difference between a run of one and a run of the other; None if either's is unknown.

    It is the root of the sum of their squared standard deviations.
    """
    return None if one.sd is None or other.sd is None else (one.sd**2 + other.sd**2) ** 0.5


def _summarise_method(found: list[Finding]) -> dict[str, Statistic]:
    metrics = dict.fromkeys(metric for finding in found for metric in finding.metrics)
    return {
        metric: statistic_of(finding.metrics[metric] for finding in found if metric in finding.metrics)
        for metric in metrics
    }
