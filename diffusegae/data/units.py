"""A unit of ingest: read some images, decode, resize, encode, write one shard, and then a record that it is done.

The record is written last and in one piece. A unit without a record is done again from the start and replaces whatever
an earlier attempt left, so being killed at any moment loses no row and doubles none.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Int8
from pydantic import BaseModel, ConfigDict, Field

from diffusegae import storage
from diffusegae.data.records import HELD_OUT, IMAGE, KEY, Skipped, SourceImage, image_schema
from diffusegae.data.shards import Recipe, Shard, describe_shard, encode_shard, shard_name
from diffusegae.data.sources.source import Source
from diffusegae.data.splits import Holdout, Strata, Stratum, is_held_out
from diffusegae.images import ImageError, decode_image, encode_image

_READ_THREADS = 8
_Row = dict[str, bytes | str | int | bool]
_Codes = Mapping[str, Mapping[str, int]]


class UnitRecord(BaseModel):
    """What became of a unit; `shard` is None if no image of it could be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: int
    shard: Shard | None
    value_counts: dict[str, tuple[int, ...]] = Field(description="Rows per value of each vocabulary.")
    train_counts: dict[str, tuple[int, ...]] = Field(description="Training rows per value of each vocabulary.")
    held_counts: tuple[int, int, int] = Field(description="Held-out rows of each stratum.")
    skipped: tuple[Skipped, ...]

    @property
    def num_rows(self) -> int:
        """Rows of the shard."""
        return self.shard.num_rows if self.shard else 0


@dataclass(frozen=True)
class UnitWriter:
    """Write the shards of a data set at `uri`, one per unit of the source, with records at `records_uri`."""

    source: Source
    recipe: Recipe
    holdout: Holdout
    uri: str
    records_uri: str

    def __call__(self, unit: int) -> int:
        """Write a unit's shard and then its record; return the number of rows."""
        rows, strata, skipped = self._read_rows(unit)
        is_train = ~rows[HELD_OUT].to_numpy()
        shard = None
        if rows.num_rows:
            data = encode_shard(rows)
            shard = describe_shard(shard_name(unit), data, int(is_train.sum()))
            storage.write_bytes(storage.join(self.uri, shard.path), data)
        seen, pair, instance = np.bincount(strata[~is_train], minlength=len(Stratum)).tolist()
        record = UnitRecord(
            unit=unit,
            shard=shard,
            value_counts=self._count(rows),
            train_counts=self._count(rows.filter(is_train)),
            held_counts=(seen, pair, instance),
            skipped=tuple(skipped),
        )
        storage.write_bytes(record_uri(self.records_uri, unit), record.model_dump_json().encode())
        return record.num_rows

    def _count(self, rows: pa.Table) -> dict[str, tuple[int, ...]]:
        return {
            column: tuple(np.bincount(rows[column].to_numpy(), minlength=len(values)).tolist())
            for column, values in self.source.vocabularies.items()
        }

    def _read_rows(self, unit: int) -> tuple[pa.Table, Int8[np.ndarray, " rows"], list[Skipped]]:
        """Return a unit's rows in mixed order, the stratum of each, and what was left out."""
        vocabularies = self.source.vocabularies
        codes = {column: {v: code for code, v in enumerate(values)} for column, values in vocabularies.items()}
        rows: list[_Row] = []
        skipped: list[Skipped] = []
        for item in self.source.read(unit):
            row = item if isinstance(item, Skipped) else self._to_row(item, codes)
            if isinstance(row, Skipped):
                skipped.append(row)
            else:
                rows.append(row)
        labels = {column: np.array([row[column] for row in rows], np.int32) for column in codes}
        strata = Strata(self.holdout, vocabularies).of(labels)
        held_out = is_held_out((str(row[KEY]) for row in rows), self.holdout.images) | (strata != Stratum.SEEN)
        for row, is_out in zip(rows, held_out, strict=True):
            row[HELD_OUT] = bool(is_out)
        # Mixed, because a source lists what is alike side by side and readers take a shard from its start.
        order = np.random.default_rng(unit).permutation(len(rows))
        return pa.Table.from_pylist([rows[row] for row in order], image_schema(tuple(codes))), strata[order], skipped

    def _to_row(self, item: SourceImage, codes: _Codes) -> _Row | Skipped:
        size, encoding = self.recipe.image_size, self.recipe.encoding
        try:
            pixels = decode_image(item.content, size) if isinstance(item.content, bytes) else item.content
        except ImageError as error:
            return Skipped(item.path, "image does not decode", str(error))
        labels = {column: code_of[item.labels[column]] for column, code_of in codes.items()}
        return {IMAGE: encode_image(pixels, encoding, self.recipe.quality), KEY: item.key, **labels}


def record_uri(records_uri: str, unit: int) -> str:
    """Return where the record of a unit is."""
    return storage.join(records_uri, f"{unit:05d}.json")


def read_records(records_uri: str) -> list[UnitRecord]:
    """Read the records of all units done so far, in the order of the units."""
    paths = storage.list_files(records_uri, ".json")
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        records = list(pool.map(lambda path: UnitRecord.model_validate_json(storage.read_bytes(path)), paths))
    return sorted(records, key=lambda record: record.unit)
