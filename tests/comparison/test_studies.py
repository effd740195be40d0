"""The ablations' marks: a variant differs where it does so by more than the spread of the config's seeds."""

import re

import pytest

from diffusegae.comparison.results import Statistic, Study
from diffusegae.comparison.studies import compare, draw_ablations
from diffusegae.comparison.tables import Column
from diffusegae.metrics.page import Cell

SSIM, LPIPS = Column("reconstruct/random/ssim", "SSIM"), Column("counterfactual/replace/lpips", "LPIPS", "error")


def seeds(mean: float, sd: float | None, n: int = 3) -> Statistic:
    return Statistic(mean=mean, sd=sd, n=n)


@pytest.mark.parametrize(
    ("column", "value", "mark"),
    [(SSIM, 0.93, "better"), (SSIM, 0.87, "worse"), (LPIPS, 0.93, "worse"), (LPIPS, 0.87, "better"), (SSIM, 0.91, "")],
)
def test_a_variant_of_one_seed_is_taken_to_vary_as_the_config_does(column: Column, value: float, mark: str) -> None:
    # the spread of a difference between two runs is 0.01 √2 = 0.0141
    assert compare(seeds(value, None, 1), seeds(0.9, 0.01), column).classes == mark


def test_a_variant_of_several_seeds_varies_as_it_does() -> None:
    assert compare(seeds(0.93, 0.05), seeds(0.9, 0.01), SSIM) == Cell("0.930 ± .050")
    assert compare(seeds(0.93, 0.02), seeds(0.9, 0.01), SSIM) == Cell("0.930 ± .020", "better")


def test_without_a_spread_nothing_is_marked() -> None:
    assert compare(seeds(0.1, None, 1), seeds(0.9, None, 1), SSIM) == Cell("0.100")
    assert compare(seeds(0.1, None, 1), None, SSIM) == Cell("0.100")
    assert compare(None, seeds(0.9, 0.01), SSIM) == Cell("–")


def test_a_difference_that_is_not_seen_in_the_figures_is_not_marked() -> None:
    assert compare(seeds(0.99999, None, 1), seeds(1.0, 0.0), SSIM) == Cell("1.000")
    assert compare(seeds(0.99, None, 1), seeds(1.0, 0.0), SSIM) == Cell("0.990", "worse")


def test_without_ablations_there_is_no_section() -> None:
    assert draw_ablations({}, 20) == []


def test_the_config_stands_first_and_once_and_each_variant_under_its_question() -> None:
    def study(name: str, ssim: float) -> Study:
        return Study(name=name, figures={SSIM.metric: seeds(ssim, 0.01)}, seconds=seeds(60, None, 1))

    whole = study("the config", 0.9)
    drawn = draw_ablations({"Shift": [whole, study("off", 0.5)], "Width": [whole, study("wide", 0.99)]}, 20)
    headings = re.findall(r"<tr[^>]*><th>([^<]*)</th>", "".join(drawn))
    assert headings == ["", "the config", "Shift", "off", "Width", "wide"]
    assert 'class="worse">0.500' in drawn[-1]
    assert 'class="better">0.990' in drawn[-1]
    assert "LPIPS" not in drawn[-1]  # a column that nothing was measured for
