"""The search space: from the config to what Optuna draws from, and from a drawn point back to a config.

A point is what Optuna drew: a number for a range, the JSON text of the value for a choice (Optuna stores no lists).
Widths of attributes are drawn one by one and then scaled so that they add up to `model.z_dis_width`, which makes them
a partition of z_dis.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from pydantic import JsonValue

from diffusegae.config.load import ConfigError, validate_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.tuning import EVERY_WIDTH, Dimension, attribute_of
from diffusegae.schema import AttributeSchema

Point = Mapping[str, float | str]
LEAST_WIDTH = 2  # of an attribute's part: one dimension, layer-normalised, is always zero


class SpaceError(ValueError):
    """A search space that holds impossible settings, or not those of the config itself."""


def dimensions_of(config: PipelineConfig) -> dict[str, Dimension]:
    """Return what is searched: the dimensions that are not fixed, `*` replaced by the attributes it stands for."""
    space = dict(config.tune.space)
    for_every = space.pop(EVERY_WIDTH)
    widths = {f"data.attributes.{name}.width": for_every for name in config.data.attributes}
    searched = {key: found for key, found in {**widths, **space}.items() if found.kind != "fixed"}
    if not searched:
        raise SpaceError("every dimension of tune.space is fixed, so there is nothing to search; free one")
    return dict(sorted(searched.items(), key=lambda entry: attribute_of(entry[0]) is not None))


def distributions_of(dimensions: Mapping[str, Dimension]) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution of each dimension."""
    return {key: _distribution(dimension) for key, dimension in dimensions.items()}


def own_point(config: PipelineConfig, dimensions: Mapping[str, Dimension]) -> dict[str, float | str]:
    """Return the point that is the config itself.

    Raises:
        SpaceError: a dimension does not hold the config's value; the sweep could not say whether it found a better one.
    """
    point: dict[str, float | str] = {}
    for key, dimension in dimensions.items():
        own: Any = 1.0 if dimension.relative else value_at(config, key)
        if not _holds(dimension, own):
            meaning = "1, the multiple that is the config's own value" if dimension.relative else f"the config's {own}"
            raise SpaceError(f"tune.space[{key!r}] does not hold {meaning}; widen it, or change the config")
        point[key] = json.dumps(_choice_of(dimension, own)) if dimension.kind == "choice" else float(own)
    return point


def config_at(config: PipelineConfig, dimensions: Mapping[str, Dimension], point: Point) -> PipelineConfig:
    """Return the config with a point's settings.

    Raises:
        SpaceError: they make no valid config; names the problem.
    """
    content = config.model_dump(mode="json")
    for key, drawn in point.items():
        dimension = dimensions[key]
        value: Any = json.loads(str(drawn)) if dimension.kind == "choice" else drawn
        _put(content, key, _like(_get(content, key), value, dimension.relative))
    attributes = content["data"]["attributes"]
    if any(attribute_of(key) for key in point) or "model.z_dis_width" in point:
        widths = partition(
            {name: float(spec["width"]) for name, spec in attributes.items()}, content["model"]["z_dis_width"]
        )
        for name, width in widths.items():
            attributes[name]["width"] = width
    try:
        return validate_config(content, "tune.space")
    except ConfigError as error:
        raise SpaceError(f"{error}\n  (at {dict(point)})") from error


def check_space(config: PipelineConfig, dimensions: Mapping[str, Dimension]) -> None:
    """Raise SpaceError if an end of a range or a value of a choice makes no valid config by itself."""
    own = own_point(config, dimensions)
    for key, dimension in dimensions.items():
        ends = [dimension.low, dimension.high] if dimension.kind != "choice" else []
        for drawn in (*ends, *(json.dumps(value) for value in dimension.values)):
            config_at(config, dimensions, {**own, key: drawn})  # type: ignore[dict-item]


def partition(widths: Mapping[str, float], total: int) -> dict[str, int]:
    """Scale widths to whole numbers that add up to a total, each at least 2, by the largest remainders.

    Raises:
        SpaceError: the total is too small for so many parts.
    """
    spare = total - LEAST_WIDTH * len(widths)
    if spare < 0:
        raise SpaceError(f"model.z_dis_width={total} is too narrow for {len(widths)} parts of {LEAST_WIDTH} or more")
    wanted = np.array(list(widths.values())) * total / sum(widths.values())
    shares = np.maximum(wanted - LEAST_WIDTH, 0)
    shares *= spare / max(shares.sum(), 1e-9)
    whole = np.floor(shares + 1e-9).astype(int)
    for place in np.argsort(whole - shares, kind="stable")[: spare - whole.sum()]:
        whole[place] += 1
    return {name: LEAST_WIDTH + int(width) for name, width in zip(widths, whole, strict=True)}


def schema_at(schema: AttributeSchema, config: PipelineConfig) -> AttributeSchema:
    """Return the schema with a config's partition of z_dis."""
    widths = {name: spec.width for name, spec in config.data.attributes.items()}
    return AttributeSchema(
        attributes=tuple(
            attribute.model_copy(update={"width": widths[attribute.name]}) for attribute in schema.attributes
        )
    )


def value_at(config: PipelineConfig, key: str) -> JsonValue:
    """Return the value of a dotted key."""
    value: JsonValue = _get(config.model_dump(mode="json"), key)
    return value


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.kind == "choice":
        return CategoricalDistribution([json.dumps(value) for value in dimension.values])
    low, high = _range(dimension)
    return FloatDistribution(low, high, log=dimension.kind == "loguniform")


def _holds(dimension: Dimension, value: Any) -> bool:
    if dimension.kind == "choice":
        return value in dimension.values
    low, high = _range(dimension)
    return isinstance(value, int | float) and low <= value <= high


def _range(dimension: Dimension) -> tuple[float, float]:
    assert dimension.low is not None
    assert dimension.high is not None
    return dimension.low, dimension.high


def _choice_of(dimension: Dimension, value: Any) -> JsonValue:
    """Return the choice that equals a value, as it is written there: 1 and 1.0 are equal, their texts are not."""
    return dimension.values[dimension.values.index(value)]


def _like(own: Any, value: Any, relative: bool) -> Any:
    """Return a drawn value as the setting has it: multiplied if relative, whole where the config's value is whole."""
    if isinstance(own, list) and relative:
        return [_like(entry, value, relative) for entry in own]
    if isinstance(own, bool) or not isinstance(value, int | float) or isinstance(value, bool):
        return value
    result = own * value if relative else value
    if not isinstance(own, int):
        return result
    return max(round(result), min(own, 1)) if relative else round(result)


def _get(content: Mapping[str, Any], key: str) -> Any:
    value: Any = content
    for part in key.split("."):
        value = value[part]
    return value


def _put(content: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node = content
    for part in parents:
        node = node[part]
    node[last] = value
