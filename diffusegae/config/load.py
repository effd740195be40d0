"""Load a config from YAML with dotted overrides, and say clearly what is wrong with it."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from diffusegae.config.pipeline import PipelineConfig


class ConfigError(ValueError):
    """A config that names an unknown key, a wrong value or an unknown preset."""


def load_config(source: str, overrides: Sequence[str] = (), presets: Path | None = None) -> PipelineConfig:
    """Load a preset by name (from the `presets` folder) or a YAML file by path, then apply `a.b=c` overrides.

    Raises:
        ConfigError: names the key, the allowed ones and the file.
    """
    path = find_config(source, presets)
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys at the top, got {type(content).__name__}")
    for override in overrides:
        _apply(content, override)
    return validate_config(content, str(path))


def find_config(source: str, presets: Path | None) -> Path:
    """Return the YAML file that a preset name or path means; ConfigError lists the presets."""
    candidates = [Path(source)] + ([presets / f"{source}.yaml"] if presets else [])
    for path in candidates:
        if path.suffix in {".yaml", ".yml"} and path.is_file():
            return path
    known = sorted(path.stem for path in presets.glob("*.yaml")) if presets else []
    raise ConfigError(
        f"unknown preset or file {source!r}; presets: {', '.join(known)}; or give the path of a YAML file"
    )


def validate_config(content: Mapping[str, Any], where: str) -> PipelineConfig:
    """Turn plain data into a config; ConfigError names every wrong key with the allowed ones, and `where` it stands."""
    try:
        return PipelineConfig.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(problem)}" for problem in error.errors())
        raise ConfigError(f"{where}: {error.error_count()} problem(s)\n{problems}") from error


def _apply(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {override!r}: expected KEY=VALUE, for example pretrain.learning_rate=1e-4")
    *parents, last = key.split(".")
    node = content
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {override!r}: {parent!r} holds a value, not keys")
        node = child
    node[last] = _parse(text)


def _parse(text: str) -> Any:
    value = yaml.safe_load(text)
    if isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
        try:
            return float(value)
        except ValueError:
            return value
    return value


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
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            model = field.annotation if field else None
        else:  # a mapping: any key leads to its value type
            model = (*get_args(model), None, None)[1]
        if isinstance(model, UnionType) and not _by_kind(get_args(model)):
            model = get_args(model)[0]  # a part that may be left out
        steps.append((part, model))
    return steps


def _by_kind(members: Sequence[Any]) -> dict[str, Any]:
    models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
    return {str(model.model_fields["kind"].default): model for model in models if "kind" in model.model_fields}
