"""Configs: presets load, wrong keys and values are named with what is allowed."""

from pathlib import Path

import pytest

from diffusegae.config.holdout import HoldoutConfig
from diffusegae.config.load import ConfigError, load_config, validate_config
from diffusegae.data.sources.folder import FolderConfig
from tests.tiny import PRESETS


@pytest.mark.parametrize("name", ["smoke", "quick", "glyphs", "hard", "heroes32", "heroes64", "vehicles64", "paper"])
def test_presets_load(name: str) -> None:
    assert load_config(name, [], PRESETS).name == name


def test_paper_preset_keeps_the_papers_weights_and_rates() -> None:
    config = load_config("paper", [], PRESETS)
    assert (config.refine.learning_rate, config.refine.lambda_ss, config.refine.lambda_ur) == (4e-5, 1.0, 0.5)
    assert (config.finetune.learning_rate, config.finetune.lambda_ss, config.finetune.lambda_ur) == (1e-5, 0.5, 0.5)
    assert (config.finetune.gamma, config.sampling.steps, config.diffusion.prediction) == (1.0, 100, "eps")
    assert not config.model.gae.normalise_parts
    assert {name: spec.width for name, spec in config.data.attributes.items()} == {
        "identity": 60,
        "background": 20,
        "pose": 20,
    }


def test_overrides_are_dotted_and_typed() -> None:
    config = load_config("smoke", ["refine.learning_rate=1e-4", "data.source.num_kinds=5", "name=other"], PRESETS)
    assert config.refine.learning_rate == 1e-4
    assert config.data.source.model_dump()["num_kinds"] == 5
    assert config.name == "other"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "refine.lamda_ss=1",
            r"unknown key 'refine.lamda_ss' \(did you mean 'lambda_ss'\?\); allowed here: accumulate",
        ),
        ("colour=red", "unknown key 'colour'"),
        ("data.attributes.pose.widht=3", r"unknown key 'data.attributes.pose.widht' \(did you mean 'width'"),
        ("pretrain.learning_rate=fast", r"pretrain.learning_rate: Input should be a valid number.*got 'fast'"),
        ("diffusion.prediction=x0", r"diffusion.prediction: Input should be 'eps' or 'v'"),
        (
            "data.holdout.pairs={attributes: [pose, hue], percent: 5}",
            "names the attribute 'hue'.*one of: identity",
        ),
        ("data.holdout.values={colour: 5}", "data.holdout names the attribute 'colour'.*background, pose"),
        ("data.holdout.pairs.share=5", r"unknown key 'data.holdout.pairs.share'; allowed here: attributes, percent"),
        (
            "data={attributes: {a: {column: x, width: 50}, b: {column: x, width: 50}},"
            " holdout: {pairs: {attributes: [a, b], percent: 5}}}",
            r"\['a', 'b'\] read the columns \['x', 'x'\], one of them twice",
        ),
        ("data.holdout={images: 0}", "nothing is held out"),
        ("data.attributes.pose.width=9", r"add up to 25, but model.z_dis_width is 24"),
        ("refine.shared=3", "shared must be less than the 3 attributes"),
        ("finetune.lambda_canvas=1", r"finetune.lambda_canvas is 1.0, but model.unet.canvas is false"),
        ("data.source={kind: folder, table: x.csv}", "data.source.images is missing; set it in the config or by --set"),
        ("data.source={table: x.csv}", "data.source.kind is missing"),
        ("data.attributes.pose.bins=4", "data.attributes.pose.bins cuts numbers, and source 'vehicles' has none"),
        (
            "data.source={kind: foldr}",
            "data.source.kind is 'foldr'; expected one of: 'vehicles', 'glyphs', 'heroes', 'ilab', 'folder'",
        ),
        ("data.source={kind: folder, images: x, tabel: y}", r"unknown key 'data.source.tabel' \(did you mean 'table'"),
    ],
)
def test_wrong_overrides_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("smoke", [override], PRESETS)


def test_the_old_name_of_the_share_of_images_is_read_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    old = {"name": "x", "data": {"holdout_percent": 30}}
    assert validate_config(old, "here").data.holdout == HoldoutConfig(images=30)
    assert "data.holdout_percent is now data.holdout.images" in caplog.text
    with pytest.raises(ConfigError, match=r"unknown key 'data.holdout_percent'"):
        validate_config({"name": "x", "data": {"holdout_percent": 30, "holdout": {"images": 30}}}, "here")


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.source=folder", "data.folder.images=a", "data.folder.table=b.csv"],
        ["data.source={kind: folder, images: a, table: c.csv}", "data.folder.table=b.csv"],
    ],
)
def test_the_old_keys_of_a_source_are_read_with_a_warning(
    overrides: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected = FolderConfig(images="a", table="b.csv")
    assert load_config("smoke", overrides, PRESETS).data.source == expected
    assert "data.source is now a mapping, {kind: folder, ...}" in caplog.text


def test_an_unknown_preset_lists_the_known() -> None:
    known = "fast64, glyphs, hard, heroes32, heroes64, mini, paper, quick, smoke, vehicles64"
    with pytest.raises(ConfigError, match=rf"unknown preset or file 'fast'; presets: {known}"):
        load_config("fast", [], PRESETS)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\nmodle: {}\n")
    with pytest.raises(ConfigError, match=r"mine.yaml: 1 problem\(s\)\n  unknown key 'modle' \(did you mean 'model'"):
        load_config(str(path))


@pytest.mark.parametrize(("text", "message"), [("[1, 2]", "expected a mapping"), ("a: [", "not valid YAML")])
def test_files_that_are_no_mapping_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(str(path))


def test_override_without_a_value_is_named() -> None:
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        load_config("smoke", ["refine"], PRESETS)


def test_a_set_is_read_in_as_many_lanes_as_there_are_workers_at_most() -> None:
    def lanes(*overrides: str) -> int:
        return load_config("smoke", overrides, PRESETS).lanes

    assert (lanes(), lanes("resources.num_workers=[1,4]"), lanes("resources.num_workers=3", "data.lanes=2")) == (
        1,
        4,
        2,
    )


def test_a_worker_decodes_with_all_its_cpus_beside_a_gpu_and_with_one_thread_beside_training_on_them() -> None:
    def decoders(*overrides: str) -> int:
        return load_config("smoke", overrides, PRESETS).resources.decoders

    gpu = ("resources.gpus_per_worker=1", "resources.cpus_per_worker=6")
    assert (decoders("resources.cpus_per_worker=6"), decoders(*gpu)) == (1, 6)
    assert (decoders(*gpu, "resources.decode_threads=2"), decoders("resources.decode_threads=3")) == (2, 3)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("storage=runs/a #1", "runs/a #1"),
        ("storage=[a", "[a"),
        ("storage=", ""),
        ("storage='quoted'", "quoted"),
        ("tracking.model_name=007", "007"),
        ("tracking.alias=no", "no"),
    ],
)
def test_a_value_that_is_text_is_taken_as_it_is_typed(override: str, value: str) -> None:
    config = load_config("smoke", [override], PRESETS)
    found: object = config
    for key in override.partition("=")[0].split("."):
        found = getattr(found, key)
    assert found == value


def test_text_is_known_inside_of_attributes_and_of_every_kind_of_source() -> None:
    folder = "data.source={kind: folder, images: a, table: b.csv}"
    config = load_config("smoke", [folder, "data.source.table=c #1.csv", "data.attributes.pose.column=no"], PRESETS)
    assert config.data.source.model_dump()["table"] == "c #1.csv"
    assert config.data.attributes["pose"].column == "no"


def test_an_override_that_is_no_yaml_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^--set 'seed=\[a', line 1, column 3: not valid YAML: [^\n]*$"):
        load_config("smoke", ["seed=[a"], PRESETS)


def test_a_word_that_yaml_reads_as_a_truth_value_is_told_to_be_quoted(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\ndata: {attributes: {pose: {column: no, width: 100}, b: {width: 2}}}\n")
    with pytest.raises(ConfigError, match="data.attributes.pose.column: YAML .* but as False; put it in quotes"):
        load_config(str(path))


@pytest.mark.parametrize("size", [16, 24, 40, 50, 72, 96, 100])
def test_sizes_that_the_networks_or_the_judge_can_not_have_are_refused_with_those_near(size: int) -> None:
    with pytest.raises(ConfigError, match=rf"model.image_size is {size}; .* it can be 32, 64, 128"):
        load_config("quick", [f"model.image_size={size}"], PRESETS)
