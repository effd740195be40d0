"""Layers: a YAML that extends a preset, what it merges and what it replaces, and where each value comes from."""

from pathlib import Path

import pytest

from diffusegae.config.load import ConfigError, describe_config, load_config
from tests.tiny import PRESETS

FOLDER = """
name: mine
data:
  source: {kind: folder, images: photos, table: labels.csv}
  attributes: {letter: {width: 60}, font: {width: 40}}
"""


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_file_extends_a_preset_key_by_key(tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.yaml", "extends: quick\nname: mine\nrefine: {num_samples: 6400, betas: [0.5, 0.9]}\n")
    config, quick = load_config(mine, [], PRESETS), load_config("quick", [], PRESETS)
    assert (config.refine.num_samples, config.refine.betas) == (6400, (0.5, 0.9))
    changed = quick.refine.model_copy(update={"num_samples": 6400, "betas": (0.5, 0.9)})
    assert config == quick.model_copy(update={"name": "mine", "refine": changed})


def test_attributes_and_a_source_of_another_kind_replace_those_of_the_parent(tmp_path: Path) -> None:
    text = f"extends: smoke\nmodel: {{z_dis_width: 100}}{FOLDER}"
    config = load_config(write(tmp_path / "mine.yaml", text), [], PRESETS)
    assert list(config.data.attributes) == ["letter", "font"]
    assert config.data.source.model_dump() == {
        "kind": "folder", "images": "photos", "table": "labels.csv", "path_column": "path",
    }  # fmt: skip
    # What the preset holds out of attributes that are no more is gone, the share of images stays.
    assert (config.data.holdout.images, config.data.holdout.pairs, config.data.holdout.values) == (10, None, {})
    assert config.data.shard_rows == 64


def test_a_source_of_the_same_kind_is_changed_key_by_key(tmp_path: Path) -> None:
    text = "extends: smoke\nname: mine\ndata: {source: {num_poses: 5}}\n"
    source = load_config(write(tmp_path / "mine.yaml", text), [], PRESETS).data.source.model_dump()
    assert (source["num_kinds"], source["num_poses"]) == (4, 5)


def test_what_is_held_out_of_attributes_that_stay_stays(tmp_path: Path) -> None:
    text = """
extends: quick
name: mine
data:
  attributes:
    background: {width: 40}
    pose: {width: 30}
    identity: {column: category, group_column: instance, width: 30}
"""
    config = load_config(write(tmp_path / "mine.yaml", text), [], PRESETS)
    assert config.data.holdout == load_config("quick", [], PRESETS).data.holdout


def test_a_chain_of_files_by_their_own_folders(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "a.yaml", "extends: smoke\nname: a\nseed: 3\n")
    below = write(tmp_path / "deep" / "b.yaml", "extends: ../a.yaml\nname: b\n")
    config = load_config(below, ["seed=4"], PRESETS)
    assert (config.name, config.seed, config.model.z_dis_width) == ("b", 4, 24)


def test_a_name_is_of_one_file_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name is missing; set it in the config or by --set name="):
        load_config(write(tmp_path / "mine.yaml", "extends: quick\n"), [], PRESETS)


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        ("b.yaml", r"a\.yaml: extends itself: a\.yaml extends b\.yaml extends a\.yaml"),
        ("a.yaml", r"a\.yaml: extends itself: a\.yaml extends a\.yaml"),
        ("quik", r"a\.yaml: extends: unknown preset or file 'quik'; presets: .*quick"),
        ("[quick]", r"a\.yaml: extends is \['quick'\]; expected the name of a preset or the path"),
    ],
)
def test_parents_that_can_not_be_are_named(parent: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / "b.yaml", "extends: a.yaml\nname: b\n")
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path / "a.yaml", f"extends: {parent}\nname: a\n"), [], PRESETS)


def test_widths_that_no_longer_fit_are_told_with_the_remedy(tmp_path: Path) -> None:
    text = f"extends: smoke{FOLDER}"
    with pytest.raises(ConfigError, match="add up to 100, but model.z_dis_width is 24; set model.z_dis_width to 100"):
        load_config(write(tmp_path / "mine.yaml", text), [], PRESETS)


def test_the_whole_config_is_described_with_where_each_value_is_from(tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.yaml", f"extends: quick{FOLDER}")
    overrides = ["refine.lambda_ur=3", "storage=runs/a #1"]
    described = describe_config(mine, overrides, PRESETS)
    lines = {line.rpartition("#")[0].strip(): line.rpartition("# ")[2] for line in described.splitlines()}
    assert lines["table: labels.csv"] == mine
    assert lines["lambda_ur: 3.0"] == "--set"
    assert lines["image_size: 32"] == "preset quick"
    assert lines["z_sem_width: 512"] == "default"
    assert "storage: 'runs/a #1'" in described
    again = write(tmp_path / "again.yaml", described)
    assert load_config(again) == load_config(mine, overrides, PRESETS)
