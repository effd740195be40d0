"""Records: the columns of every kind of row, declared once, and what a source hands to ingest."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from diffusegae.schema import ROW_COLUMNS

MISSING = -1  # the label of a row that has none
IMAGE, KEY, LATENT, PIXELS, HELD_OUT = ROW_COLUMNS  # pixels are decoded images, in memory only
NOT_A_PICTURE = "not a picture by its name"  # why a file is skipped that nobody would miss


class SourceError(ValueError):
    """A source of images that is missing, damaged, or lacks what the config asks of it."""


@dataclass(frozen=True)
class SourceImage:
    """One image as its source has it: a stable key, its label values, and encoded bytes or uint8 HWC pixels.

    A label is None where the source has none.
    """

    key: str
    path: str
    labels: Mapping[str, str | None]
    content: bytes | npt.NDArray[np.uint8]


class Skipped(NamedTuple):
    """A file that is not ingested: where it is, why in few words (they are counted), and the particulars."""

    path: str
    reason: str
    detail: str


def to_lines(skipped: Iterable[Skipped]) -> list[bytes]:
    """Return one JSON object per skipped file, the lines of `skipped.jsonl`."""
    return [json.dumps(item._asdict(), ensure_ascii=False).encode() for item in skipped]


def label_fields(columns: Sequence[str]) -> list[pa.Field]:
    """Return the fields of label columns (as `label_column` names them).

    A label indexes its column's vocabulary, or is MISSING.
    """
    return [pa.field(column, pa.int32(), nullable=False) for column in columns]


def image_schema(columns: Sequence[str]) -> pa.Schema:
    """Return the schema of image rows: encoded bytes, key, whether the row is held out, labels."""
    fixed = [
        pa.field(IMAGE, pa.binary(), nullable=False),
        pa.field(KEY, pa.string(), nullable=False),
        pa.field(HELD_OUT, pa.bool_(), nullable=False),
    ]
    return pa.schema([*fixed, *label_fields(columns)])


def latent_schema(columns: Sequence[str], width: int) -> pa.Schema:
    """Return the schema of latent rows: z (float32, `width` long) in the place of the image."""
    fixed = [
        pa.field(LATENT, pa.list_(pa.float32(), width), nullable=False),
        pa.field(KEY, pa.string(), nullable=False),
        pa.field(HELD_OUT, pa.bool_(), nullable=False),
    ]
    return pa.schema([*fixed, *label_fields(columns)])
