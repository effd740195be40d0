"""Shards and manifest: a split that depends on keys alone, checksums, labels without images, damaged data sets."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diffusegae import storage
from diffusegae.data.records import HELD_OUT, IMAGE, KEY, image_schema
from diffusegae.data.shards import (
    FORMAT_VERSION,
    ROW_GROUP_ROWS,
    Manifest,
    ManifestError,
    Recipe,
    describe_shard,
    encode_shard,
    load_labels,
    read_manifest,
    shard_name,
    verify_shards,
    write_manifest,
)
from diffusegae.data.splits import Holdout, is_held_out

RECIPE = Recipe(
    source="vehicles", source_config={"seed": 0}, columns=("letter", "font"), image_size=32, encoding="png", quality=0,
    holdout={"images": 20}, shard_rows=8,
)  # fmt: skip


def make_rows(first: int, count: int) -> pa.Table:
    numbers = np.arange(first, first + count)
    keys = [f"key-{number}" for number in numbers]
    columns = {
        IMAGE: [b"picture %d" % number for number in numbers],
        KEY: keys,
        HELD_OUT: is_held_out(keys, 20),
        "letter": (numbers % 3).astype(np.int32),
        "font": (numbers % 2).astype(np.int32),
    }
    return pa.table(columns, schema=image_schema(("letter", "font")))


def write_set(root: str, sizes: tuple[int, ...]) -> Manifest:
    shards = []
    for number, size in enumerate(sizes):
        rows = make_rows(sum(sizes[:number]), size)
        data = encode_shard(rows)
        shards.append(describe_shard(shard_name(number), data, int(np.sum(~rows[HELD_OUT].to_numpy()))))
        storage.write_bytes(storage.join(root, shards[-1].path), data)
    manifest = Manifest(
        recipe=RECIPE,
        source_fingerprint="0",
        columns={"letter": ("a", "b", "c"), "font": ("x", "y")},
        value_counts={"letter": (1, 1, 1), "font": (1, 1)},
        train_counts={"letter": (1, 0, 1), "font": (1, 1)},
        holdout=Holdout(images=20),
        held_counts=(2, 0, 0),
        num_rows=sum(sizes),
        num_train=sum(shard.num_train for shard in shards),
        shards=tuple(shards),
        skipped={},
    )
    write_manifest(root, manifest)
    return manifest


def test_manifest_comes_back(storage_root: str) -> None:
    manifest = write_set(storage_root, (5, 7))
    assert read_manifest(storage_root) == manifest
    assert manifest.num_held_out + manifest.num_train == manifest.num_rows == 12
    assert manifest.known("letter").tolist() == [True, False, True]


def test_split_does_not_change_with_shards(tmp_path: Path) -> None:
    tables = []
    for name, sizes in (("few", (30,)), ("many", (10, 5, 15))):
        root = str(tmp_path / name)
        tables.append(load_labels(root, write_set(root, sizes)))
    assert np.array_equal(tables[0].held_out, tables[1].held_out)


def test_shards_have_small_row_groups_and_plain_columns() -> None:
    rows = make_rows(0, ROW_GROUP_ROWS * 2 + 10)
    file = pq.ParquetFile(pa.BufferReader(encode_shard(rows)))
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 10]
    assert file.read().equals(rows)


def test_labels_come_without_images_and_with_their_place(storage_root: str) -> None:
    manifest = write_set(storage_root, (5, 7))
    labels = load_labels(storage_root, manifest)
    assert len(labels) == 12
    assert labels.shard.tolist() == [0] * 5 + [1] * 7
    assert labels.row.tolist() == [*range(5), *range(7)]
    assert labels.columns["letter"].tolist() == [number % 3 for number in range(12)]
    assert np.array_equal(labels.matrix(("font", "letter"))[:, 1], labels.columns["letter"])
    assert labels.columns["font"].dtype == np.int32
    assert np.sum(~labels.held_out) == manifest.num_train


def test_a_table_of_some_rows_keeps_their_order_and_place(tmp_path: Path) -> None:
    labels = load_labels(str(tmp_path), write_set(str(tmp_path), (5, 7)))
    some = labels.take(np.array([9, 0]))
    assert len(some) == 2
    assert (some.shard.tolist(), some.row.tolist()) == ([1, 0], [4, 0])
    assert some.columns["letter"].tolist() == [0, 0]
    assert some.columns["font"].tolist() == [1, 0]
    assert some.held_out.tolist() == labels.held_out[[9, 0]].tolist()


def test_whole_shards_pass(storage_root: str) -> None:
    verify_shards(storage_root, write_set(storage_root, (5, 7)))


def test_changed_cut_and_missing_shards_are_named(tmp_path: Path) -> None:
    manifest = write_set(str(tmp_path), (5, 7))
    target = tmp_path / shard_name(1)
    whole = target.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[: len(whole) // 2]):
        target.write_bytes(damaged)
        with pytest.raises(ManifestError, match=shard_name(1)):
            verify_shards(str(tmp_path), manifest)
    target.unlink()
    with pytest.raises(ManifestError, match=f"{shard_name(1)} is missing"):
        verify_shards(str(tmp_path), manifest)


def test_missing_manifest_is_named(storage_root: str) -> None:
    with pytest.raises(ManifestError, match=r"no data set there .*jobs/ingest\.py"):
        read_manifest(storage_root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "version None"),
        (b'{"format_version": 99}', f"version 99, expected {FORMAT_VERSION}"),
        (b'{"format_version": 1}', r"version 1, expected 2; delete the data set and ingest again"),
        (b'{"format_version": 2}', "Field required"),
    ],
)
def test_unusable_manifests_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_manifest(str(tmp_path))


def test_recipes_say_where_they_differ() -> None:
    other = RECIPE.model_copy(update={"image_size": 64, "encoding": "webp"})
    assert RECIPE.difference(RECIPE) == ""
    assert RECIPE.difference(other) == "image_size 64 instead of 32; encoding 'webp' instead of 'png'"
