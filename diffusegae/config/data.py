"""Where images come from, which columns are attributes, which images are held out, and how they are written."""

import logging
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from diffusegae.config.base import Config
from diffusegae.schema import AttributeSpec


class VehiclesConfig(Config):
    """The embedded toy vehicles: any combination can be rendered, so the truth of every edit is known."""

    num_kinds: int = Field(10, description="Kinds of vehicle.")
    num_instances: int = Field(2, description="Instances per kind.")
    num_backgrounds: int = Field(111, description="Background textures.")
    num_poses: int = Field(6, description="Turntable angles.")
    seed: int = Field(0, description="Seed of instances and textures.")
    jitter: float = Field(1.0, ge=0, description="Scale of the small camera and light jitter per instance and pose.")


class IlabConfig(Config):
    """iLab-20M by its file names: a folder tree, a .zip or a .tar, local or s3://."""

    uri: str = Field("", description="Folder, .zip or .tar that holds category-iNNNN-bNNNN-cNN-rNN-lN-fN files.")


class FolderConfig(Config):
    """A folder of images with a table of their labels."""

    images: str = Field("", description="Folder (or bucket) that the table's paths are relative to.")
    table: str = Field("", description="CSV or Parquet table: one row per image.")
    path_column: str = Field("path", description="Column of the table that holds the image's relative path.")


_logger = logging.getLogger(__name__)
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


class DataConfig(Config):
    """One data set: its source, its attributes, what is held out of it, its shards."""

    source: Literal["vehicles", "ilab", "folder"] = Field("vehicles", description="Where the images come from.")
    attributes: dict[str, AttributeSpec] = Field(
        {
            "identity": AttributeSpec(column="category", group_column="instance", width=60),
            "background": AttributeSpec(width=20),
            "pose": AttributeSpec(width=20),
        },
        description="Attribute name to its columns and its width in z_dis, in the order of z_dis.",
    )
    holdout: HoldoutConfig = HoldoutConfig()
    encoding: Literal["png", "jpeg", "webp"] = Field("png", description="Encoding of the stored images.")
    quality: int = Field(92, ge=1, le=100, description="Quality of jpeg and webp.")
    shard_rows: int = Field(4096, gt=0, description="Rows per shard.")
    window_rows: int = Field(65536, gt=0, description="Rows that shuffling and GROUP planning see at a time.")
    lanes: Annotated[int, Field(gt=0)] | None = Field(
        None,
        description="Fixed parts of the set, each with its own windows and its share of every batch; a worker reads the"
        " lanes of its share alone. None: as many as workers at most, fixed when a stage begins.",
    )
    vehicles: VehiclesConfig = VehiclesConfig()
    ilab: IlabConfig = IlabConfig()
    folder: FolderConfig = FolderConfig()

    @model_validator(mode="before")
    @classmethod
    def _rename_holdout(cls, content: Any) -> Any:
        """Read `holdout_percent`, as configs and checkpoints of version 0.1.0 have it."""
        if isinstance(content, dict) and "holdout_percent" in content and "holdout" not in content:
            _logger.warning("data.holdout_percent is now data.holdout.images; change it in the config")
            kept = {key: value for key, value in content.items() if key != "holdout_percent"}
            return {**kept, "holdout": {"images": content["holdout_percent"]}}
        return content

    @model_validator(mode="after")
    def _check_source(self) -> "DataConfig":
        required = {"ilab": {"ilab.uri": self.ilab.uri}, "folder": {"folder.images": self.folder.images,
                    "folder.table": self.folder.table}}  # fmt: skip
        for key, value in required.get(self.source, {}).items():
            if not value:
                raise ValueError(
                    f"data.source is {self.source!r}, which needs data.{key}; set it in the config or by --set"
                )
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
        columns = [self.attributes[name].column or name for name in paired]
        if len(set(columns)) < len(columns):
            raise ValueError(
                f"data.holdout.pairs.attributes {list(paired)} read the columns {columns}, one of them twice; name"
                " attributes with columns of their own"
            )
        return self
