"""The ablations: each changes one thing, all that a preset turns on is among them, stage 1 is shared."""

import pytest

from diffusegae.comparison import ablations
from diffusegae.comparison.ablations import Variant, config_of, plan_ablations, switched_on
from diffusegae.config.load import load_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.layout import Layout
from diffusegae.training.launch import stage_fingerprint
from tests.tiny import PRESETS, smoke_config

NAMES = sorted(path.stem for path in PRESETS.glob("*.yaml"))


def planned(config: PipelineConfig) -> dict[str, Variant]:
    return {variant.key: variant for ablation in plan_ablations(config) for variant in ablation.variants}


def variants(config: PipelineConfig) -> dict[str, PipelineConfig]:
    return {key: config_of(variant, config) for key, variant in planned(config).items() if variant.changes}


def forgotten(config: PipelineConfig) -> set[str]:
    """Return the settings that a config has otherwise than the paper and that no variant turns back, alone."""
    on = switched_on(config)
    pure = [variant.changes for variant in planned(config).values() if variant.changes.keys() <= on.keys()]
    return {key for key, value in on.items() if not any(c.get(key, ...) == value for c in pure)}


@pytest.mark.parametrize("preset", NAMES)
def test_every_switch_that_a_preset_turns_on_is_ablated(preset: str) -> None:
    assert not forgotten(load_config(preset, (), PRESETS))


@pytest.mark.parametrize("key", [switch[1] for switch in ablations.SWITCHES])
def test_a_switch_without_an_ablation_is_noticed(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config("quick", (), PRESETS)
    left = tuple(switch for switch in ablations.SWITCHES if switch[1] != key)
    (settings,) = (switch[3] for switch in ablations.SWITCHES if switch[1] == key)
    monkeypatch.setattr(ablations, "SWITCHES", left)
    assert forgotten(config) == set(settings) & set(switched_on(config))


def test_quick_turns_on_what_it_is_known_to() -> None:
    on = switched_on(load_config("quick", (), PRESETS))
    assert on.keys() >= {
        "model.gae.quantise_step", "model.unet.canvas", "model.unet.positions", "model.unet.z_gain",
        "model.encoder.pooling", "model.gae.linear_paths", "model.gae.norm", "refine.donors", "finetune.rate_factors",
        "refine.lambda_ur", "refine.lambda_agree", "refine.lambda_bend", "diffusion.prediction",
    }  # fmt: skip
    assert not any(key.endswith(("num_samples", "learning_rate", "widths", "report_every_samples")) for key in on)
    assert not switched_on(load_config("paper", (), PRESETS))


def test_every_setting_of_a_switch_exists() -> None:
    defaults = {key for section, model in ablations.PAPER.items() for key, _ in ablations._settings(section, model)}
    named = [setting for *_, settings in ablations.SWITCHES for setting in settings]
    assert set(named) | ablations.SIZES == defaults  # a new setting is a switch with a variant, or a size
    assert len(named) == len(set(named))


@pytest.mark.parametrize("preset", NAMES)
def test_every_variant_differs_from_the_config_and_from_the_others(preset: str) -> None:
    config = load_config(preset, (), PRESETS)
    plain = {"name", "base", "images"}
    dumps = [config.model_dump(exclude=plain), *(v.model_dump(exclude=plain) for v in variants(config).values())]
    assert all(dumps.count(dump) == 1 for dump in dumps)
    assert len({v.name for v in variants(config).values()} | {config.name}) == len(dumps)
    every = [variant.key for ablation in plan_ablations(config) for variant in ablation.variants]
    assert len(set(every)) == len(every)


def test_variants_share_stage_1_exactly_where_it_would_be_the_same() -> None:
    config = load_config("quick", ("name=mine",), PRESETS)
    mine = stage_fingerprint(config, "pretrain", "")
    for key, variant in variants(config).items():
        same = stage_fingerprint(variant, "pretrain", "") == mine
        assert (variant.base == "mine") == same, key
        assert Layout.of(variant).images == Layout.of(config).images
    shared = {key for key, variant in variants(config).items() if variant.base}
    assert shared >= {"no-rounding", "no-part-norm", "paper-widths", "no-cycle", "group-2", "same-rates"}
    assert not shared & {"no-z-only", "no-positions", "no-gain", "prediction", "half-unet", "end-to-end"}


def test_what_belongs_together_changes_together() -> None:
    quick = variants(load_config("quick", (), PRESETS))
    assert not quick["no-z-only"].model.unet.canvas
    assert quick["no-z-only"].pretrain.lambda_canvas == quick["no-z-only"].finetune.lambda_canvas == 0
    assert quick["no-cycle"].refine.lambda_ur == quick["no-cycle"].finetune.lambda_ur == 0
    assert quick["no-cycle"].refine.lambda_ss == 1
    assert quick["paper-weights"].refine.lambda_ur == 0.5


def test_widths_scale_with_their_sum_and_take_the_papers_proportion() -> None:
    config = variants(smoke_config())["width-48"]
    assert [spec.width for spec in config.data.attributes.values()] == [16, 16, 16]
    assert config.model.z_dis_width == 48
    paper = variants(load_config("quick", (), PRESETS))["paper-widths"]
    assert [spec.width for spec in paper.data.attributes.values()] == [60, 20, 20]
    assert paper.model.z_dis_width == 100


def test_two_attributes_have_no_group_of_two_shared() -> None:
    schema = "data.attributes={identity: {column: category, width: 8}, pose: {width: 8}}"
    config = smoke_config(schema, "data.holdout={images: 10}", "model.z_dis_width=16")
    assert "group-2" not in variants(config)
    assert "group-2" in variants(smoke_config())


def test_a_term_without_weight_is_not_ablated() -> None:
    assert variants(smoke_config()).keys() >= {"no-swap", "no-cycle"}
    assert "no-bend" not in variants(smoke_config())
    assert variants(smoke_config("refine.lambda_bend=1"))["no-bend"].refine.lambda_bend == 0
