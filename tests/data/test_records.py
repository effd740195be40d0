"""Rows: their columns, and the report of what is no row."""

import json

import pyarrow as pa

from diffusegae.data.records import (
    HELD_OUT,
    IMAGE,
    KEY,
    LATENT,
    Skipped,
    image_schema,
    latent_schema,
    to_lines,
)


def test_image_rows_hold_bytes_and_one_integer_per_label() -> None:
    schema = image_schema(("letter", "font"))
    assert schema.names == [IMAGE, KEY, HELD_OUT, "letter", "font"]
    assert schema.field("font").type == pa.int32()
    assert schema.field(IMAGE).type == pa.binary()


def test_latent_rows_hold_a_vector_of_fixed_width() -> None:
    schema = latent_schema(("letter",), width=512)
    assert schema.field(LATENT).type == pa.list_(pa.float32(), 512)
    assert IMAGE not in schema.names


def test_skipped_files_become_one_line_each() -> None:
    lines = to_lines([Skipped("a\nb.png", "missing file", "détail"), Skipped("c.png", "repeated key", "")])
    assert len(lines) == 2
    assert json.loads(lines[0]) == {"path": "a\nb.png", "reason": "missing file", "detail": "détail"}
    assert b"\n" not in lines[0]
