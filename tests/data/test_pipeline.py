"""Windows streamed by Ray Data from stored shards: the right rows, in the planned order, from anywhere."""

from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from diffusegae import storage
from diffusegae.config.data import DataConfig
from diffusegae.data.feed import Feed, GroupSampler, sample_rows
from diffusegae.data.ingest import ingest
from diffusegae.data.latents import (
    LatentManifest,
    LatentShard,
    encode_latent_shard,
    latent_shard_name,
    write_latent_manifest,
)
from diffusegae.data.order import LaneError
from diffusegae.data.pipeline import Reading, StoredWindows, open_lanes
from diffusegae.data.shards import load_labels, read_manifest
from diffusegae.data.windows import list_image_row_groups, read_row_group
from diffusegae.images import decode_batch

COLUMNS = ("category", "background", "pose")
DATA = DataConfig.model_validate(
    {
        "attributes": {
            "identity": {"column": "category", "width": 2},
            "background": {"width": 2},
            "pose": {"width": 2},
        },
        "source": {"kind": "vehicles", "num_kinds": 3, "num_instances": 1, "num_backgrounds": 8, "num_poses": 4},
        "shard_rows": 16,
    }
)

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> str:
    uri = str(tmp_path_factory.mktemp("data") / "images")
    ingest(DATA, 32, uri)
    return uri


def open_images(uri: str, window_rows: int, seed: int, held_out: bool = False, lanes: int = 1) -> list[StoredWindows]:
    reading = Reading(("image",), COLUMNS, held_out=held_out)
    return open_lanes(uri, reading, window_rows=window_rows, seed=seed, lanes=lanes)


def keys_of(uri: str, window_rows: int, epochs: int, *, held_out: bool = False, first: int = 0) -> list[list[bytes]]:
    (windows,) = open_images(uri, window_rows, 3, held_out)
    return [
        [data for window in windows.windows(epoch, first) for data in window.take(np.arange(window.num_rows))["image"]]
        for epoch in range(epochs)
    ]


@pytest.mark.parametrize("window_rows", [40, 1000])
def test_an_epoch_holds_every_training_row_once(images: str, window_rows: int) -> None:
    manifest = read_manifest(images)
    stored = []
    for group in list_image_row_groups(images):
        stored += read_row_group(group.path, group.index, ["image"], held_out=False)["image"].to_pylist()
    assert len(stored) == manifest.num_train
    for epoch in keys_of(images, window_rows, 2):
        assert sorted(epoch) == sorted(stored)


def test_windows_come_in_another_order_every_epoch_and_can_start_anywhere(images: str) -> None:
    first, second = keys_of(images, 40, 2)
    assert first != second
    late = keys_of(images, 40, 1, first=1)[0]
    assert late == first[-len(late) :]
    assert 0 < len(late) < len(first)


def test_held_out_rows_are_the_rest(images: str) -> None:
    manifest = read_manifest(images)
    held_out = keys_of(images, 1000, 1, held_out=True)[0]
    assert len(held_out) == manifest.num_held_out
    assert not set(held_out) & set(keys_of(images, 1000, 1)[0])


def test_group_rows_stream_with_exact_partners(images: str) -> None:
    (windows,) = open_images(images, 1000, 0)
    window = next(windows.windows(0, 0))
    by_image = {
        data: tuple(row)
        for data, row in zip(window.take(np.arange(window.num_rows))["image"], window.labels(), strict=True)
    }
    feed = Feed([windows], GroupSampler(1), batch_size=6, seed=0)
    for batch in islice(feed.batches(), 4):
        members = [by_image[data] for data in batch.columns["image"]]
        labels = np.array(members).reshape(6, 4, 3)
        assert ((labels[:, 1:] == labels[:, :1]) == np.eye(3, dtype=bool)).all()
        assert decode_batch(batch.columns["image"].tolist(), 32).shape == (24, 32, 32, 3)


def test_latents_stream_in_step_with_their_labels(images: str, tmp_path: Path) -> None:
    manifest = read_manifest(images)
    labels = load_labels(images, manifest)
    shards = []
    for number, shard in enumerate(manifest.shards):
        rows = labels.shard == number
        codes = np.stack([labels.columns[name][rows] for name in COLUMNS], axis=1)
        filesystem, path = storage.locate(storage.join(images, shard.path))
        table = pq.ParquetFile(path, filesystem=filesystem).read()
        data = encode_latent_shard(table, codes.astype(np.float32))
        storage.write_bytes(storage.join(str(tmp_path), latent_shard_name(number)), data)
        shards.append(LatentShard(path=latent_shard_name(number), num_rows=shard.num_rows))
    write_latent_manifest(str(tmp_path), LatentManifest(width=3, encoder="test", shards=tuple(shards)))
    (windows,) = open_lanes(str(tmp_path), Reading(("z",), COLUMNS), window_rows=1000, seed=0)
    window = next(windows.windows(0, 0))
    assert window.num_rows == manifest.num_train
    assert np.array_equal(window.take(np.arange(window.num_rows))["z"], window.labels())
    batch = next(Feed([windows], sample_rows, batch_size=8, seed=0).batches())
    assert batch.columns["z"].shape == (8, 3)


def test_lanes_hold_every_training_row_once_between_them(images: str) -> None:
    whole = sorted(keys_of(images, 1000, 1)[0])
    for epoch in range(2):
        parts = [
            [data for window in lane.windows(epoch, 0) for data in window.take(np.arange(window.num_rows))["image"]]
            for lane in open_images(images, 40, 3, lanes=3)
        ]
        assert all(parts)
        assert sorted(data for part in parts for data in part) == whole
    with pytest.raises(LaneError, match=r"data.lanes=99, but the set has \d+ row groups"):
        open_images(images, 40, 3, lanes=99)


def test_pixels_decoded_where_rows_are_read_are_those_decoded_later(images: str) -> None:
    (encoded,) = open_images(images, 1000, 0)
    (decoded,) = open_lanes(images, Reading(("key", "pixels"), COLUMNS, image_size=32), window_rows=1000, seed=0)
    first, second = next(encoded.windows(0, 0)), next(decoded.windows(0, 0))
    rows = np.arange(20)
    pixels = second.take(rows)["pixels"].reshape(20, 32, 32, 3)
    assert np.array_equal(pixels, decode_batch(first.take(rows)["image"].tolist(), 32))
    assert len(set(second.take(rows)["key"])) == 20
