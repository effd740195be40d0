"""Where images come from, which columns are attributes, and how they are written to shards."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

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


class DataConfig(Config):
    """One data set: its source, its attributes, its shards."""

    source: Literal["vehicles", "ilab", "folder"] = Field("vehicles", description="Where the images come from.")
    attributes: dict[str, AttributeSpec] = Field(
        {
            "identity": AttributeSpec(column="category", group_column="instance", width=60),
            "background": AttributeSpec(width=20),
            "pose": AttributeSpec(width=20),
        },
        description="Attribute name to its columns and its width in z_dis, in the order of z_dis.",
    )
    holdout_percent: int = Field(20, gt=0, lt=100, description="Share of images held out, by a hash of their key.")
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
