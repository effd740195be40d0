"""The proposal: attributes that can be told apart, widths that add up, and a YAML that loads."""

from pathlib import Path

import pytest

from diffusegae.config.load import load_config
from diffusegae.data.sources.folder import FolderConfig
from diffusegae.survey import proposal
from diffusegae.survey.labels import survey_labels
from diffusegae.survey.pictures import survey_pictures
from diffusegae.survey.proposal import Proposal, SurveyError, describe, name_of, propose, to_yaml
from tests.survey.letters import write_letters
from tests.tiny import PRESETS


def proposed(source: FolderConfig, num_gpus: int = 0) -> Proposal:
    labels = survey_labels(source, source.label_names())
    return propose(labels, survey_pictures(source.reader(), labels.members), num_gpus)


def source_at(root: Path, count: int = 240) -> FolderConfig:
    images, table = write_letters(root, count)
    return FolderConfig(images=images, table=table, path_column="file")


def with_column(source: FolderConfig, name: str, values: list[str]) -> FolderConfig:
    lines = Path(source.table).read_text().splitlines()
    added = [f"{line},{value}" for line, value in zip(lines, [name, *values], strict=True)]
    Path(source.table).write_text("\n".join(added))
    return source


def test_what_follows_from_another_column_is_no_attribute_beside_it(tmp_path: Path) -> None:
    found = proposed(source_at(tmp_path))
    assert found.names == ["letter", "ink", "paper"]
    assert found.left_out["twin"] == "it says the same as ink"
    assert found.left_out["vowel"] == "it follows from letter, with which it changes"
    assert set(found.left_out) == {"twin", "vowel", "id", "constant"}
    assert sum(attribute.width for attribute in found.attributes) == 100
    widths = {attribute.column.name: attribute.width for attribute in found.attributes}
    assert widths["letter"] > widths["ink"] > widths["paper"]


def test_a_column_of_many_values_tells_the_instances_of_the_one_that_follows(tmp_path: Path) -> None:
    source = source_at(tmp_path, 600)
    inks = [line.split(",")[3] for line in Path(source.table).read_text().splitlines()[1:]]
    found = proposed(with_column(source, "pen", [f"{ink}{number % 30}" for number, ink in enumerate(inks)]))
    assert {attribute.column.name: attribute.instances for attribute in found.attributes}["ink"] == "pen"
    assert found.left_out["pen"] == "it tells the instances of ink, by which GROUPs are formed"


def test_attributes_that_nearly_go_together_are_warned_of(tmp_path: Path) -> None:
    source = source_at(tmp_path)
    inks = [line.split(",")[3] for line in Path(source.table).read_text().splitlines()[1:]]
    near = ["odd" if number % 30 == 0 else ink for number, ink in enumerate(inks)]
    found = proposed(with_column(source, "near", near))
    assert any(warning.startswith("near follows from ink in 9") for warning in found.warnings)


def test_of_more_values_than_go_by_name_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal, "NAMED_VALUES", 5)
    notes = [warning for warning in proposed(source_at(tmp_path)).warnings if "go by name" in warning]
    (note,) = notes
    assert note.startswith("of the 6 values of letter the 5 most frequent go by name and are judged")


def test_with_more_columns_than_a_group_holds_the_richest_are_taken(tmp_path: Path) -> None:
    source = source_at(tmp_path)
    for number in range(8):
        source = with_column(source, f"bit{number}", [str(row >> number & 1) for row in range(240)])
    found = proposed(source)
    assert len(found.attributes) == 8
    assert {"letter", "ink", "paper"} < set(found.names)
    assert sum("others tell more" in reason for reason in found.left_out.values()) == 3


def test_the_machine_and_the_number_of_pictures_choose_the_preset(tmp_path: Path) -> None:
    source = source_at(tmp_path)
    assert [(proposed(source, gpus).preset, proposed(source, gpus).image_size) for gpus in (0, 1)] == [
        ("mini", 32),
        ("fast64", 64),
    ]
    assert "half of the pictures are smaller than 40 px and are enlarged to 64 px" in proposed(source, 1).warnings


@pytest.mark.parametrize("gpus", [0, 1])
def test_the_yaml_loads_and_says_what_was_found(gpus: int, tmp_path: Path) -> None:
    source = source_at(tmp_path)
    found = proposed(source, gpus)
    path = tmp_path / "mine.yaml"
    path.write_text(to_yaml(found, source, "mine", "init photos"))
    config = load_config(str(path), [], PRESETS)
    assert config.name == "mine"
    assert config.data.source == source
    assert {name: spec.width for name, spec in config.data.attributes.items()} == {
        attribute.column.name: attribute.width for attribute in found.attributes
    }
    assert config.data.holdout.model_dump() == {"images": 20, "pairs": None, "values": {}}
    assert "# letter" not in path.read_text()
    assert "# id: 240 values in 240 images" in path.read_text()


def test_names_that_yaml_would_misread_are_quoted(tmp_path: Path) -> None:
    source = source_at(tmp_path)
    text = Path(source.table).read_text()
    Path(source.table).write_text(text.replace("letter", "no", 1).replace("ink", "my: ink", 1))
    path = tmp_path / "mine.yaml"
    path.write_text(to_yaml(proposed(source), source, "1", "init"))
    config = load_config(str(path), [], PRESETS)
    assert (config.name, list(config.data.attributes)) == ("1", ["no", "my: ink", "paper"])


def test_too_few_attributes_and_unreadable_pictures_are_named(tmp_path: Path) -> None:
    source = source_at(tmp_path)
    rows = [line.split(",") for line in Path(source.table).read_text().splitlines()]
    Path(source.table).write_text("\n".join(",".join([row[0], row[3], row[6]]) for row in rows))
    with pytest.raises(SurveyError, match=r"1 column\(s\) can be attributes \(ink\), expected at least 2.* id: 240"):
        proposed(source)
    for path in Path(source.images).iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(SurveyError, match="none of the pictures that were tried can be read: {'image does not decode'"):
        proposed(source)


def test_the_description_names_all_that_a_user_should_see(tmp_path: Path) -> None:
    source = source_at(tmp_path)
    labels = survey_labels(source, source.label_names())
    pictures = survey_pictures(source.reader(), labels.members)
    told = describe(labels, pictures, propose(labels, pictures, 0))
    assert "240 pictures; of 64 tried: 64 PNG, the shorter side 40 px" in told
    assert "attribute  letter: 6 values" in told
    assert "24 images without" in told
    assert "left out   twin: it says the same as ink" in told
    assert "preset     mini" in told


@pytest.mark.parametrize(
    ("address", "name"),
    [("photos", "photos"), ("a/My Photos.zip", "my-photos"), ("s3://b/set/", "set"), ("/", "mine"), ("ä/é", "mine")],
)
def test_a_config_is_named_by_its_pictures(address: str, name: str) -> None:
    assert name_of(address) == name
