"""Tiny stored data sets whose pictures spell their labels: every combination of a few columns, in shards."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from diffusegae import storage
from diffusegae.data.records import HELD_OUT, IMAGE, KEY, image_schema
from diffusegae.data.shards import (
    Manifest,
    Recipe,
    describe_shard,
    encode_shard,
    is_held_out,
    shard_name,
    write_manifest,
)
from diffusegae.images import encode_image

SIZE = 32


def paint(labels: Sequence[int], size: int = SIZE) -> npt.NDArray[np.uint8]:
    """Paint a picture: one stripe per label, whose brightness in its own channel says which."""
    pixels = np.full((size, size, 3), 40, np.uint8)
    for stripe, label in enumerate(labels):
        pixels[8 * stripe : 8 * stripe + 8, :, stripe % 3] = 60 + 30 * label
    return pixels


def write_images(
    root: str, columns: Mapping[str, int], leave_out: Sequence[tuple[int, ...]] = (), shard_rows: int = 20
) -> Manifest:
    """Write every combination of labels but those left out, in mixed order, and return the manifest."""
    combinations = [labels for labels in product(*map(range, columns.values())) if labels not in leave_out]
    order = np.random.default_rng(0).permutation(len(combinations))
    rows = [_row(tuple(columns), combinations[place]) for place in order]
    shards = []
    for number, first in enumerate(range(0, len(rows), shard_rows)):
        table = pa.Table.from_pylist(rows[first : first + shard_rows], image_schema(tuple(columns)))
        data = encode_shard(table)
        num_train = int(np.sum(~table[HELD_OUT].to_numpy()))
        shards.append(describe_shard(shard_name(number), data, num_train))
        storage.write_bytes(storage.join(root, shards[-1].path), data)
    vocabularies = {name: tuple(f"{name}{value}" for value in range(count)) for name, count in columns.items()}
    counts = {name: np.bincount([row[name] for row in rows], minlength=count) for name, count in columns.items()}
    manifest = Manifest(
        recipe=Recipe(
            source="folder", source_config={}, columns=tuple(columns), image_size=SIZE, encoding="png", quality=0,
            holdout_percent=40, shard_rows=shard_rows,
        ),
        source_fingerprint="0",
        columns=vocabularies,
        value_counts={name: tuple(count.tolist()) for name, count in counts.items()},
        num_rows=len(rows),
        num_train=sum(shard.num_train for shard in shards),
        shards=tuple(shards),
        skipped={},
    )  # fmt: skip
    write_manifest(root, manifest)
    return manifest


def _row(columns: Sequence[str], labels: tuple[int, ...]) -> dict[str, object]:
    key = "-".join(map(str, labels))
    picture = encode_image(paint(labels))
    held_out = bool(is_held_out([key], 40)[0])
    return {IMAGE: picture, KEY: key, HELD_OUT: held_out, **dict(zip(columns, labels, strict=True))}
