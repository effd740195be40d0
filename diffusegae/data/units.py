"""A unit of ingest: read some images, decode, resize, encode, write one shard, and then a record that it is done.

The record is written last and in one piece. A unit without a record is done again from the start and replaces whatever
an earlier attempt left, so being killed at any moment loses no row and doubles none.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from jaxtyping import Int8
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from diffusegae import storage
from diffusegae.data.records import HELD_OUT, IMAGE, KEY, MISSING, Skipped, image_schema
from diffusegae.data.shards import Recipe, Shard, describe_shard, encode_shard, shard_name
from diffusegae.data.sources.source import Source
from diffusegae.data.splits import Holdout, Strata, Stratum, is_held_out
from diffusegae.formats import ImageError
from diffusegae.images import encode_image, fit, open_image, to_picture

_READ_THREADS = 8
_logger = logging.getLogger(__name__)


class UnitRecord(BaseModel):
    """What became of a unit; `shard` is None if no image of it could be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: int
    shard: Shard | None
    value_counts: dict[str, tuple[int, ...]] = Field(description="Rows per value of each vocabulary.")
    train_counts: dict[str, tuple[int, ...]] = Field(description="Training rows per value of each vocabulary.")
    held_counts: tuple[int, int, int] = Field(description="Held-out rows of each stratum.")
    skipped: tuple[Skipped, ...]
    enlarged: int = Field(0, description="Rows whose picture was smaller than the stored images.")

    @property
    def num_rows(self) -> int:
        """Rows of the shard."""
        return self.shard.num_rows if self.shard else 0


class _Rows(NamedTuple):
    """What a unit holds: rows in mixed order, the stratum of each, what was left out, how many were enlarged."""

    table: pa.Table
    strata: Int8[np.ndarray, " rows"]
    skipped: list[Skipped]
    enlarged: int


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
        rows, strata, skipped, enlarged = self._read_rows(unit)
        is_train = ~rows[HELD_OUT].to_numpy()
        shard = None
        if rows.num_rows:
            data = encode_shard(rows)
            shard = describe_shard(shard_name(unit), data, int(is_train.sum()))
            storage.write_bytes(storage.join(self.uri, shard.path), data)
        labelled = np.all([rows[column].to_numpy() != MISSING for column in self.source.vocabularies], axis=0)
        seen, pair, instance = np.bincount(strata[~is_train & labelled], minlength=len(Stratum)).tolist()
        record = UnitRecord(
            unit=unit,
            shard=shard,
            value_counts=self._count(rows),
            train_counts=self._count(rows.filter(is_train)),
            held_counts=(seen, pair, instance),
            skipped=tuple(skipped),
            enlarged=enlarged,
        )
        storage.write_bytes(record_uri(self.records_uri, unit), record.model_dump_json().encode())
        return record.num_rows

    def _count(self, rows: pa.Table) -> dict[str, tuple[int, ...]]:
        return {
            column: count_labels(rows[column].to_numpy(), len(values))
            for column, values in self.source.vocabularies.items()
        }

    def _read_rows(self, unit: int) -> _Rows:
        """Return a unit's rows in mixed order, and what was left out."""
        vocabularies = self.source.vocabularies
        codes = {column: {v: code for code, v in enumerate(values)} for column, values in vocabularies.items()}
        images: list[bytes] = []
        keys: list[str] = []
        labels: dict[str, list[int]] = {column: [] for column in codes}
        skipped: list[Skipped] = []
        enlarged = 0
        for item in self.source.read(unit):
            if isinstance(item, Skipped):
                skipped.append(item)
                continue
            try:
                picture, is_enlarged = self._picture(item.content)
            except ImageError as error:
                skipped.append(Skipped(item.path, error.reason, str(error)))
                continue
            images.append(encode_image(picture, self.recipe.encoding, self.recipe.quality))
            keys.append(item.key)
            enlarged += is_enlarged
            for column, code_of in codes.items():
                label = item.labels[column]
                labels[column].append(MISSING if label is None else code_of[label])
        columns = {column: np.array(numbers, np.int32) for column, numbers in labels.items()}
        strata = Strata(self.holdout, vocabularies).of(columns)
        held_out = is_held_out(keys, self.holdout.images) | (strata != Stratum.SEEN)
        # Mixed, because a source lists what is alike side by side and readers take a shard from its start.
        order = np.random.default_rng(unit).permutation(len(keys))
        table = pa.table({IMAGE: images, KEY: keys, HELD_OUT: held_out, **columns}, image_schema(tuple(codes)))
        return _Rows(table.take(order), strata[order], skipped, enlarged)

    def _picture(self, content: bytes | npt.NDArray[np.uint8]) -> tuple[Image.Image, bool]:
        """Return a picture as the recipe has it, and whether it was enlarged for that; ImageError if it is none."""
        size, framing = self.recipe.image_size, self.recipe.framing
        if not isinstance(content, bytes):
            image = Image.fromarray(content)
            return fit(image, size, framing), framing.enlarges(image.size, size)
        with open_image(content) as opened:
            is_enlarged = framing.enlarges(opened.size, size)
            return to_picture(opened, size, framing), is_enlarged


def count_labels(labels: npt.NDArray[np.int32], num_values: int) -> tuple[int, ...]:
    """Count the rows of each value; MISSING is none."""
    return tuple(np.bincount(labels[labels != MISSING], minlength=num_values).tolist())


def record_uri(records_uri: str, unit: int) -> str:
    """Return where the record of a unit is."""
    return storage.join(records_uri, f"{unit:05d}.json")


def read_records(records_uri: str) -> list[UnitRecord]:
    """Read the records of all units done so far, in the order of the units."""
    paths = storage.list_files(records_uri, ".json")
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        records = list(pool.map(lambda path: UnitRecord.model_validate_json(storage.read_bytes(path)), paths))
    return sorted(records, key=lambda record: record.unit)


def warn_of_enlarged(records: Sequence[UnitRecord], image_size: int) -> None:
    """Log how many pictures had fewer pixels than the stored images, and so are blurred."""
    if enlarged := sum(record.enlarged for record in records):
        num_rows = sum(record.num_rows for record in records)
        are, were = ("is", "was") if enlarged == 1 else ("are", "were")
        message = "%s of %s pictures %s smaller than image_size %d and %s enlarged"
        _logger.warning(message, f"{enlarged:,}", f"{num_rows:,}", are, image_size, were)
