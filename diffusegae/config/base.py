"""The base of every config: frozen, and strict about unknown keys."""

from pydantic import BaseModel, ConfigDict


class ConfigError(ValueError):
    """A config that names an unknown key, a wrong value or an unknown preset, or is no YAML."""


class Config(BaseModel):
    """A frozen pydantic model that rejects keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
