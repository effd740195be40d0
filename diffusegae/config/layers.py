"""Layers of a config: a preset, a YAML that `extends` it, overrides; and where each value of the result comes from."""

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusegae.config.base import ConfigError
from diffusegae.config.yaml_text import read_yaml

EXTENDS, NAME = "extends", "name"
_DATA, _ATTRIBUTES, _SOURCE, _HOLDOUT = ("data",), ("data", "attributes"), ("data", "source"), ("data", "holdout")
_FIRST_KIND = "vehicles"  # of a source whose kind is not said
_SUFFIXES = (".yaml", ".yml")

Place = tuple[str, ...]


@dataclass
class Layers:
    """Nested keys and their values, and for the place of each value the layer that it comes from."""

    content: dict[str, Any] = field(default_factory=dict)
    origins: dict[Place, str] = field(default_factory=dict)

    def put(self, content: Mapping[str, Any], origin: str) -> None:
        """Lay content over what is there: mappings key by key, anything else as a whole.

        Two mappings are replaced as a whole: `data.attributes`, and with it what `data.holdout` says of attributes that
        are no more, and `data.source` by one of another kind.
        """
        self._merge(self.content, content, origin, ())

    def set(self, place: Place, value: Any, origin: str) -> None:
        """Set the value at a place, whatever was there; ConfigError if a value stands where keys would have to."""
        node = self.content
        for key in place[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{key!r} holds a value, not keys")
        self._replace(node, place, value, origin)

    def drop(self, place: Place) -> None:
        """Take away the value at a place; nothing there is no error."""
        node: Any = self.content
        for key in place[:-1]:
            node = node.get(key)
            if not isinstance(node, dict):
                return
        node.pop(place[-1], None)
        self._forget(place)

    def origin(self, place: Place) -> str:
        """Return the layer that the value at a place comes from, "default" if none says it."""
        outer = (place[:length] for length in range(len(place), 0, -1))
        return next((self.origins[part] for part in outer if part in self.origins), "default")

    def _merge(self, into: dict[str, Any], content: Mapping[str, Any], origin: str, place: Place) -> None:
        if place == _DATA and isinstance(content.get("attributes"), dict):
            self._drop_held_out(content["attributes"])
        for key, value in content.items():
            here, old = (*place, key), into.get(key)
            if isinstance(value, dict) and isinstance(old, dict) and not _is_other(here, old, value):
                self._merge(old, value, origin, here)
            else:
                self._replace(into, here, value, origin)

    def _drop_held_out(self, kept: Collection[str]) -> None:
        """Drop what is held out of attributes that are no more."""
        holdout = self.content.get("data", {}).get("holdout") or {}
        pairs, values = holdout.get("pairs") or {}, holdout.get("values") or {}
        if not set(pairs.get("attributes", ())) <= set(kept):
            self.drop((*_HOLDOUT, "pairs"))
        for name in set(values) - set(kept):
            self.drop((*_HOLDOUT, "values", name))

    def _replace(self, node: dict[str, Any], place: Place, value: Any, origin: str) -> None:
        node[place[-1]] = deepcopy(value)
        self._forget(place)
        self.origins |= dict.fromkeys(_leaves(value, place), origin)

    def _forget(self, place: Place) -> None:
        self.origins = {there: origin for there, origin in self.origins.items() if there[: len(place)] != place}


def read_layers(source: str, presets: Path | None) -> Layers:
    """Read a preset or YAML file and all that it extends.

    Raises:
        ConfigError: one of them is not there, is no YAML, or extends itself by way of others.
    """
    return _read(find_config(source, presets), presets, ())


def find_config(source: str, presets: Path | None, beside: Path = Path()) -> Path:
    """Return the YAML file that a preset name, or a path from the folder `beside`, means; ConfigError lists presets."""
    candidates = [beside / source] + ([presets / f"{source}.yaml"] if presets else [])
    for path in candidates:
        if path.suffix in _SUFFIXES and path.is_file():
            return path
    known = sorted(path.stem for path in presets.glob("*.yaml")) if presets else []
    raise ConfigError(
        f"unknown preset or file {source!r}; presets: {', '.join(known)}; or give the path of a YAML file"
    )


def _read(path: Path, presets: Path | None, above: tuple[Path, ...]) -> Layers:
    chain = (*above, path.resolve())
    if chain[-1] in above:
        raise ConfigError(f"{path}: extends itself: {' extends '.join(each.name for each in chain)}")
    content, layers = read_yaml(path), Layers()
    if EXTENDS in content:
        parent = content.pop(EXTENDS)
        if not isinstance(parent, str):
            raise ConfigError(
                f"{path}: extends is {parent!r}; expected the name of a preset or the path of a YAML file"
            )
        try:
            found = find_config(parent, presets, path.parent)
        except ConfigError as error:
            raise ConfigError(f"{path}: extends: {error}") from error
        layers = _read(found, presets, chain)
        layers.drop((NAME,))  # a run of its own
    layers.put(content, f"preset {path.stem}" if presets and path.parent == presets else str(path))
    return layers


def _is_other(place: Place, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Tell whether a mapping is another thing than the one it is laid over, and not some keys of it."""
    if place == _SOURCE:
        kind = old.get("kind", _FIRST_KIND)
        return bool(new.get("kind", kind) != kind)
    return place == _ATTRIBUTES


def _leaves(value: Any, place: Place) -> list[Place]:
    """Return the places of all values below a place, its own if nothing is below."""
    if not isinstance(value, dict) or not value:
        return [place]
    return [leaf for key, each in value.items() for leaf in _leaves(each, (*place, key))]
