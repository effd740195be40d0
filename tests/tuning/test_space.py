"""The search space: what may be searched, and that every point is a whole config."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusegae.config.load import ConfigError, load_config
from diffusegae.tuning.space import (
    SpaceError,
    check_space,
    config_at,
    dimensions_of,
    distributions_of,
    own_point,
    partition,
    schema_at,
    value_at,
)
from tests.tiny import PRESETS, smoke_config, tiny_schema

NAMED_IN_THE_ISSUE = {
    "refine.lambda_ss", "refine.lambda_ur", "refine.learning_rate", "refine.batch_size", "model.gae.widths",
    "model.gae.num_bottlenecks", "model.gae.normalise_parts",
}  # fmt: skip


def space(text: str) -> str:
    return f"tune.space={{{text}}}"


def test_the_default_covers_losses_rate_batch_sizes_blocks_and_the_partition() -> None:
    keys = set(dimensions_of(smoke_config()))
    assert keys == NAMED_IN_THE_ISSUE | {f"data.attributes.{name}.width" for name in ("identity", "background", "pose")}


@pytest.mark.parametrize("preset", ["smoke", "mini", "quick", "vehicles64", "paper"])
def test_the_default_fits_every_preset_and_holds_its_own_point(preset: str) -> None:
    config = load_config(preset, [], PRESETS)
    dimensions = dimensions_of(config)
    check_space(config, dimensions)
    point = own_point(config, dimensions)
    assert config_at(config, dimensions, point) == config
    for key, distribution in distributions_of(dimensions).items():
        assert distribution._contains(distribution.to_internal_repr(point[key]))


def test_a_named_key_replaces_its_default_alone_and_fixed_leaves_it_out() -> None:
    config = smoke_config(
        space(
            "refine.lambda_ss: {kind: fixed}, refine.learning_rate: {kind: loguniform, low: 1e-4, high: 1e-2},"
            " data.attributes.pose.width: {kind: uniform, low: 4, high: 12},"
            " model.gae.widths: {kind: choice, values: [[32, 32, 32, 32], [64, 64]]}"
        )
    )
    dimensions = dimensions_of(config)
    assert "refine.lambda_ss" not in dimensions
    assert (dimensions["refine.learning_rate"].low, dimensions["refine.learning_rate"].relative) == (1e-4, False)
    assert dimensions["data.attributes.pose.width"].high == 12
    assert dimensions["data.attributes.identity.width"].relative
    point = own_point(config, dimensions) | {"model.gae.widths": json.dumps([64, 64]), "refine.learning_rate": 3e-4}
    drawn = config_at(config, dimensions, point)
    assert drawn.model.gae.widths == (64, 64)  # as many MLP blocks as widths
    assert drawn.refine.learning_rate == 3e-4
    assert drawn.refine.lambda_ss == config.refine.lambda_ss


def test_relative_dimensions_multiply_what_the_config_has() -> None:
    config = smoke_config()
    dimensions = dimensions_of(config)
    point = own_point(config, dimensions) | {
        "refine.lambda_ur": 2.0, "refine.batch_size": "0.5", "model.gae.widths": "2",
        "model.gae.num_bottlenecks": "1.5", "data.attributes.identity.width": 2.0,
    }  # fmt: skip
    drawn = config_at(config, dimensions, point)
    assert drawn.refine.lambda_ur == 2 * config.refine.lambda_ur
    assert (drawn.refine.batch_size, drawn.model.gae.widths, drawn.model.gae.num_bottlenecks) == (8, (64,) * 4, 3)
    assert [spec.width for spec in drawn.data.attributes.values()] == [12, 6, 6]
    assert value_at(drawn, "data.attributes.pose.width") == 6


@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=6), st.integers(12, 200))
def test_a_partition_adds_up_and_leaves_every_part_two(widths: list[float], total: int) -> None:
    parts = partition({str(place): width for place, width in enumerate(widths)}, total)
    assert sum(parts.values()) == total
    assert min(parts.values()) >= 2
    for place, width in enumerate(widths):
        wider = [parts[str(other)] for other, its in enumerate(widths) if its > width]
        assert all(parts[str(place)] <= part for part in wider)


def test_the_schema_follows_the_partition() -> None:
    attributes = "data.attributes={a: {width: 4}, b: {width: 14}, c: {width: 6}}"
    config = smoke_config(attributes, "data.holdout={images: 20}")
    assert schema_at(tiny_schema(8, 8, 8), config).widths == (4, 14, 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "refine.lr: {kind: fixed}",
            r"unknown key 'refine.lr'; allowed: refine.batch_size, .*data.attributes.\*.width",
        ),
        ("pretrain.learning_rate: {kind: fixed}", "unknown key 'pretrain.learning_rate'"),
        ("refine.num_samples: {kind: fixed}", "unknown key 'refine.num_samples'"),
        (
            "data.attributes.hue.width: {kind: fixed}",
            r"names the attribute 'hue' .*; allowed: identity, background, pose",
        ),
        ("refine.lambda_ss: {kind: uniform, low: 2, high: 1}", r"uniform range takes low < high .* got 2.0 and 1.0"),
        ("refine.lambda_ss: {kind: loguniform, low: 0, high: 1}", r"loguniform range takes low > 0"),
        ("refine.lambda_ss: {kind: choice}", "a choice takes a list of values"),
        ("refine.lambda_ss: {kind: fixed, low: 1}", "a fixed dimension takes neither"),
        ("refine.norm: {kind: choice, values: [a]}", "unknown key 'refine.norm'"),
        ("model.gae.norm: {kind: choice, values: [group], relative: true}", "values of a relative choice are numbers"),
        ("refine.lambda_ss: {kind: choice, valeus: [1]}", r"unknown key .*valeus' \(did you mean 'values'\?\)"),
    ],
)
def test_wrong_spaces_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        smoke_config(space(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("refine.lambda_ss: {kind: uniform, low: 2, high: 3}", r"'refine.lambda_ss'\] does not hold the config's 1.0"),
        ("model.gae.norm: {kind: choice, values: [layer]}", r"does not hold the config's group; widen it"),
        (
            "refine.learning_rate: {kind: uniform, low: 0, high: 1}",
            "refine.learning_rate: Input should be greater than 0",
        ),
        (
            "model.gae.norm: {kind: choice, values: [group, batch]}",
            "model.gae.norm: Input should be 'group' or 'layer'",
        ),
        ("refine.shared: {kind: choice, values: [1, 3]}", "shared must be less than the 3 attributes"),
        ("model.z_dis_width: {kind: uniform, low: 5, high: 30}", "z_dis_width=5 is too narrow for 3 parts"),
    ],
)
def test_a_space_that_makes_no_config_is_refused_before_anything_runs(text: str, message: str) -> None:
    config = smoke_config(space(text))
    with pytest.raises(SpaceError, match=message):
        check_space(config, dimensions_of(config))


def test_a_config_with_a_space_can_be_written_and_read_again() -> None:
    config = smoke_config(space("refine.lambda_ss: {kind: fixed}"))
    assert type(config).model_validate(config.model_dump(mode="json")) == config


def test_a_space_without_a_free_dimension_is_named() -> None:
    config = smoke_config(space(", ".join(f"'{key}': {{kind: fixed}}" for key in smoke_config().tune.space)))
    with pytest.raises(SpaceError, match="every dimension of tune.space is fixed"):
        dimensions_of(config)
