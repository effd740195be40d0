"""The report: one file that asks for nothing else, escapes what it is given, and marks the better editor."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from diffusegae.metrics.evaluation import Evaluation
from diffusegae.metrics.figures import Figure, show
from diffusegae.metrics.page import line_chart
from diffusegae.metrics.report import summary_text, write_report
from tests.metrics.conftest import EVALUATION_CONFIG

CURVES = {"pretrain": {"pretrain/loss": [(0.0, 1.0), (640.0, 0.4), (1280.0, 0.2)], "empty": [(0.0, 1.0)]}}
VOID = {"meta", "img", "polyline"}


class Structure(HTMLParser):
    """Collects what a page refers to, and fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def parse(text: str) -> Structure:
    structure = Structure()
    structure.feed(text)
    assert structure.open == []
    return structure


def test_report_is_one_whole_file(evaluation: tuple[Evaluation, Path], tmp_path: Path) -> None:
    path = write_report(evaluation[0], EVALUATION_CONFIG, tmp_path, CURVES)
    assert path == tmp_path / "report.html"
    text = path.read_text()
    structure = parse(text)
    assert len(structure.sources) == len(evaluation[0].pictures) == 6
    assert all(source.startswith("data:image/png;base64,") for source in structure.sources)
    assert "script" not in structure.tags
    assert "link" not in structure.tags
    assert structure.tags.count("polyline") == 1
    assert "url(" not in text
    for phrase in ("majority", "all of z_sem", "every kept attribute right", "T = 4", "Standard error", "num_edits: 6"):
        assert phrase in text


def test_report_escapes_what_people_named(evaluation: tuple[Evaluation, Path], tmp_path: Path) -> None:
    nasty = '<img src=x onerror="alert(1)">&'
    found = evaluation[0]
    renamed = dataclasses.replace(
        found, scores={nasty: found.scores["stage 3"]}, notes=(nasty,), judge_accuracy={nasty: 1.0}
    )
    curves = {nasty: {nasty: [(0.0, 1.0), (1.0, 2.0)]}}
    text = write_report(renamed, EVALUATION_CONFIG, tmp_path, curves).read_text()
    structure = parse(text)
    assert structure.tags.count("img") == 6
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;" in text


def test_better_is_by_what_is_shown() -> None:
    assert Figure("SSIM", {"two": 0.9, "three": 0.95}).better == "three"
    assert Figure("MSE", {"two": 8.1e-5, "three": 9e-5}, "error").better == "two"
    assert Figure("SSIM", {"two": 0.9501, "three": 0.9502}).better is None
    assert Figure("SSIM", {"only": 0.9}).better is None
    assert Figure("LPIPS", {"two": None, "three": None}, "error").better is None


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.98949, "share", "0.989"), (8.56e-5, "error", "8.56e-5"), (0.0112, "error", "0.0112"),
        (0.0, "error", "0.0000"), (None, "error", "–"), (float("nan"), "share", "–"),
    ],
)  # fmt: skip
def test_figures_are_written_as_in_the_paper(value: float | None, style: str, text: str) -> None:
    assert show(value, style) == text


def test_better_figures_are_marked_in_both(evaluation: tuple[Evaluation, Path], tmp_path: Path) -> None:
    found = evaluation[0]
    text = write_report(found, EVALUATION_CONFIG, tmp_path).read_text()
    marked = re.findall(r'<td class="better">', text)
    assert len(marked) == len(re.findall(r"\d\*", summary_text(found))) > 0
    alone = dataclasses.replace(found, scores={"stage 3": found.scores["stage 3"]})
    assert "*" not in summary_text(alone)


def test_summary_aligns_and_names_the_matrix(evaluation: tuple[Evaluation, Path]) -> None:
    lines = summary_text(evaluation[0]).splitlines()
    assert lines[0].startswith("probe matrix of stage 3")
    assert lines[1].split() == ["vehicle", "ground", "pose"]
    matrix = lines[1:9]
    assert len({len(line) for line in matrix}) == 1
    probe = evaluation[0].scores["stage 3"].probe
    assert lines[2].split() == ["part", "vehicle", *(f"{value:.3f}" for value in probe.accuracy[0])]


def test_a_level_curve_is_drawn() -> None:
    assert 'points="0.0,110.0 300.0,110.0"' in line_chart("flat", [(0.0, 2.0), (10.0, 2.0)])
