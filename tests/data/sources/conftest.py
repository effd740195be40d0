"""Sets made from small files and read back: what every source of files is tested by."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from diffusegae import storage
from diffusegae.config.data import DataConfig
from diffusegae.data.ingest import ingest
from diffusegae.data.records import IMAGE, KEY
from diffusegae.data.shards import Manifest
from diffusegae.images import decode_image

Ingest = Callable[..., "Ingested"]


class Ingested(NamedTuple):
    """A set: its address and manifest, and by key the labels as text and the pixels of every picture."""

    root: str
    manifest: Manifest
    labels: dict[str, dict[str, str | None]]
    pixels: dict[str, np.ndarray]


@pytest.fixture
def ingested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ingest:
    """Ingest a source with the columns that attributes read, its units in this process; rows are read back."""

    def run(units: Sequence[int], work: Callable[[int], int]) -> Iterator[int]:
        return map(work, units)

    monkeypatch.setattr("diffusegae.data.ingest.run_units", run)

    def read(source: Mapping[str, object], columns: Sequence[str], size: int, rows: int = 32) -> Ingested:
        attributes = {f"a{place}": {"column": column, "width": 2} for place, column in enumerate(columns)}
        whole = {
            "source": source,
            "attributes": attributes,
            "shard_rows": rows,
            "holdout": {"images": 1},
            "max_skipped": 100,
        }
        config = DataConfig.model_validate(whole)
        root = str(tmp_path / f"set-{zlib.crc32(config.model_dump_json().encode())}")
        manifest = ingest(config, size, root)
        labels: dict[str, dict[str, str | None]] = {}
        pixels: dict[str, np.ndarray] = {}
        for shard in manifest.shards:
            for row in pq.read_table(storage.join(root, shard.path)).to_pylist():
                assert row[KEY] not in labels
                labels[row[KEY]] = {name: (*values, None)[row[name]] for name, values in manifest.columns.items()}
                pixels[row[KEY]] = decode_image(row[IMAGE])
        return Ingested(root, manifest, labels, pixels)

    return read
