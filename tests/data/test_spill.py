"""Data that does not fit the object store: it spills to disk, and training's windows are whole all the same."""

import re
from pathlib import Path

import numpy as np
import pytest
import ray
from ray._private.internal_api import memory_summary

from diffusegae.config.data import DataConfig
from diffusegae.data.ingest import ingest
from diffusegae.data.pipeline import Reading, open_lanes
from diffusegae.data.records import KEY, PIXELS
from diffusegae.data.shards import read_manifest
from diffusegae.data.windows import list_image_row_groups, read_row_group
from diffusegae.images import decode_batch

pytestmark = pytest.mark.ray

SIZE, STORE_BYTES, BLOCK_BYTES, BLOCKS_PER_WINDOW = 128, 200 * 2**20, 10 * 2**20, 6
DATA = DataConfig.model_validate(
    {
        "attributes": {"identity": {"column": "category", "width": 2}, "background": {"width": 2}},
        "source": {"kind": "vehicles", "num_kinds": 5, "num_instances": 1, "num_backgrounds": 100, "num_poses": 10},
        "shard_rows": 200,
    }
)


def spilled_mebibytes() -> int:
    found = re.search(r"Spilled (\d+) MiB", memory_summary(ray.get_runtime_context().gcs_address, stats_only=True))
    return int(found.group(1)) if found else 0


def test_a_set_larger_than_the_store_is_read_whole_while_others_fill_the_store(
    tmp_path: Path, ray_cluster: None
) -> None:
    uri = str(tmp_path / "images")
    ingest(DATA, SIZE, uri)
    manifest = read_manifest(uri)
    assert manifest.num_train * SIZE * SIZE * 3 > 0.9 * STORE_BYTES
    before = spilled_mebibytes()

    (windows,) = open_lanes(uri, Reading((PIXELS, KEY), ("category",), image_size=SIZE), window_rows=800, seed=0)
    seen: dict[str, bytes] = {}
    held: list[ray.ObjectRef[np.ndarray]] = []  # what others keep in the store: more with each window, at last too much
    for window in windows.windows(epoch=0, first=0):
        columns = window.take(np.arange(window.num_rows))
        for key, pixels in zip(columns[KEY].tolist(), columns[PIXELS], strict=True):
            assert key not in seen
            seen[key] = pixels[:: SIZE * 7].tobytes()  # a sample of it
        held += [ray.put(np.full(BLOCK_BYTES, len(held) + block, np.uint8)) for block in range(BLOCKS_PER_WINDOW)]

    too_much = len(held) * BLOCK_BYTES - STORE_BYTES
    assert too_much > 0
    assert (spilled_mebibytes() - before) * 2**20 >= too_much
    assert len(seen) == manifest.num_train
    group = list_image_row_groups(uri)[3]
    table = read_row_group(group.path, group.index, ["image", KEY], held_out=False)
    decoded = decode_batch(table["image"].to_pylist(), SIZE)
    for key, pixels in zip(table[KEY].to_pylist(), decoded, strict=True):
        assert seen[key] == pixels.reshape(-1)[:: SIZE * 7].tobytes()
    for number, reference in enumerate(held):
        assert (ray.get(reference) == number).all()
