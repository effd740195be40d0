"""A unit of ingest: read some images, decode, resize, encode, write one shard and its prints, then a record of it.

The record is written last and in one piece. A unit without a record is done again from the start and replaces whatever
an earlier attempt left, so being killed at any moment loses no row and doubles none.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from jaxtyping import Int8
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, field_validator

from diffusegae import storage
from diffusegae.data.prints import Prints, make_prints, prints_uri, reduce_picture
from diffusegae.data.records import HELD_OUT, IMAGE, KEY, MISSING, Skipped, image_schema
from diffusegae.data.shards import Recipe, Shard, describe_shard, encode_shard, shard_name
from diffusegae.data.sources.source import Source
from diffusegae.data.splits import Holdout, Strata, Stratum, is_held_out
from diffusegae.formats import ImageError
from diffusegae.images import encode_image, fit, open_image, to_picture

Counts = dict[int, int]  # label → rows; what no row shows is absent, for a column may have many thousands of values


class UnitRecord(BaseModel):
    """What became of a unit; `shard` is None if no image of it could be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: int
    shard: Shard | None
    value_counts: dict[str, Counts] = Field(description="Rows per label of each column.")
    train_counts: dict[str, Counts] = Field(description="Training rows per label of each column.")
    held_counts: tuple[int, int, int] = Field(description="Held-out rows of each stratum.")
    skipped: tuple[Skipped, ...]
    enlarged: int = Field(0, description="Rows whose picture was smaller than the stored images.")

    @field_validator("value_counts", "train_counts", mode="before")
    @classmethod
    def _read_lists(cls, columns: dict[str, Any]) -> dict[str, Any]:
        """Read what earlier versions wrote: a number for every value."""
        return {
            name: {label: count for label, count in enumerate(counts) if count} if isinstance(counts, list) else counts
            for name, counts in columns.items()
        }

    @property
    def num_rows(self) -> int:
        """Rows of the shard."""
        return self.shard.num_rows if self.shard else 0


class _Rows(NamedTuple):
    """What a unit holds: rows in mixed order, their prints and strata, what was left out, how many were enlarged."""

    table: pa.Table
    prints: Prints
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
        """Write a unit's shard, its prints and then its record; return the number of rows."""
        rows, prints, strata, skipped, enlarged = self._read_rows(unit)
        is_train = ~rows[HELD_OUT].to_numpy()
        shard = None
        if rows.num_rows:
            data = encode_shard(rows)
            shard = describe_shard(shard_name(unit), data, int(is_train.sum()))
            storage.write_bytes(storage.join(self.uri, shard.path), data)
            storage.write_bytes(prints_uri(self.records_uri, unit), prints.to_bytes())
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

    def _count(self, rows: pa.Table) -> dict[str, Counts]:
        return {column: count_labels(rows[column].to_numpy()) for column in self.source.vocabularies}

    def _read_rows(self, unit: int) -> _Rows:
        """Return a unit's rows in mixed order, and what was left out."""
        vocabularies = self.source.vocabularies
        codes = {column: {v: code for code, v in enumerate(values)} for column, values in vocabularies.items()}
        images: list[bytes] = []
        reduced: list[Image.Image] = []
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
            reduced.append(reduce_picture(picture))
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
        return _Rows(table.take(order), make_prints(images, reduced).take(order), strata[order], skipped, enlarged)

    def _picture(self, content: bytes | npt.NDArray[np.uint8]) -> tuple[Image.Image, bool]:
        """Return a picture as the recipe has it, and whether it was enlarged for that; ImageError if it is none."""
        size, framing = self.recipe.image_size, self.recipe.framing
        if not isinstance(content, bytes):
            image = Image.fromarray(content)
            return fit(image, size, framing), framing.enlarges(image.size, size)
        with open_image(content) as opened:
            is_enlarged = framing.enlarges(opened.size, size)
            return to_picture(opened, size, framing), is_enlarged


def count_labels(labels: npt.NDArray[np.int32]) -> Counts:
    """Count the rows of each label; MISSING is none."""
    found, counts = np.unique(labels[labels != MISSING], return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def record_uri(records_uri: str, unit: int) -> str:
    """Return where the record of a unit is."""
    return storage.join(records_uri, f"{unit:05d}.json")
