"""Shards: the Parquet files of a data set, and the manifest that describes them.

A data set is a folder: `manifest.json`, `images-NNNNN.parquet`, `skipped.jsonl`, `thumbnails.png`, and what ingest
found, `findings.json`, with the page that shows it, `data.html`. The manifest is written last, so where there is one
the set is whole.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_serializer,
)

from diffusegae import storage
from diffusegae.config.data import DataConfig
from diffusegae.data.association import Association
from diffusegae.data.records import HELD_OUT, IMAGE, KEY, MISSING
from diffusegae.data.splits import Holdout
from diffusegae.images import Encoding, Framing, Resize
from diffusegae.schema import AttributeSchema, build_schema

FORMAT_VERSION = 2
ROW_GROUP_ROWS = 1024
_READ_THREADS = 4


class ManifestError(ValueError):
    """A data set that is missing, of another version, or not what its manifest says."""


class Recipe(BaseModel):
    """All that decides which rows a data set holds; two equal recipes need one data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="Kind of source.")
    source_config: dict[str, JsonValue] = Field(description="The source's own settings.")
    columns: tuple[str, ...] = Field(description="Label columns.")
    bins: dict[str, int] = Field({}, description="Label column of numbers to the classes into which it is cut.")
    image_size: int = Field(description="Side of the stored images in pixels.")
    resize: Resize = Field("crop", description="How a picture became a square.")
    background: str = Field("white", description="Colour under transparent pixels and around padded pictures.")
    encoding: Encoding = Field(description="Encoding of the stored images.")
    quality: int = Field(description="Quality of jpeg and webp; 0 for png.")
    holdout: dict[str, JsonValue] = Field(description="What the config holds out.")
    shard_rows: int = Field(description="Rows that a shard was planned to hold.")

    @property
    def framing(self) -> Framing:
        """How a picture became an opaque square."""
        return Framing(self.resize, self.background)

    def difference(self, other: "Recipe") -> str:
        """Say what `other` has that this recipe has not, "" if they are equal."""
        mine, theirs = self.model_dump(), other.model_dump()
        return "; ".join(
            f"{name} {theirs[name]!r} instead of {mine[name]!r}" for name in mine if mine[name] != theirs[name]
        )


class Shard(BaseModel):
    """One Parquet file, its path relative to the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    num_rows: int
    num_train: int
    num_bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a data set holds: vocabularies, counts, shards with their checksums, and how it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    recipe: Recipe
    source_fingerprint: str = Field(description="Hash of the keys (or the settings) of the source.")
    source_state: str = Field("", description="Hash of what the source held; empty where that is not known.")
    content: str = Field(
        "", description="Hash of all rows, on which every later step depends; empty in sets of before there was one."
    )
    columns: dict[str, tuple[str, ...]] = Field(description="Label column to its vocabulary; a label indexes it.")
    value_counts: dict[str, tuple[int, ...]] = Field(description="Rows per value of each vocabulary.")
    train_counts: dict[str, tuple[int, ...]] = Field(description="Training rows per value of each vocabulary.")
    holdout: Holdout = Field(description="What is held out, by name.")
    held_counts: tuple[int, int, int] = Field(description="Held-out rows of each stratum.")
    associations: tuple[Association, ...] = Field((), description="Attributes that can hardly be told apart.")
    num_rows: int
    num_train: int
    shards: tuple[Shard, ...]
    skipped: dict[str, int] = Field(description="Reason to number of files that were not ingested.")

    @model_serializer(mode="wrap")
    def _as_before(self, dump: Callable[["Manifest"], dict[str, Any]]) -> dict[str, Any]:
        """Leave out the hashes that an older set lacks, so that what was judged on it is found again."""
        return {name: value for name, value in dump(self).items() if value or name not in ("source_state", "content")}

    @property
    def image_size(self) -> int:
        """Side of the stored images in pixels."""
        return self.recipe.image_size

    @property
    def num_held_out(self) -> int:
        """Rows that training never sees."""
        return self.num_rows - self.num_train

    @property
    def notes(self) -> list[str]:
        """What a reader of figures should know of the set, in sentences."""
        return [f"{association}." for association in self.associations]

    def known(self, column: str) -> npt.NDArray[np.bool_]:
        """Tell which values of a column have a training image."""
        return np.asarray(self.train_counts[column]) > 0


@dataclass(frozen=True)
class LabelTable:
    """The labels of rows as compact arrays [n], and where each row is; all rows in the order of the shards, or some."""

    columns: Mapping[str, npt.NDArray[np.int32]]
    held_out: npt.NDArray[np.bool_]
    shard: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.held_out)

    def matrix(self, names: Sequence[str]) -> npt.NDArray[np.int32]:
        """Return the labels of some columns side by side: [n, len(names)]."""
        return np.stack([self.columns[name] for name in names], axis=1)

    def named(self, schema: AttributeSchema) -> "LabelTable":
        """Return the table in which a row lacks the labels of values that do not go by name."""
        columns = dict(self.columns)
        for attribute in schema.attributes:
            if attribute.named:
                labels = columns[attribute.column]
                columns[attribute.column] = np.where(attribute.places(labels) < 0, MISSING, labels).astype(np.int32)
        return replace(self, columns=columns)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> "LabelTable":
        """Return the table of some rows alone, in their order."""
        columns = {name: labels[rows] for name, labels in self.columns.items()}
        return replace(self, columns=columns, held_out=self.held_out[rows], shard=self.shard[rows], row=self.row[rows])


def schema_of(manifest: Manifest, data: DataConfig) -> AttributeSchema:
    """Return the attributes of a config as a data set has them.

    Raises:
        SchemaError: the data set lacks a column.
    """
    return build_schema(data.attributes, manifest.columns, manifest.value_counts, data.named_values)


def naming_notes(manifest: Manifest, schema: AttributeSchema) -> list[str]:
    """Say of the attributes of which not all values go by name how many do, and how many images show them."""
    notes = []
    for attribute in schema.attributes:
        if attribute.named:
            counts = manifest.value_counts[attribute.column]
            share = sum(counts[label] for label in attribute.named) / max(1, sum(counts))
            notes.append(
                f"{attribute.name}: the {len(attribute.named):,} most frequent of {len(attribute.values):,} values are"
                f" judged and go by name, {share:.0%} of the images (data.named_values); images of the others train,"
                " and judge nothing."
            )
    return notes


def shard_name(unit: int) -> str:
    """Name the shard of a unit of work."""
    return f"images-{unit:05d}.parquet"


def is_shard(path: str) -> bool:
    """Tell whether a file of a data set is one of its shards, by its name."""
    return re.fullmatch(r"images-\d{5,}\.parquet", path.rpartition("/")[2]) is not None


def content_hash(columns: Mapping[str, Sequence[str]], shards: Sequence[Shard]) -> str:
    """Return a hash that two data sets share only when they hold the same rows, labels and split."""
    content = [{name: list(values) for name, values in columns.items()}, [shard.sha256 for shard in shards]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def encode_shard(rows: pa.Table) -> bytes:
    """Write image rows as Parquet: pictures as they are, small row groups that readers can stream."""
    sink = pa.BufferOutputStream()
    labels = [name for name in rows.column_names if name not in (IMAGE, KEY)]
    compression = {name: "none" if name == IMAGE else "zstd" for name in rows.column_names}
    pq.write_table(
        rows,
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression=compression,
        use_dictionary=labels,
        write_statistics=labels,
    )
    return bytes(sink.getvalue())


def describe_shard(path: str, data: bytes, num_train: int) -> Shard:
    """Describe a shard that is about to be written."""
    num_rows = pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows
    digest = hashlib.sha256(data).hexdigest()
    return Shard(path=path, num_rows=num_rows, num_train=num_train, num_bytes=len(data), sha256=digest)


def has_manifest(uri: str) -> bool:
    """Tell whether a whole data set is at the URI."""
    return storage.exists(manifest_uri(uri))


def write_manifest(uri: str, manifest: Manifest) -> None:
    """Write the manifest of the data set at the URI."""
    storage.write_bytes(manifest_uri(uri), manifest.model_dump_json(indent=1).encode())


def read_manifest(uri: str) -> Manifest:
    """Read the manifest of the data set at the URI; ManifestError if there is none or it is of another version."""
    try:
        content = json.loads(storage.read_bytes(manifest_uri(uri)))
    except storage.StorageNotFoundError as error:
        raise ManifestError(f"{uri}: no data set there (no manifest.json); run jobs/ingest.py first") from error
    except ValueError as error:
        raise ManifestError(f"{manifest_uri(uri)}: not JSON ({error}); delete the data set and ingest again") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise ManifestError(
            f"{uri}: manifest of version {version}, expected {FORMAT_VERSION}; delete the data set and ingest again"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        raise ManifestError(f"{manifest_uri(uri)}: {error}; delete the data set and ingest again") from error


def verify_shards(uri: str, manifest: Manifest) -> None:
    """Compare every shard with its checksum; ManifestError names the first that is missing or changed."""
    for shard in manifest.shards:
        path = storage.join(uri, shard.path)
        try:
            data = storage.read_bytes(path)
        except storage.StorageNotFoundError as error:
            raise ManifestError(f"{path} is missing; copy it again, or delete the data set and ingest again") from error
        if len(data) != shard.num_bytes or hashlib.sha256(data).hexdigest() != shard.sha256:
            raise ManifestError(
                f"{path} has {len(data)} bytes that do not match the {shard.num_bytes} of the manifest by checksum;"
                " copy it again, or delete the data set and ingest again"
            )


def load_labels(uri: str, manifest: Manifest) -> LabelTable:
    """Load the labels, split and place of all rows without touching the images (9 bytes and 4 per column for each)."""
    names = [*manifest.columns, HELD_OUT]
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        tables = list(pool.map(lambda shard: _read_columns(storage.join(uri, shard.path), names), manifest.shards))
    joined = pa.concat_tables(tables)
    counts = [shard.num_rows for shard in manifest.shards]
    return LabelTable(
        columns={name: joined[name].to_numpy() for name in manifest.columns},
        held_out=joined[HELD_OUT].to_numpy(),
        shard=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        row=np.concatenate([np.arange(count, dtype=np.int32) for count in counts]),
    )


def _read_columns(uri: str, names: list[str]) -> pa.Table:
    filesystem, path = storage.locate(uri)
    return pq.ParquetFile(path, filesystem=filesystem).read(columns=names)


def manifest_uri(uri: str) -> str:
    """Return where the manifest of the data set at a URI is."""
    return storage.join(uri, "manifest.json")
