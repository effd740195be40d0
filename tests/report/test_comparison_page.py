"""The comparison's page: one file, every row in every stratum, the paper's figures beside ours, and its verdicts."""

import dataclasses
import re
from dataclasses import replace
from pathlib import Path

import pytest

from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.results import Judged, Results
from diffusegae.report.comparison_page import write_comparison
from tests.report.conftest import CONFIG, SCHEMA, Subjects, judge, make_references, measured_row, parse

NASTY = '<img src=x onerror="alert(1)">&'


@pytest.fixture(scope="module")
def text(results: Results, subjects: Subjects, references: Measured, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    studied = {"": {"the config": subjects["diffusegae"]}, "Rounding": {"off": subjects["diffae"]}}
    path = write_comparison(
        results,
        subjects,
        references,
        CONFIG,
        SCHEMA,
        folder,
        ours="diffusegae",
        studied=studied,
        notes=["a note"],
    )
    assert path == folder / "report.html"
    return path.read_text()


def write(subjects: Subjects, references: Measured, results: Results, folder: Path, ours: str = "diffusegae") -> str:
    return write_comparison(results, subjects, references, CONFIG, SCHEMA, folder, ours=ours).read_text()


def test_the_report_needs_no_other_file(text: str) -> None:
    structure = parse(text)
    # replacement, recombination, reconstruction of three strata, interpolations, t-SNE
    assert len(structure.sources) == 3 * 3 + 4 + 1
    assert "Path length by sampling steps: seen pairs" in text
    assert all(source.startswith("data:image/png;base64,") for source in structure.sources)
    assert not {"script", "link", "iframe"} & set(structure.tags)
    assert not re.search(r"https?://|url\(|@import", text)


def test_claims_come_first_with_a_verdict_in_each_stratum(text: str) -> None:
    rows = parse(text).rows
    assert rows[0] == ["", "seen pairs", "unseen pair", "unseen instance"]
    verdicts = {row[0].split("|")[0]: [cell.split("|")[0] for cell in row[1:]] for row in rows[1:20]}
    assert verdicts["Edits are nearest to the truth: LPIPS"] == ["holds"] * 3
    assert verdicts["Inferred x_T: SSIM"] == ["for orientation"] * 3
    assert {"Interpolates more smoothly: PPL, T = 20", "Interpolates more smoothly: PPL, T = 100"} <= set(verdicts)


def test_the_papers_figures_stand_beside_ours(text: str) -> None:
    lines = {line for row in parse(text).rows for cell in row for line in cell.split("|")}
    theirs = ("0.99", "0.93", "0.989", "8.56e-5", "0.539", "0.912", "345.67", "350.05")
    assert {f"paper {figure}" for figure in theirs} <= lines


def test_a_leak_stands_with_its_reference_and_interval(text: str) -> None:
    rows = parse(text).rows
    part = next(row for row in rows if row[0] == "part vehicle")
    assert part[2].startswith("0.30")
    assert "|reference 0.300|+0.004 [+0.00" in part[2]
    assert "|MLP +0.005 [+0.00" in part[2]
    assert "|reference" not in part[1]  # its own


def test_what_was_judged_is_counted_by_stratum_and_kind_of_truth(text: str) -> None:
    rows = {row[0]: row[1:] for row in parse(text).rows}
    assert rows["replaced: pictures"] == ["20"] * 3
    assert rows["truths rendered anew"] == ["20"] * 3
    assert rows["edits without a truth"] == ["0"] * 3
    assert rows["accuracy on true held-out images, pose"] == ["0.990", "0.985", "0.980"]
    assert "floor: two draws of one label" in rows
    assert "rendered for the purpose, or held out" in text


def test_a_set_without_ground_truth_says_so(results: Results, subjects: Subjects, tmp_path: Path) -> None:
    lacking = {name: [without_truths(each, "replace") for each in judged] for name, judged in subjects.items()}
    page = write(lacking, make_references(kind="none"), results, tmp_path)
    assert "no ground truth of any replacement in this set; it is judged by the attribute classifier alone" in page
    assert "no ground truth of any recombination" not in page  # told of each by itself
    assert "floor: two draws" not in page


def without_truths(judged: Judged, measure: str) -> Judged:
    """Return the same with no figure that needs a true picture."""
    found = judged.measured
    if measure not in found.items:
        return judged
    nothing = {
        name for name in found.items[measure].figures if name.split("/")[0] in ("mse", "ssim", "lpips", "copied")
    }
    figures = {name: values for name, values in found.items[measure].figures.items() if name not in nothing}
    measured = replace(found, items={**found.items, measure: replace(found.items[measure], figures=figures)})
    return Judged(judged.finding.model_copy(update={"metrics": measured.metrics}), measured)


def test_strata_without_images_are_left_out_and_said(results: Results, tmp_path: Path) -> None:
    row = measured_row(0.9)
    items = {k: dataclasses.replace(v, stratum=v.stratum * 0) for k, v in row.items.items()}
    row = Measured(items, {k: v for k, v in row.values.items() if "unseen" not in k})
    page = write({"diffusegae": [judge("diffusegae", "ours", row)]}, Measured(), results, tmp_path)
    assert "There are no images of: unseen pair, unseen instance (data.holdout asks for them)." in page
    assert "<th>unseen pair" not in page


def test_a_row_whose_pictures_cannot_be_told_is_marked_in_the_table(text: str) -> None:
    rows = parse(text).rows
    told = "DDIM|not recognisable: all attributes read right in 60% of its pictures|DDIM is told."
    assert {told, "Diff-AE"} <= {row[0] for row in rows}
    assert ["Diff-AE", "600", "10,000", "1,234,567", "0", "Diff-AE is told."] in rows
    assert "No code to probe: DDIM." in text


def test_ablations_are_there_if_asked_for(
    text: str, results: Results, subjects: Subjects, references: Measured, tmp_path: Path
) -> None:
    assert "Ablations: worth and cost" in text
    assert "Ablations" not in write(subjects, references, results, tmp_path)


def test_a_row_that_is_not_there_cannot_be_reported_on(
    results: Results, subjects: Subjects, references: Measured, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="there is no row 'theirs' to report on, only"):
        write(subjects, references, results, tmp_path, ours="theirs")


def test_what_people_named_is_escaped(results: Results, references: Measured, tmp_path: Path) -> None:
    subjects = {NASTY: [judge(NASTY, NASTY, measured_row(0.9), notes=(NASTY,))]}
    page = write(subjects, references, results, tmp_path, ours=NASTY)
    assert "<img src=x" not in page
    assert all(source.startswith("data:") for source in parse(page).sources)
