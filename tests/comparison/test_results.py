"""Results: mean and spread against numpy, which way figures are better, and when a lead counts."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from diffusegae.comparison.machine import Hardware, find_hardware, find_versions
from diffusegae.comparison.results import (
    Best,
    Finding,
    best_of,
    direction_of,
    gather,
    lead_of,
    read_results,
    statistic_of,
    study_of,
    summarise,
    write_results,
)

METRIC = "reconstruct/random/ssim"


def finding(name: str, seed: int, **metrics: float) -> Finding:
    named = {key.replace("__", "/"): value for key, value in metrics.items()}
    return Finding(name=name, seed=seed, metrics=named, seconds=1, images=2, parameters=3, fingerprint="f")


def of_seeds(**values: tuple[float, ...]) -> list[Finding]:
    return [
        finding(name, seed, reconstruct__random__ssim=value)
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


def test_a_study_joins_the_seeds_of_one_variant() -> None:
    study = study_of("no skip", of_seeds(ours=(0.1, 0.3)))
    assert (study.name, study.seconds.mean, study.seconds.n) == ("no skip", 1.0, 2)
    assert study.figures[METRIC] == summarise(of_seeds(a=(0.1, 0.3)))["a"][METRIC]


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("reconstruct/inferred/ssim", "higher"), ("reconstruct/inferred/mse", "lower"), ("recombine/fd_vgg16", "lower"),
        ("counterfactual/replace/lpips", "lower"), ("ppl/T20", "lower"), ("ppl/T20_standard_error", None),
        ("probe/a/a", "higher"), ("probe/a/b", "lower"), ("probe/full/b", "higher"), ("probe/mean_excess", "lower"),
        ("probe/mean_diagonal", "higher"), ("probe/is_divided", None), ("counterfactual/replace/count", None),
        ("chance/a", None), ("judge/truths/all_right", None), ("part_mig/mean_gap", "higher"),
        ("counterfactual/replace/a/swapped_right", "higher"), ("silhouette/part/a", "higher"), ("code/width", None),
    ],
)  # fmt: skip
def test_the_name_says_which_way_is_better(metric: str, direction: str | None) -> None:
    assert direction_of(metric) == direction


def test_a_lead_is_positive_where_the_first_is_better() -> None:
    assert lead_of("reconstruct/random/ssim", 0.9, 0.5) == 0.4
    assert lead_of("reconstruct/random/mse", 0.75, 0.5) == -0.25
    assert lead_of("probe/identity/pose", 0.5, 0.75) == 0.25  # a part that tells less of another's attribute


@pytest.mark.parametrize("metric", ["probe/mean_excess", "probe/max_excess"])
def test_below_chance_there_is_no_lead(metric: str) -> None:
    assert lead_of(metric, -0.5, 0.0) == lead_of(metric, 0.0, -0.5) == 0
    assert lead_of(metric, -0.5, 0.25) == -lead_of(metric, 0.25, -0.5) == 0.25
    level = {"one": {metric: statistic_of([-0.5, -0.5])}, "other": {metric: statistic_of([-0.25, -0.25])}}
    assert best_of(level, metric) is None


def test_best_is_ahead_by_more_than_the_spread_or_not() -> None:
    # sd 0.1 each: the difference of two runs has 0.1414.
    close = summarise(of_seeds(a=(0.4, 0.5, 0.6), b=(0.5, 0.6, 0.7), c=(0.0, 0.1, 0.2)))
    assert best_of(close, METRIC) == Best("b", exceeds_spread=False)
    apart = summarise(of_seeds(a=(0.4, 0.5, 0.6), b=(0.55, 0.65, 0.75)))
    assert best_of(apart, METRIC) == Best("b", exceeds_spread=True)


def test_nothing_exceeds_the_spread_of_one_seed() -> None:
    assert best_of(summarise(of_seeds(a=(0.1,), b=(0.9,))), METRIC) == Best("b", exceeds_spread=False)
    assert best_of(summarise(of_seeds(a=(0.1, 0.1), b=(0.9,))), METRIC) == Best("b", exceeds_spread=False)


def test_some_figures_have_no_best() -> None:
    assert best_of(summarise(of_seeds(a=(0.5,))), METRIC) is None
    assert best_of(summarise(of_seeds(a=(0.5, 0.5), b=(0.5, 0.5))), METRIC) is None
    assert (
        best_of(summarise([finding("a", 0, ppl__T20_pairs=1.0), finding("b", 0, ppl__T20_pairs=2.0)]), "ppl/T20_pairs")
        is None
    )
    lower = summarise([finding("a", 0, x__mse=1.0), finding("b", 0, x__mse=2.0)])
    assert best_of(lower, "x/mse") == Best("a", exceeds_spread=False)


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    hardware = Hardware(cpu="a processor", cores=2, gpus=("a GPU",), memory_gb=8.0)
    studies = {"a question": [study_of("whole", of_seeds(a=(0.1, 0.2))), study_of("varied", of_seeds(a=(0.3,)))]}
    results = gather(of_seeds(a=(0.1, 0.2), b=(0.3,)), hardware, studies)
    path = write_results(results, tmp_path)
    assert path == tmp_path / "results.json"
    assert read_results(path) == results
    assert results.versions.keys() == {"python", "torch", "ray", "diffusegae", "numpy"}
    assert results.hardware.describe() == "a processor, 2 cores, 8 GB of memory, a GPU"


def test_this_machine_is_found() -> None:
    hardware = find_hardware()
    assert hardware.cpu
    assert hardware.memory_gb > 0.5
    assert find_versions()["python"].startswith("3.")


def test_findings_hold_numbers_only() -> None:
    with pytest.raises(ValidationError, match="finite"):
        finding("a", 0, x=float("nan"))
