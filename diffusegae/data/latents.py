"""Latent shards: z_sem of every image, in the order of the image shards, and the statistics that normalise it.

A set of latents is a folder: `latents-NNNNN.parquet` for each image shard, `statistics.safetensors` and, written last,
`manifest.json`, which names the checkpoint whose encoder made it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Shaped
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import save_file

from diffusegae import storage
from diffusegae.data.records import HELD_OUT, IMAGE, KEY, LATENT, latent_schema
from diffusegae.data.shards import ROW_GROUP_ROWS

MANIFEST, STATISTICS = "manifest.json", "statistics.safetensors"
_ENCODER = "encoder"


class LatentShard(BaseModel):
    """One Parquet file of latents, its path relative to the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    num_rows: int


class LatentManifest(BaseModel):
    """What a set of latents holds and which weights made it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    encoder: str
    shards: tuple[LatentShard, ...]


class LatentError(ValueError):
    """A set of latents that is missing."""


def latent_shard_name(number: int) -> str:
    """Name the latents of an image shard by its number."""
    return f"latents-{number:05d}.parquet"


def encode_latent_shard(images: pa.Table, z: Float[np.ndarray, "rows z_sem"]) -> bytes:
    """Return the Parquet bytes of image rows whose image is replaced by its latent."""
    values = pa.FixedSizeListArray.from_arrays(pa.array(z.astype(np.float32).ravel()), z.shape[1])
    kept = images.drop_columns([IMAGE])
    labels = [name for name in kept.column_names if name not in (KEY, HELD_OUT)]
    columns = {LATENT: values, **{name: kept[name] for name in kept.column_names}}
    table = pa.table(columns, schema=latent_schema(labels, z.shape[1]))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=ROW_GROUP_ROWS, compression="none")
    return bytes(sink.getvalue())


def begin_latents(uri: str, encoder: str) -> None:
    """Make a folder that of an encoder's latents; what another one has left there, whole or in part, is deleted."""
    note = storage.join(uri, _ENCODER)
    if not storage.exists(note) or storage.read_bytes(note).decode() != encoder:
        storage.delete(uri)
        storage.write_bytes(note, encoder.encode())


def has_latents(uri: str) -> bool:
    """Tell whether a whole set of latents is at the URI."""
    return storage.exists(storage.join(uri, MANIFEST))


def write_latent_manifest(uri: str, manifest: LatentManifest) -> None:
    """Write the manifest that makes the folder a whole set of latents."""
    storage.write_bytes(storage.join(uri, MANIFEST), manifest.model_dump_json(indent=1).encode())


def read_latent_manifest(uri: str) -> LatentManifest:
    """Read the manifest of a set of latents; LatentError if there is none."""
    path = storage.join(uri, MANIFEST)
    if not storage.exists(path):
        raise LatentError(f"{uri}: no latents there (no {MANIFEST}); run jobs/encode.py first")
    return LatentManifest.model_validate(json.loads(storage.read_bytes(path)))


def read_latents(uri: str, shards: Sequence[LatentShard], columns: Sequence[str]) -> pa.Table:
    """Read columns of some shards of latents into memory."""
    tables = []
    for shard in shards:
        filesystem, path = storage.locate(storage.join(uri, shard.path))
        tables.append(pq.ParquetFile(path, filesystem=filesystem).read(columns=list(columns)))
    return pa.concat_tables(tables)


def rows_of(column: pa.ChunkedArray) -> Shaped[np.ndarray, "rows width"]:
    """Return a column of lists of one length (latents, pixels) as one array."""
    flat = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])
    rows: np.ndarray = flat.reshape(len(column), -1)
    return rows


def write_statistics(uri: str, manifest: LatentManifest, folder: Path) -> None:
    """Compute mean and covariance of the training latents, one shard in memory at a time, and store them."""
    count, total = 0, np.zeros(manifest.width)
    products = np.zeros((manifest.width, manifest.width))
    for shard in manifest.shards:
        table = read_latents(uri, [shard], [LATENT, HELD_OUT])
        z = rows_of(table[LATENT])[~table[HELD_OUT].to_numpy()].astype(np.float64)
        count, total, products = count + len(z), total + z.sum(axis=0), products + z.T @ z
    mean = total / count
    covariance = products / count - np.outer(mean, mean)
    local = folder / STATISTICS
    save_file({"mean": mean.astype(np.float32), "covariance": covariance.astype(np.float32)}, str(local))
    storage.write_bytes(storage.join(uri, STATISTICS), local.read_bytes())
