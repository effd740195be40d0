"""Load a config from YAML with dotted overrides, and say clearly what is wrong with it."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any

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
    key = ".".join(location) or "(top)"
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(location[:-1]))
        near = difflib.get_close_matches(location[-1], allowed, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"unknown key {key!r}{hint}; allowed here: {', '.join(allowed)}"
    if problem["type"] == "value_error":  # a check of ours, which names what it found
        return f"{key}: {str(problem['msg']).removeprefix('Value error, ')}"
    return f"{key}: {problem['msg']} (got {problem['input']!r})"


def _fields_at(location: Sequence[str]) -> list[str]:
    """Return the keys allowed at a place in the config, walking nested models and the mapping of attributes."""
    model: Any = PipelineConfig
    for part in location:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[part].annotation
        else:  # dict[str, AttributeSpec]: any key leads to its value type
            model = model.__args__[1]
        if isinstance(model, UnionType):  # a part that may be left out
            model = model.__args__[0]
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
