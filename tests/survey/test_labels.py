"""Labels of a table: values, counts and missing ones, and which columns can be attributes."""

from pathlib import Path

import numpy as np
import pytest

from diffusegae.data.records import MISSING, SourceError
from diffusegae.data.sources.folder import FolderConfig
from diffusegae.survey import labels as labels_module
from diffusegae.survey.labels import LabelSurvey, survey_labels
from tests.survey.letters import write_letters


@pytest.fixture
def survey(tmp_path: Path) -> LabelSurvey:
    images, table = write_letters(tmp_path)
    source = FolderConfig(images=images, table=table, path_column="file")
    return survey_labels(source, source.label_names())


def test_columns_are_counted(survey: LabelSurvey) -> None:
    found = {column.name: column for column in survey.columns}
    assert list(found) == ["letter", "vowel", "ink", "twin", "paper", "id", "constant"]
    letter = found["letter"]
    assert letter.values == tuple("ABCDEF")
    assert (sum(letter.counts), letter.num_missing, letter.num_images) == (216, 24, 216)
    own = survey.labels["letter"]
    assert own.tolist()[:11].count(MISSING) == 2
    assert tuple(np.bincount(own[own != MISSING]).tolist()) == letter.counts
    assert survey.matrix(["letter", "ink"]).shape == (240, 2)
    assert (survey.num_images, survey.num_repeated, survey.is_whole) == (240, 0, True)


def test_what_is_no_attribute_has_a_problem_that_says_why(survey: LabelSurvey) -> None:
    problems = {column.name: column.problem for column in survey.columns if column.problem}
    assert problems == {
        "id": "240 values in 240 images: names rather than an attribute",
        "constant": "it has 1 value",
    }


def test_repeated_and_lost_rows_are_counted(tmp_path: Path) -> None:
    images, table = write_letters(tmp_path, 40)
    with Path(table).open("a") as file:
        file.write("0001.png,A,yes,red,RED,mint,n1,x\n,A,yes,red,RED,mint,n1,x\n")
    survey = survey_labels(FolderConfig(images=images, table=table, path_column="file"), ["letter", "ink"])
    assert survey.num_repeated == 1
    assert survey.skipped == {"row without a path": 1}


def test_of_a_huge_table_the_first_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "MAX_ROWS", 30)
    images, table = write_letters(tmp_path, 40)
    survey = survey_labels(FolderConfig(images=images, table=table, path_column="file"), ["letter", "ink"])
    assert (survey.num_images, survey.is_whole) == (30, False)


def test_a_source_without_pictures_is_named(tmp_path: Path) -> None:
    images, table = write_letters(tmp_path, 1)
    Path(table).write_text("file,letter\n,A\n")
    with pytest.raises(SourceError, match="no picture that can be used; left out: {'row without a path': 1}"):
        survey_labels(FolderConfig(images=images, table=table, path_column="file"), ["letter"])
