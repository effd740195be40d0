"""Where images come from, which columns are attributes, which images are held out, and how they are written."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from diffusegae.config.base import Config
from diffusegae.config.holdout import HoldoutConfig
from diffusegae.data.sources import AnySource
from diffusegae.data.sources.listed import ListedConfig
from diffusegae.data.sources.vehicles import VehiclesConfig
from diffusegae.images import Encoding, Framing, Resize, parse_colour
from diffusegae.schema import AttributeSpec

_logger = logging.getLogger(__name__)
NAMED_VALUES = 500
_OLD_KINDS = ("vehicles", "ilab", "folder")


class DataConfig(Config):
    """One data set: its source, its attributes, what is held out of it, its shards."""

    source: AnySource = Field(VehiclesConfig(), description="Where the images come from.")
    attributes: dict[str, AttributeSpec] = Field(
        {
            "identity": AttributeSpec(column="category", group_column="instance", width=60),
            "background": AttributeSpec(width=20),
            "pose": AttributeSpec(width=20),
        },
        description="Attribute name to its columns and its width in z_dis, in the order of z_dis.",
    )
    holdout: HoldoutConfig = HoldoutConfig()
    resize: Resize = Field(
        "crop",
        description="How a picture becomes a square, in the data set and when it is sent to the model: crop takes the"
        " square in its centre, pad keeps all of it and fills up with `background`, stretch ignores its shape.",
    )
    background: str = Field(
        "white",
        description='Colour under transparent pixels and around padded pictures: a name as in CSS, or "#rrggbb".',
    )
    encoding: Encoding = Field("png", description="Encoding of the stored images.")
    quality: int = Field(92, ge=1, le=100, description="Quality of jpeg and webp.")
    named_values: int = Field(
        NAMED_VALUES,
        gt=1,
        description="Values of an attribute that go by name: so many of the most frequent. Images that show others"
        " train all the same; they judge nothing, and no classifier, probe or list has an entry for them.",
    )
    max_skipped: float = Field(
        5.0,
        ge=0,
        le=100,
        description="Percent of the source that may be unusable; above it ingest stops, and keeps what it has read.",
    )
    shard_rows: int = Field(4096, gt=0, description="Rows per shard.")
    window_rows: int = Field(65536, gt=0, description="Rows that shuffling and GROUP planning see at a time.")
    lanes: Annotated[int, Field(gt=0)] | None = Field(
        None,
        description="Fixed parts of the set, each with its own windows and its share of every batch; a worker reads the"
        " lanes of its share alone. None: as many as workers at most, fixed when a stage begins.",
    )

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, content: Any) -> Any:
        return renamed(content) if isinstance(content, dict) else content

    @field_validator("background")
    @classmethod
    def _check_background(cls, background: str) -> str:
        try:
            parse_colour(background)
        except ValueError as error:
            raise ValueError(f'{error}; expected an opaque colour, by a name as in CSS or as "#rrggbb"') from error
        return background

    @property
    def framing(self) -> Framing:
        """How a picture becomes an opaque square."""
        return Framing(self.resize, self.background)

    @property
    def bins(self) -> dict[str, int]:
        """The columns of numbers that are cut into classes, as rows call them, and into how many."""
        return {spec.columns(name)[0]: spec.bins for name, spec in self.attributes.items() if spec.bins}

    @model_validator(mode="after")
    def _check_bins(self) -> "DataConfig":
        for name, spec in self.attributes.items():
            if spec.bins and not isinstance(self.source, ListedConfig):
                raise ValueError(f"data.attributes.{name}.bins cuts numbers, and source {self.source.kind!r} has none")
            if spec.bins and spec.group_column:
                raise ValueError(f"data.attributes.{name} has bins and a group_column; leave one of them out")
            if spec.bins != self.bins.get(spec.columns(name)[0], spec.bins):
                raise ValueError(f"two attributes read the column of {name!r} with other bins; copy the column")
        return self

    @model_validator(mode="after")
    def _check_holdout(self) -> "DataConfig":
        for name in self.holdout.attributes:
            if name not in self.attributes:
                raise ValueError(
                    f"data.holdout names the attribute {name!r}, which data.attributes does not have; expected one of:"
                    f" {', '.join(self.attributes)}"
                )
        paired = self.holdout.pairs.attributes if self.holdout.pairs else ()
        columns = [self.attributes[name].columns(name)[0] for name in paired]
        if len(set(columns)) < len(columns):
            raise ValueError(
                f"data.holdout.pairs.attributes {list(paired)} read the columns {columns}, one of them twice; name"
                " attributes with columns of their own"
            )
        return self


def renamed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Read the keys of version 0.1.0: `holdout_percent`, and `source: KIND` beside `KIND: {...}`."""
    new = dict(content)
    if "holdout_percent" in new and "holdout" not in new:
        _logger.warning("data.holdout_percent is now data.holdout.images; change it in the config")
        new["holdout"] = {"images": new.pop("holdout_percent")}
    source = new.get("source", {"kind": "vehicles"})
    given = {"kind": source} if isinstance(source, str) else source
    old = {kind: new.pop(kind) for kind in _OLD_KINDS if kind in new}
    if isinstance(given, dict) and (old or given is not source):
        kind = str(given.get("kind"))
        _logger.warning(
            "data.source is now a mapping, {kind: %s, ...}, that holds the keys of data.%s; change it in the config",
            kind,
            kind,
        )
        new["source"] = given | old.get(kind, {})
    return new
