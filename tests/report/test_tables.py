"""Tables: figures by stratum as the paper writes them, marks where a lead is proven, references below."""

import pytest

from diffusegae.evaluation.results import Statistic
from diffusegae.metrics.quantity import Style
from diffusegae.metrics.uncertainty import Interval
from diffusegae.report.content import Content
from diffusegae.report.tables import (
    figure_cell,
    figure_table,
    references_of,
    show,
    show_difference,
    show_interval,
    show_paper,
    show_spread,
    text_table,
)
from tests.report.conftest import NAMES, Subjects, make_references, make_subjects, parse


@pytest.fixture
def content(subjects: Subjects) -> Content:
    return Content(subjects, make_references(), NAMES, "diffusegae")


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.98949, "share", "0.989"), (8.56e-5, "error", "8.56e-5"), (0.0112, "error", "0.0112"),
        (0.0, "error", "0.0000"), (None, "error", "–"), (float("nan"), "share", "–"), (-0.0312, "signed", "−0.031"),
        (0.0312, "signed", "+0.031"), (345.67, "length", "345.7"), (2.5, "length", "2.50"), (12000, "count", "12,000"),
    ],
)  # fmt: skip
def test_figures_are_written_as_in_the_paper(value: float | None, style: Style, text: str) -> None:
    assert show(value, style) == text


def test_differences_and_spreads_are_written_with_signs() -> None:
    assert show_difference(Interval(-0.0121, -0.02, 0.001), "share") == "−0.012 [−0.020, +0.001]"
    assert show_interval(Interval(-0.0121, -0.02, 0.001), "signed") == "−0.012 [−0.020, +0.001]"
    assert show_spread(Statistic(mean=0.1001, sd=1.41e-4, n=2), "error") == "± 1.41e-4"
    assert show_spread(Statistic(mean=0.92, sd=0.014, n=2), "signed") == "± 0.014"
    assert show_spread(Statistic(mean=0.2, sd=None, n=1), "error") == ""
    assert (show_paper(0.019), show_paper(8.56e-5)) == ("0.019", "8.56e-5")


def test_every_figure_stands_by_stratum_with_its_interval(content: Content) -> None:
    rows = parse(figure_table(content, ["replace/lpips"])).rows
    assert rows[:2] == [["", "replaced: LPIPS"], ["", "seen pairs", "unseen pair", "unseen instance"]]
    assert rows[2][0] == "DiffuseGAE (ours)"
    assert [cell.split("|")[0] for cell in rows[2][1:]] == ["0.0200", "0.0300", "0.0402"]
    assert all(cell.split("|")[1].startswith("[0.0") for cell in rows[2][1:])


def test_a_row_that_cannot_be_told_says_so_and_what_is_known_of_it(content: Content) -> None:
    rows = parse(figure_table(content, ["replace/lpips"])).rows
    told = "DDIM|not recognisable: all attributes read right in 60% of its pictures|DDIM is told."
    assert rows[4] == [told, "–", "–", "–"]


def test_the_papers_figure_stands_in_the_cell_of_its_row_in_seen_pairs_alone(content: Content) -> None:
    rows = parse(figure_table(content, ["reconstruct/ssim"])).rows
    assert [["paper" in cell for cell in row[1:]] for row in rows[2:5]] == [[True, False, False], [False] * 3,
                                                                            [True, False, False]]  # fmt: skip
    assert rows[4][1].endswith("|paper 0.912")


def test_references_stand_below_by_stratum(content: Content) -> None:
    rows = parse(figure_table(content, ["recombine/right/pose", "recombine/lpips", "replace/swapped"])).rows
    below = {row[0]: row[1:] for row in rows[5:]}
    assert list(below) == ["true images", "chance", "floor: two draws of one label"]
    assert below["true images"] == ["0.990"] * 3 + [""] * 6
    assert below["chance"] == ["0.333"] * 3 + [""] * 6  # said of the whole set
    assert len(set(below["floor: two draws of one label"][3:6])) == 3


def test_what_keeps_its_noise_has_no_floor_and_codes_are_held_against_guessing() -> None:
    assert references_of("reconstruct/lpips") == {}
    assert references_of("codes/leak") == {}
    assert set(references_of("codes/own/pose").values()) == {"judge/chance/pose", "judge/majority/pose"}


def test_a_figure_that_nobody_has_is_left_out(content: Content) -> None:
    assert figure_table(content, ["replace/fd_vgg16"]) == ""


def test_one_seed_proves_a_lead_over_images(content: Content) -> None:
    assert figure_cell(content, "diffusegae", "replace/lpips", "seen_pairs").classes == "better"
    assert figure_cell(content, "diffae", "replace/lpips", "seen_pairs").classes == ""


@pytest.mark.parametrize("seeds", [1, 2])
def test_what_is_no_mean_of_images_is_best_but_proven_by_nothing(seeds: int) -> None:
    content = Content(make_subjects(seeds), make_references(), NAMES, "diffusegae")
    cell = figure_cell(content, "diffusegae", "reconstruct_random/fd_vgg16", "seen_pairs")
    assert (cell.text, cell.classes) == ("2.00°", "")


def test_text_columns_are_aligned() -> None:
    assert text_table(("", "one", "b"), [("first", ["1", "22"]), ("x", ["333", "4"])]) == [
        "       one   b", "first    1  22", "x      333   4",
    ]  # fmt: skip
