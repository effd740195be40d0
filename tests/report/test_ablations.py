"""The ablations' marks: a variant differs where the interval of its difference to the config, item by item, says so."""

import numpy as np
import pytest

from diffusegae.evaluation.measured import Items, Measured
from diffusegae.evaluation.results import Judged
from diffusegae.report.ablations import draw_ablations
from tests.report.conftest import NAMES, judge, parse

HARD = np.random.default_rng(0).uniform(0, 1, 200)


def variant(swapped: float, lpips: float, seconds: float = 600.0) -> list[Judged]:
    """Return a variant whose figures are the config's plus these, on the same items."""
    noise = np.random.default_rng(1).normal(0, 0.01, 200) * (swapped != 0 or lpips != 0)
    figures = {"swapped": HARD + swapped + noise, "lpips": HARD + lpips + noise}
    found = judge("x", "not this title", Measured({"replace": Items(np.zeros(200, np.int64), np.arange(200), figures)}))
    return [Judged(found.finding.model_copy(update={"seconds": seconds}), found.measured)]


def test_without_ablations_there_is_no_section() -> None:
    assert draw_ablations({}, NAMES, 20) == []


def test_variants_need_the_config_that_they_are_held_against() -> None:
    with pytest.raises(ValueError, match="the config itself is missing among the ablations"):
        draw_ablations({"Shift": {"off": variant(0, 0)}}, NAMES, 20)


def test_the_config_stands_first_and_each_variant_with_its_question_and_cost() -> None:
    studied = {
        "": {"the config": variant(0, 0)},
        "Shift": {"off": variant(0.1, 0.1, seconds=300.0)},
        "Width": {"off": variant(-0.1, -0.1), "wide": variant(0.0001, -0.0001)},
    }
    page = "".join(draw_ablations(studied, NAMES, 20))
    rows = parse(page).rows
    assert rows[0] == ["", "replaced: shows the new value", "replaced: LPIPS"]
    assert [row[0] for row in rows[2:]] == [
        "the config|600 s", "off|Shift|300 s × 0.50", "off|Width|600 s × 1.00", "wide|Width|600 s × 1.00",
    ]  # fmt: skip
    assert "|" not in rows[2][1]
    assert rows[3][1].split("|")[1].startswith("+0.099")
    assert "over images only" in page


@pytest.mark.parametrize(
    ("swapped", "lpips", "marks"),
    [(0.1, 0.1, ["better", "worse"]), (-0.1, -0.1, ["worse", "better"]), (0.0001, 0.0001, ["", ""])],
)
def test_one_seed_is_marked_by_the_interval_over_images_in_the_direction_of_the_figure(
    swapped: float, lpips: float, marks: list[str]
) -> None:
    page = "".join(draw_ablations({"": {"config": variant(0, 0)}, "Q": {"v": variant(swapped, lpips)}}, NAMES, 20))
    assert [word for word in ("better", "worse") if f' {word}"' in page] == sorted(filter(None, marks))
    if marks[0]:
        first = page.split("</tr>")[-2].split("<td")[1]
        assert f' {marks[0]}"' in first
