"""Load a config from YAML with dotted overrides, and say clearly what is wrong with it."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from diffusegae.config.base import ConfigError as ConfigError
from diffusegae.config.layers import Layers, Place, read_layers
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.yaml_text import flow_yaml, parse_yaml

_COMMENT_COLUMN = 60


def load_config(source: str, overrides: Sequence[str] = (), presets: Path | None = None) -> PipelineConfig:
    """Load a preset by name (from the `presets` folder) or a YAML file by path, then apply `a.b=c` overrides.

    Raises:
        ConfigError: names the key, the allowed ones and the file.
    """
    return validate_config(_layers(source, overrides, presets).content, source)


def describe_config(source: str, overrides: Sequence[str] = (), presets: Path | None = None) -> str:
    """Return the whole config that `load_config` returns as YAML, with a comment for each value: where it comes from.

    That is the default, a preset, a file, or --set.
    """
    layers = _layers(source, overrides, presets)
    content = validate_config(layers.content, source).model_dump(mode="json")
    return "\n".join(_lines(content, layers, ()))


def _layers(source: str, overrides: Sequence[str], presets: Path | None) -> Layers:
    layers = read_layers(source, presets)
    for override in overrides:
        _apply(layers, override)
    return layers


def _lines(content: Mapping[str, Any], layers: Layers, place: Place) -> Iterator[str]:
    for key, value in content.items():
        here = (*place, key)
        start = f"{'  ' * len(place)}{flow_yaml(key)}:"
        if isinstance(value, dict) and value:
            yield start
            yield from _lines(value, layers, here)
        else:
            yield f"{start} {flow_yaml(value):<{_COMMENT_COLUMN - len(start)}}  # {layers.origin(here)}"


def validate_config(content: Mapping[str, Any], where: str) -> PipelineConfig:
    """Turn plain data into a config; ConfigError names every wrong key with the allowed ones, and `where` it stands."""
    try:
        return PipelineConfig.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(problem)}" for problem in error.errors())
        raise ConfigError(f"{where}: {error.error_count()} problem(s)\n{problems}") from error


def _apply(layers: Layers, override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {override!r}: expected KEY=VALUE, for example pretrain.learning_rate=1e-4")
    place = tuple(key.split("."))
    value = _parse(place, text, f"--set {override!r}")
    try:
        layers.set(place, value, "--set")
    except ConfigError as error:
        raise ConfigError(f"--set {override!r}: {error}") from error


def _parse(place: Place, text: str, where: str) -> Any:
    """Return the value that a text means at a place in the config: itself where text is wanted, unless it is quoted."""
    if _is_text(place) and text[:1] not in ("'", '"'):
        return text
    value = parse_yaml(text, where)
    if isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
        try:
            return value if _is_text(place) else float(value)
        except ValueError:
            return value
    return value


def _is_text(place: Place) -> bool:
    """Tell whether what stands at a place can be nothing but text."""
    types: list[Any] = [PipelineConfig]
    for key in place:
        types = [kind for outer in types for kind in _members(_type_of(outer, key))]
    return bool(types) and all(kind is str for kind in types)


def _type_of(outer: Any, key: str) -> Any:
    if isinstance(outer, type) and issubclass(outer, BaseModel):
        named = outer.model_fields.get(key)
        return named.annotation if named else None
    return (*get_args(outer), None, None)[1]  # a mapping: any key leads to its value type


def _members(annotation: Any) -> list[Any]:
    """Return the types that an annotation allows."""
    if isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        return [kind for member in get_args(annotation) for kind in _members(member)]
    return [] if annotation in (None, NoneType) else [annotation]


def _explain(problem: Mapping[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(part for part, _ in _walk(location)) or "(top)"
    context = problem.get("ctx", {})
    match problem["type"]:
        case "extra_forbidden":
            allowed = sorted(_fields_at(location[:-1]))
            near = difflib.get_close_matches(location[-1], allowed, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            return f"unknown key {key!r}{hint}; allowed here: {', '.join(allowed)}"
        case "missing":
            return f"{key} is missing; set it in the config or by --set {key}=..."
        case "union_tag_not_found":
            return f"{key}.kind is missing; set it beside the other keys (got {problem['input']!r})"
        case "union_tag_invalid":
            return f"{key}.kind is {context['tag']!r}; expected one of: {context['expected_tags']}"
        case "string_type" if isinstance(problem["input"], bool | int | float):
            return f"{key}: YAML does not read this as text but as {problem['input']!r}; put it in quotes"
        case "value_error":  # a check of ours, which names what it found
            return f"{key}: {str(problem['msg']).removeprefix('Value error, ')}"
    return f"{key}: {problem['msg']} (got {problem['input']!r})"


def _fields_at(location: Sequence[str]) -> list[str]:
    """Return the keys allowed at a place in the config."""
    model = _walk(location)[-1][1] if location else PipelineConfig
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _walk(location: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the keys of pydantic's location and the type at each.

    Steps into nested models, mappings and members of a union, of which pydantic names the kind in the location.
    """
    steps: list[tuple[str, Any]] = []
    model: Any = PipelineConfig
    for part in location:
        if part in (members := _by_kind(get_args(model))):
            model = members[part]
            steps[-1] = (steps[-1][0], model)
            continue
        model = _type_of(model, part)
        if isinstance(model, UnionType) and not _by_kind(get_args(model)):
            model = get_args(model)[0]  # a part that may be left out
        steps.append((part, model))
    return steps


def _by_kind(members: Sequence[Any]) -> dict[str, Any]:
    models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
    return {str(model.model_fields["kind"].default): model for model in models if "kind" in model.model_fields}
