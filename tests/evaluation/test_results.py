"""Results: mean and spread against numpy, a seed counted once, and back from their file."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from diffusegae.evaluation.results import (
    Finding,
    Results,
    gather,
    summarise,
)

METRIC = "reconstruct_random/seen_pairs/ssim"


def finding(name: str, seed: int, **metrics: float) -> Finding:
    named = {key.replace("__", "/"): value for key, value in metrics.items()}
    return Finding(name=name, title=name, seed=seed, metrics=named, seconds=1, images=2, parameters=3, fingerprint="f")


def of_seeds(**values: tuple[float, ...]) -> list[Finding]:
    return [
        finding(name, seed, reconstruct_random__seen_pairs__ssim=value)
        for name, each in values.items()
        for seed, value in enumerate(each)
    ]


def test_mean_and_spread_are_numpys() -> None:
    values = np.random.default_rng(0).normal(size=5)
    statistic = summarise(of_seeds(ours=tuple(values.tolist())))["ours"][METRIC]
    assert statistic.mean == pytest.approx(values.mean())
    assert statistic.sd == pytest.approx(values.std(ddof=1))
    assert statistic.n == 5


def test_a_single_seed_has_no_spread_and_a_missing_figure_is_left_out() -> None:
    summary = summarise([finding("a", 0, x=1.0), finding("a", 1, x=2.0, y=3.0), finding("b", 0)])
    assert (summary["a"]["y"].mean, summary["a"]["y"].sd, summary["a"]["y"].n) == (3.0, None, 1)
    assert summary["a"]["x"].n == 2
    assert summary["b"] == {}


def test_a_seed_counts_once() -> None:
    with pytest.raises(ValueError, match=r"a was measured twice with one seed of \[0, 0\]"):
        summarise([finding("a", 0), finding("a", 0)])
    with pytest.raises(ValueError, match="no finding"):
        summarise([])


def test_results_say_what_they_were_found_on_and_come_back_from_json() -> None:
    results = gather(of_seeds(a=(0.1, 0.2), b=(0.3,)))
    assert Results.model_validate_json(results.model_dump_json()) == results
    assert results.versions.keys() == {"python", "torch", "ray", "diffusegae", "numpy"}
    assert results.versions["python"].startswith("3.")
    assert re.fullmatch(r".+, \d+ cores, \d+ GB of memory, .+", results.hardware)


def test_findings_hold_numbers_only() -> None:
    with pytest.raises(ValidationError, match="finite"):
        finding("a", 0, x=float("nan"))
