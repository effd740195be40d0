"""What training never sees: some images, some pairs of values, some values or instances."""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from diffusegae.config.base import Config

Percent = Annotated[float, Field(gt=0, lt=100)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class PairsConfig(Config):
    """Pairs of values that no training image shows together, each of which is seen with other values."""

    attributes: tuple[str, ...] = Field(description="Attributes of whose values, two by two, pairs are held out.")
    percent: Percent = Field(description="Share of the pairs of every two of them, by a hash of the values.")


class HoldoutConfig(Config):
    """What training never sees: some images, some pairs of values, some values or instances; together or alone."""

    images: int = Field(
        20, ge=0, lt=100, description="Percent of images, by a hash of their key; 0 if pairs or values are held out."
    )
    pairs: PairsConfig | None = Field(None, description="Pairs of label values held out, {attributes, percent}.")
    values: dict[str, Percent | Names] = Field(
        {},
        description="Attribute to what is held out of it: a percent of its instances (values of its GROUP column), or a"
        " list of names, each of an instance or of a whole label value.",
    )

    @field_validator("values", mode="before")
    @classmethod
    def _check_values(cls, values: Any) -> Any:
        for name, held in values.items() if isinstance(values, dict) else ():
            if not held or not isinstance(held, int | float | list | tuple):
                raise ValueError(f"{name} is {held!r}; expected a percent above 0, or a list of names, as [{held}]")
        return values

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that pairs and values name, each once."""
        return tuple(dict.fromkeys([*(self.pairs.attributes if self.pairs else ()), *self.values]))

    @model_validator(mode="after")
    def _check_kinds(self) -> "HoldoutConfig":
        if not self.images and not self.pairs and not self.values:
            raise ValueError(
                "nothing is held out, so nothing can be judged; set data.holdout.images above 0, or"
                " data.holdout.pairs or data.holdout.values"
            )
        if self.pairs and len(set(self.pairs.attributes)) < max(2, len(self.pairs.attributes)):
            raise ValueError(
                f"data.holdout.pairs.attributes is {list(self.pairs.attributes)}; expected at least 2 different ones"
            )
        return self
