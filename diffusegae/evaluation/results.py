"""What was found: every row's figures by seed, and their mean and spread over seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat

from diffusegae.config.base import Config
from diffusegae.evaluation.machine import describe_hardware, find_versions
from diffusegae.evaluation.measured import Measured

RESULTS = "results.json"


class Finding(Config):
    """What was measured of a method that was trained with one seed, and what the training took."""

    name: str = Field(min_length=1, description="The method's name.")
    title: str = Field(min_length=1, description="Its title in tables, with what a reader must know of it.")
    seed: int = Field(description="Seed of its config.")
    notes: tuple[str, ...] = Field((), description="What was chosen for it or cannot be asked of it, in sentences.")
    metrics: Mapping[str, FiniteFloat] = Field(description="Everything measured, flat; what could not be is absent.")
    seconds: float = Field(ge=0, description="Seconds of training, all stages together.")
    images: int = Field(ge=0, description="Images seen in training, all stages together.")
    parameters: int = Field(ge=0, description="Trained and frozen weights.")
    fingerprint: str = Field(description="Hash of all that the figures depend on.")


@dataclass(frozen=True)
class Judged:
    """A method's finding, and all that was measured of it with one seed."""

    finding: Finding
    measured: Measured


Subjects = Mapping[str, Sequence[Judged]]  # row → one per seed, the config's own first; in the order of the report


class Statistic(Config):
    """A figure over seeds."""

    mean: float = Field(description="Mean over the seeds.")
    sd: float | None = Field(description="Sample standard deviation; null of a single seed, whose spread is unknown.")
    n: int = Field(gt=0, description="Seeds with this figure.")


class Results(Config):
    """The content of results.json."""

    format: Literal[2] = Field(2, description="Version of this layout.")
    findings: tuple[Finding, ...] = Field(description="One per row, or variant of an ablation, and seed.")
    summary: dict[str, dict[str, Statistic]] = Field(description="Each figure over the seeds, by method.")
    hardware: str = Field(description="The machine, in words.")
    versions: dict[str, str] = Field(description="Versions of Python and the packages.")


def gather(findings: Iterable[Finding]) -> Results:
    """Join findings into results, with the machine and the versions that this runs on.

    Raises:
        ValueError: a method is there twice with one seed, or there is no finding.
    """
    every = tuple(findings)
    summary = summarise(every)
    return Results(findings=every, summary=summary, hardware=describe_hardware(), versions=find_versions())


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


def statistic_of(values: Iterable[float]) -> Statistic:
    """Return mean, sample standard deviation and number of values."""
    array = np.asarray(list(values), np.float64)
    sd = float(array.std(ddof=1)) if len(array) > 1 else None
    return Statistic(mean=float(array.mean()), sd=sd, n=len(array))


def _summarise_method(found: list[Finding]) -> dict[str, Statistic]:
    metrics = dict.fromkeys(metric for finding in found for metric in finding.metrics)
    return {
        metric: statistic_of(finding.metrics[metric] for finding in found if metric in finding.metrics)
        for metric in metrics
    }
