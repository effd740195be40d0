"""The report: one file with every method and the paper's figures beside ours, its marks where a lead counts."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from diffusegae.comparison.chart import Point, draw_lines
from diffusegae.comparison.grids import draw_code_grid, draw_grids
from diffusegae.comparison.measured import Measured
from diffusegae.comparison.report import write_report
from diffusegae.comparison.results import Ablations, Finding, Results, Study, gather, statistic_of, summarise
from diffusegae.comparison.tables import Column, Reference, method_table, show_statistic, statistic_cell
from diffusegae.metrics.page import Cell
from diffusegae.schema import AttributeSchema
from tests.comparison.conftest import CONFIG

Found = dict[str, Measured]


def study(name: str, values: dict[str, tuple[float, ...]]) -> Study:
    """Return what a variant's seeds were measured to be, all trained for an hour."""
    figures = {metric: statistic_of(each) for metric, each in values.items()}
    return Study(name=name, figures=figures, seconds=statistic_of([3600.0] * max(map(len, values.values()))))


NASTY = '<img src=x onerror="alert(1)">&'
ABLATIONS = {
    "Part normalisation": [
        study("the config", {"probe/mean_diagonal": (0.91, 0.93), "probe/mean_excess": (0.02, 0.03)}),
        study("off", {"probe/mean_diagonal": (0.53,), "probe/mean_excess": (0.03,), "reconstruct/random/ssim": (0.2,)}),
    ]
}


class Structure(HTMLParser):
    """Collects a page's sources, tags and table rows, and fails on tags that do not match."""

    void = frozenset({"meta", "img", "polyline", "line", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.void:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def parse(text: str) -> Structure:
    structure = Structure()
    structure.feed(text)
    assert structure.open == []
    return structure


def results_of(
    measured: Found, num_seeds: int = 3, deviation: float = 0.01, ablations: Ablations | None = None
) -> Results:
    """Return findings of several seeds: what was measured, varied a little."""
    generator = np.random.default_rng(0)
    findings = [
        Finding(
            name=name,
            seed=seed,
            metrics={
                metric: value if metric.startswith(("chance", "judge", "probe/is")) else value + deviation * noise
                for (metric, value), noise in zip(
                    found.metrics.items(), generator.normal(size=len(found.metrics)), strict=True
                )
            },
            seconds=600.0 + seed,
            images=10_000,
            parameters=1_234_567,
            fingerprint="f",
        )
        for name, found in measured.items()
        for seed in range(num_seeds)
    ]
    return gather(findings, ablations=ablations)


@pytest.fixture(scope="session")
def text(measured: Found, painted_schema: AttributeSchema, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    results = results_of(measured, ablations=ABLATIONS)
    path = write_report(results, measured, CONFIG, painted_schema, folder, notes=["a note of ours"])
    assert path == folder / "report.html"
    return path.read_text()


def test_the_report_needs_no_other_file(text: str) -> None:
    structure = parse(text)
    # replacement, recombination, reconstruction, interpolation of all and of each attribute, t-SNE
    assert len(structure.sources) == 3 + 1 + 3 + 1
    assert all(source.startswith("data:image/png;base64,") for source in structure.sources)
    assert not {"script", "link", "iframe"} & set(structure.tags)
    assert not re.search(r"https?://", text)
    assert "url(" not in text
    assert "@import" not in text


def test_every_method_stands_in_order_with_the_papers_figures(text: str) -> None:
    rows = parse(text).rows
    table_1 = next(n for n, row in enumerate(rows) if "parts know their own, mean" in row)
    assert [row[0] for row in rows[table_1 + 1 : table_1 + 5]] == ["DiffuseGAE (ours)", "Diff-AE", "DDIM", "oracle"]
    cells = {cell for row in rows for cell in row}
    # Table 1, Table 2 with its FID, Fig. 10 are of other steps than the tiny run's.
    assert {"0.168", "0.132", "4.03", "8.07", "0.989", "8.56e-5", "0.539", "0.912"} <= cells
    assert "columns are Identity, Background, Pose of iLab-20M" in text


def test_the_papers_claims_come_first_with_their_verdicts(text: str) -> None:
    rows = parse(text).rows
    assert rows[0] == ["", "the paper's", "ours", "held against", "verdict"]
    verdicts = {row[0]: row[3:] for row in rows[1 : next(n for n, row in enumerate(rows) if n and row[0] == "")]}
    assert verdicts["Inferred x_T: SSIM"] == ["at least 0.989", "fails"]  # the tiny model has learned nothing
    assert verdicts["Edits are nearest to the truth: LPIPS"] == ["–", "not measured"]  # no rival is there
    assert verdicts["Random x_T, no worse: SSIM"][0].startswith("Diff-AE 0.")
    assert {"Interpolates more smoothly: PPL, T = 2", "Interpolates more smoothly: PPL, T = 4"} <= set(verdicts)


def test_what_was_not_measured_is_a_dash(text: str, measured: Found) -> None:
    rows = parse(text).rows
    start = next(n for n, row in enumerate(rows) if row[:2] == ["", "swapped right"])
    by_title = {row[0]: row[1:] for row in rows[start + 1 : start + 5]}
    assert set(by_title["Diff-AE"]) == {"–"}
    assert "–" not in by_title["oracle"]
    assert "Unable to do it: Diff-AE, DDIM." in text
    assert "No code to probe: DDIM." in text
    assert "FID is not measured" in text


def test_fig_10_has_the_papers_figures_at_its_steps(
    measured: Found, painted_schema: AttributeSchema, tmp_path: Path
) -> None:
    compare = CONFIG.compare.model_copy(update={"path_steps": (2, 100)})
    config = CONFIG.model_copy(update={"compare": compare})
    rows = parse(write_report(results_of(measured), measured, config, painted_schema, tmp_path).read_text()).rows
    assert [row[-1] for row in rows if len(row) == 4 and row[-1] in ("345.67", "350.05")] == ["345.67", "350.05"]


def test_pairs_are_compared_one_by_one(text: str, measured: Found) -> None:
    ours, theirs = (measured[name].examples["ppl_T2"] for name in ("diffusegae", "diffae"))
    rows = parse(text).rows
    place = next(n for n, row in enumerate(rows) if row[0] == "than")
    assert rows[place + 1][:2] == ["Diff-AE", f"{np.mean(ours < theirs):.0%}"]


def test_ablations_are_there_if_asked_for(
    text: str, measured: Found, painted_schema: AttributeSchema, tmp_path: Path
) -> None:
    rows = parse(text).rows
    assert ["", "parts know their own", "and leak", "SSIM, random x_T", "seconds of training"] in rows
    assert ["the config", "0.920 ± .014", "0.025 ± .007", "–", "3,600"] in rows
    assert ["off", "0.530", "0.030", "0.200", "3,600"] in rows
    plain = write_report(results_of(measured), measured, CONFIG, painted_schema, tmp_path).read_text()
    assert "Ablations" not in plain


def test_a_seed_alone_proves_nothing(
    text: str, measured: Found, painted_schema: AttributeSchema, tmp_path: Path
) -> None:
    assert '<td class="better"' in text
    alone = write_report(results_of(measured, num_seeds=1), measured, CONFIG, painted_schema, tmp_path).read_text()
    assert '<td class="better"' not in alone
    assert "°</td>" in alone
    assert "±</td>" not in alone


def test_findings_alone_make_a_report(measured: Found, painted_schema: AttributeSchema, tmp_path: Path) -> None:
    only = {"oracle": measured["oracle"]}
    text = write_report(results_of(only), {}, CONFIG, painted_schema, tmp_path).read_text()
    assert parse(text).sources == []


def test_what_people_named_is_escaped(measured: Found, painted_schema: AttributeSchema, tmp_path: Path) -> None:
    renamed = {NASTY: measured["diffusegae"], "diffae": measured["diffae"]}
    studies = {NASTY: [study(NASTY, {"probe/mean_diagonal": (1.0,)})]}
    results = results_of(renamed, ablations=studies)
    path = write_report(results, renamed, CONFIG, painted_schema, tmp_path, notes=[NASTY])
    text = path.read_text()
    assert "<img src=x" not in text
    assert all(source.startswith("data:") for source in parse(text).sources)


def test_pictures_of_other_images_are_refused(measured: Found) -> None:
    other = dict(measured["oracle"].examples)
    other["sources"] = 255 - other["sources"]
    shown = {"one": measured["diffusegae"], "other": dataclasses.replace(measured["oracle"], examples=other)}
    with pytest.raises(ValueError, match=r"other and one were shown different images \(sources\)"):
        draw_grids(shown, ("vehicle", "ground", "pose"))


def test_pictures_are_left_out_where_nobody_can(measured: Found) -> None:
    names = ("vehicle", "ground", "pose")
    pictures = draw_grids({"DDIM": measured["ddim"]}, names)
    assert [picture.name for picture in pictures] == ["reconstruction", "interpolation"]
    assert draw_code_grid({"DDIM": measured["ddim"]}, names) is None


def test_a_cell_is_marked_by_its_lead() -> None:
    findings = [
        Finding(name=name, seed=seed, metrics={"x/mse": value}, seconds=0, images=0, parameters=0, fingerprint="")
        for name, values in {"a": (0.1, 0.1002), "b": (0.2, 0.2002)}.items()
        for seed, value in enumerate(values)
    ]
    summary = summarise(findings)
    assert statistic_cell(summary, "a", "x/mse", "error") == Cell("0.1001 ± 1.41e-4", "better")
    assert statistic_cell(summary, "b", "x/mse", "error").classes == ""
    assert statistic_cell(summary, "b", "x/ssim", "share") == Cell("–")
    single = summarise([finding for finding in findings if finding.seed == 0])
    assert statistic_cell(single, "a", "x/mse", "error") == Cell("0.1000°")
    assert show_statistic(single["b"]["x/mse"], "error") == "0.2000"


def test_a_column_that_nobody_has_is_left_out() -> None:
    found = Finding(name="a", seed=0, metrics={"x": 0.5}, seconds=0, images=0, parameters=0, fingerprint="")
    columns = [Column("x", "X"), Column("y", "Y"), Column("z", "Z", paper={"a": 0.25})]
    rows = parse(method_table(summarise([found]), {"a": "A"}, columns, "", [Reference("chance", {"x": 0.1})])).rows
    assert rows == [["", "X", "Z", "paper"], ["A", "0.500", "–", "0.25"], ["chance", "0.100", "", ""]]


def test_a_chart_places_points_between_its_ticks() -> None:
    svg = draw_lines("lengths", {"a & b": [Point(20, 300.0, 5.0), Point(500, 310.0)], "flat": [Point(20, 300.0)]}, "T")
    assert "a &amp; b" in svg
    assert svg.count("<circle") == 3
    assert svg.count('class="bar"') == 1
    ys = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
    assert ys[1] < ys[0] == ys[2]
    assert all(12 <= y <= 206 for y in ys)
