"""A tiny stored set of latents, each the sum of its labels' codes, its split, and a config that sweeps over it."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from diffusegae import storage
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.latent_split import Split, read_validation_split
from diffusegae.data.latents import (
    LatentManifest,
    LatentShard,
    encode_latent_shard,
    latent_shard_name,
    write_latent_manifest,
)
from diffusegae.data.records import HELD_OUT, IMAGE, KEY
from diffusegae.schema import Attribute, AttributeSchema
from tests.tiny import smoke_config

COLUMNS = {"kind": 3, "instance": 6, "ground": 5, "pose": 4}
WIDTH, SHARD_ROWS = 32, 50
ATTRIBUTES = (
    "data.attributes={vehicle: {column: kind, group_column: instance, width: 8}, ground: {width: 8}, pose: {width: 8}}"
)
HOLDOUT = "data.holdout={images: 20}"


def write_latents(uri: str, columns: Mapping[str, int], encoder: str = "e", silent: Sequence[str] = ()) -> np.ndarray:
    """Write a latent for every combination of labels, every fifth held out as NaN; return which are held out.

    Latents say nothing of silent columns.
    """
    random = np.random.default_rng(0)
    codes = {name: random.normal(size=(count, WIDTH)) * (name not in silent) for name, count in columns.items()}
    rows = np.array([c for c in product(*map(range, columns.values())) if "kind" not in columns or c[1] // 2 == c[0]])
    rows = random.permutation(rows)
    held_out = np.arange(len(rows)) % 5 == 0
    z = sum(codes[name][rows[:, place]] for place, name in enumerate(columns)) + 0.05 * random.normal(
        size=(len(rows), WIDTH)
    )
    z[held_out] = np.nan
    shards = []
    for number, first in enumerate(range(0, len(rows), SHARD_ROWS)):
        here = slice(first, first + SHARD_ROWS)
        count = len(rows[here])
        labels = {name: pa.array(rows[here, place], pa.int32()) for place, name in enumerate(columns)}
        table = pa.table(
            {
                IMAGE: pa.array([b""] * count),
                KEY: pa.array([f"row-{first + place}" for place in range(count)]),
                HELD_OUT: pa.array(held_out[here]),
                **labels,
            }
        )
        path = latent_shard_name(number)
        storage.write_bytes(storage.join(uri, path), encode_latent_shard(table, z[here]))
        shards.append(LatentShard(path=path, num_rows=count))
    train = z[~held_out]
    statistics = {"mean": train.mean(axis=0).astype(np.float32), "covariance": np.cov(train.T).astype(np.float32)}
    save_file(statistics, str(Path(uri) / "statistics.safetensors"))
    write_latent_manifest(uri, LatentManifest(width=WIDTH, encoder=encoder, shards=tuple(shards)))
    return held_out


def vehicle_schema() -> AttributeSchema:
    columns = {"vehicle": ("kind", "instance"), "ground": ("ground", "ground"), "pose": ("pose", "pose")}
    values = {name: tuple(f"{name}{value}" for value in range(count)) for name, count in COLUMNS.items()}
    attributes = [
        Attribute(name=name, column=a, group_column=b, values=values[a], group_values=values[b], width=8)
        for name, (a, b) in columns.items()
    ]
    return AttributeSchema(attributes=tuple(attributes))


def sweep_config(*overrides: str) -> PipelineConfig:
    return smoke_config(ATTRIBUTES, HOLDOUT, "tune.length=1", *overrides)


@pytest.fixture(scope="session")
def latents(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of 120 latents, 24 of them held out and NaN."""
    uri = str(tmp_path_factory.mktemp("latents"))
    write_latents(uri, COLUMNS)
    return uri


@pytest.fixture(scope="session")
def schema() -> AttributeSchema:
    return vehicle_schema()


@pytest.fixture(scope="session")
def split(latents: str, schema: AttributeSchema) -> Split:
    return read_validation_split(latents, schema, sweep_config().tune)
