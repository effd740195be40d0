"""The evaluation's page and its summary: the comparison's sections for our stages, training curves, three strata."""

from pathlib import Path

import pytest

from diffusegae.evaluation.measured import Measured
from diffusegae.report.evaluation_page import summary_text, write_evaluation
from tests.report.conftest import CONFIG, SCHEMA, Subjects, judge, measured_row, parse

CURVES = {"pretrain": {"pretrain/loss": [(0.0, 1.0), (640.0, 0.4), (1280.0, 0.2)], "empty": [(0.0, 1.0)]}}


@pytest.fixture(scope="module")
def stages() -> Subjects:
    rows = {"stage 2": measured_row(0.95, 3), "stage 3": measured_row(0.98, 4)}
    return {name: [judge(name, name, measured)] for name, measured in rows.items()}


def test_the_page_is_of_the_last_row_and_has_the_training(
    stages: Subjects, references: Measured, tmp_path: Path
) -> None:
    path = write_evaluation(stages, references, CONFIG, SCHEMA, tmp_path, curves=CURVES, notes=["a note"])
    assert path == tmp_path / "report.html"
    text = path.read_text()
    structure = parse(text)
    assert "The tiles are of stage 3." in text
    assert structure.tags.count("polyline") == 1 + 2 * 2  # and two stages' path lengths with their keys
    assert all(source.startswith("data:image/png;base64,") for source in structure.sources)
    shown = next(row for row in structure.rows if any("paper 8.56e-5" in cell for cell in row))
    assert shown[0] == "stage 3"
    for phrase in ("a note", "What was judged", "Part by part: unseen instance", "num_edits"):
        assert phrase in text
    for phrase in ("What the paper claims", "Ablations"):
        assert phrase not in text


def test_nothing_to_report_on_is_refused(references: Measured, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no row to report on"):
        write_evaluation({}, references, CONFIG, SCHEMA, tmp_path, curves={})


def test_the_summary_has_the_matrix_and_the_three_strata(stages: Subjects, references: Measured) -> None:
    lines = summary_text(stages, references, SCHEMA).splitlines()
    assert lines[0].startswith("probe matrix of stage 3, seen pairs")
    assert lines[1].split() == ["vehicle", "ground", "pose"]
    assert lines[2].split() == ["part", "vehicle", "0.980", "0.302", "0.302"]
    assert len({len(line) for line in lines[1:8]}) == 1
    closing = lines[lines.index("") + 1 :]
    assert [word for word in ("seen pairs", "unseen pair", "unseen instance") if word in closing[0]] == [
        "seen pairs", "unseen pair", "unseen instance",
    ]  # fmt: skip
    assert any(line.startswith("replaced: LPIPS  ") and line.count("[") == 3 for line in closing)


def test_what_was_not_measured_is_left_out_of_the_summary(references: Measured) -> None:
    row = measured_row(0.9, edits=False, coded=False)
    text = summary_text({"stage 1": [judge("stage 1", "stage 1", row)]}, references, SCHEMA)
    assert "replaced" not in text
    assert "random x_T: MSE" in text
