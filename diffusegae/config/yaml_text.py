"""YAML read strictly: keys are text and stand there once, and whatever is wrong is one line that names its place."""

import codecs
import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from diffusegae.config.base import ConfigError

_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _KeyProblem(yaml.MarkedYAMLError):
    """A key that is no text, or stands there twice."""


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            name = str(key.value)
            if key.tag != _TEXT:
                raise _KeyProblem(
                    problem=f"YAML does not read the key {name} as text; quote it: '{name}'",
                    problem_mark=key.start_mark,
                )
            if name in lines:
                raise _KeyProblem(
                    problem=f"the key {name!r} stands there twice, first in line {lines[name]}; keep one",
                    problem_mark=key.start_mark,
                )
            lines[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; ConfigError names the place of what is wrong."""
    content = parse_yaml(_decode(path), str(path)) or {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys at the top, got {type(content).__name__}")
    return content


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML text that stands at `where`; ConfigError names the place of what is wrong."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        kind = "" if isinstance(error, _KeyProblem) else "not valid YAML: "
        raise ConfigError(f"{where}{place}: {kind}{error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # characters that no YAML has, dates that no calendar has
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}; save it as UTF-8 text") from error


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; check the path and its permissions") from error
    encoding = "utf-16" if data.startswith(_UTF_16) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}, line {line}: not UTF-8 (byte {data[error.start]:#x}); save the file as UTF-8"
        ) from error


def flow_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.removesuffix("...\n").strip()
