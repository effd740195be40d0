"""Tiny stored data sets whose pictures spell their labels: every combination of a few columns, in shards."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from diffusegae import storage
from diffusegae.data.records import HELD_OUT, IMAGE, KEY, image_schema
from diffusegae.data.shards import Manifest, Recipe, describe_shard, encode_shard, shard_name, write_manifest
from diffusegae.data.splits import Holdout, Strata, Stratum, is_held_out
from diffusegae.images import encode_image

SIZE = 32


def paint(labels: Sequence[int], size: int = SIZE) -> npt.NDArray[np.uint8]:
    """Paint a picture: one stripe per label, whose brightness in its own channel says which."""
    pixels = np.full((size, size, 3), 40, np.uint8)
    for stripe, label in enumerate(labels):
        pixels[8 * stripe : 8 * stripe + 8, :, stripe % 3] = (60 + 30 * label) % 256
    return pixels


def write_images(
    root: str,
    columns: Mapping[str, int],
    leave_out: Sequence[tuple[int, ...]] = (),
    shard_rows: int = 20,
    holdout: Holdout = Holdout(images=40),  # noqa: B008  frozen
) -> Manifest:
    """Write every combination of labels but those left out, in mixed order, and return the manifest.

    The values of a column are named by it and their number ("kind0"), as a holdout has to name them.
    """
    combinations = [labels for labels in product(*map(range, columns.values())) if labels not in leave_out]
    labels = np.random.default_rng(0).permutation(np.array(combinations, np.int32))
    vocabularies = {name: tuple(f"{name}{value}" for value in range(count)) for name, count in columns.items()}
    strata = Strata(holdout, vocabularies).of(dict(zip(columns, labels.T, strict=True)))
    held_out = is_held_out(map(_key, labels.tolist()), holdout.images) | (strata != Stratum.SEEN)
    shards = []
    for number, first in enumerate(range(0, len(labels), shard_rows)):
        part = slice(first, first + shard_rows)
        rows = [_row(columns, *row) for row in zip(labels[part].tolist(), held_out[part].tolist(), strict=True)]
        data = encode_shard(pa.Table.from_pylist(rows, image_schema(tuple(columns))))
        shards.append(describe_shard(shard_name(number), data, int(np.sum(~held_out[part]))))
        storage.write_bytes(storage.join(root, shards[-1].path), data)
    manifest = Manifest(
        recipe=Recipe(
            source="folder", source_config={}, columns=tuple(columns), image_size=SIZE, encoding="png", quality=0,
            holdout={"images": holdout.images}, shard_rows=shard_rows,
        ),
        source_fingerprint="0",
        columns=vocabularies,
        value_counts=_count(columns, labels),
        train_counts=_count(columns, labels[~held_out]),
        holdout=holdout,
        held_counts=tuple(np.bincount(strata[held_out], minlength=len(Stratum)).tolist()),  # type: ignore[arg-type]
        num_rows=len(labels),
        num_train=int(np.sum(~held_out)),
        shards=tuple(shards),
        skipped={},
    )  # fmt: skip
    write_manifest(root, manifest)
    return manifest


def _count(columns: Mapping[str, int], labels: npt.NDArray[np.int32]) -> dict[str, tuple[int, ...]]:
    counts = zip(columns.items(), labels.T, strict=True)
    return {name: tuple(np.bincount(column, minlength=count).tolist()) for (name, count), column in counts}


def _key(labels: Sequence[int]) -> str:
    return "-".join(map(str, labels))


def _row(columns: Mapping[str, int], labels: Sequence[int], held_out: bool) -> dict[str, object]:
    picture = encode_image(paint(labels))
    return {IMAGE: picture, KEY: _key(labels), HELD_OUT: held_out, **dict(zip(columns, labels, strict=True))}
