"""Units: pictures of all kinds in, rows and reasons out."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image

from diffusegae.data.records import IMAGE, KEY, Skipped, SourceImage
from diffusegae.data.shards import Recipe
from diffusegae.data.splits import Combinations, Holdout
from diffusegae.data.totals import Totals, iterate_records
from diffusegae.data.units import UnitRecord, UnitWriter
from diffusegae.images import Framing, Resize, decode_image
from tests.picture_files import FILES, HEIGHT, PIXELS, saved
from tests.test_images import REFUSED

CROP = Framing()

Content = bytes | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Listed:
    """A source of one unit that holds what it is given."""

    contents: dict[str, Content]
    vocabularies: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"letter": ("a", "b")})
    fingerprint: str = ""
    num_units: int = 1

    def combinations(self, columns: object) -> Combinations:
        raise NotImplementedError

    def read(self, unit: int) -> Iterator[SourceImage | Skipped]:
        for number, (key, content) in enumerate(self.contents.items()):
            yield SourceImage(key, f"{key}.png", {"letter": "ab"[number % 2]}, content)


def written(
    root: Path, contents: dict[str, Content], size: int, framing: Framing = CROP
) -> tuple[dict[str, npt.NDArray[np.uint8]], UnitRecord]:
    """Write a unit; return the pixels of its rows by key, and its record."""
    recipe = Recipe(
        source="folder", source_config={}, columns=("letter",), image_size=size, resize=framing.resize,
        background=framing.background, encoding="png", quality=0, holdout={}, shard_rows=100,
    )  # fmt: skip
    UnitWriter(Listed(contents), recipe, Holdout(images=10), str(root), str(root / "units"))(0)
    (record,) = iterate_records(str(root / "units"))
    rows = pq.read_table(root / record.shard.path).to_pylist() if record.shard else []
    for row in rows:
        assert row["letter"] == list(contents).index(row[KEY]) % 2
    return {row[KEY]: decode_image(row[IMAGE]) for row in rows}, record


def test_pictures_as_people_have_them_are_stored_as_they_show(tmp_path: Path) -> None:
    rows, record = written(tmp_path, {file.name: file.data for file in FILES}, HEIGHT)
    assert not record.skipped
    assert len(rows) == record.num_rows == len(FILES)
    assert list(rows) != [file.name for file in FILES]  # mixed
    for file in FILES:
        assert np.abs(rows[file.name].astype(int) - file.pixels[:, 4:20]).max() <= file.tolerance, file.name


def test_what_is_not_read_is_skipped_with_its_reason(tmp_path: Path) -> None:
    contents: dict[str, Content] = {name: data for name, (data, *_) in REFUSED.items()}
    rows, record = written(tmp_path, {**contents, "good": PIXELS}, HEIGHT)
    assert list(rows) == ["good"]
    assert {(item.path, item.reason) for item in record.skipped} == {
        (f"{name}.png", reason) for name, (_, reason, _) in REFUSED.items()
    }


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_pixels_of_any_size_are_framed_as_files_are(resize: Resize, tmp_path: Path) -> None:
    framing = Framing(resize, "#204060")
    pictures = {"wide": PIXELS, "high": PIXELS.transpose(1, 0, 2).copy(), "right": PIXELS[:, :HEIGHT].copy()}
    files: dict[str, Content] = {f"{name} file": saved(pixels, "PNG") for name, pixels in pictures.items()}
    rows, _ = written(tmp_path, {**pictures, **files}, HEIGHT, framing)
    for name, pixels in pictures.items():
        assert np.array_equal(rows[name], rows[f"{name} file"])
        assert np.array_equal(rows[name], decode_image(saved(pixels, "PNG"), HEIGHT, framing))
    assert np.array_equal(rows["right"], pictures["right"])


@pytest.mark.parametrize(("resize", "expected"), [("crop", 3), ("pad", 2), ("stretch", 3)])
def test_enlarged_pictures_are_counted(
    resize: Resize, expected: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    small, large = PIXELS[:8, :8].copy(), np.zeros((200, 300, 3), np.uint8)
    contents: dict[str, Content] = {
        "small": small, "small file": saved(small, "JPEG"), "turned": saved(PIXELS, "JPEG", exif=exif),
        "large": saved(large, "JPEG"), "bad": b"no picture",
    }  # fmt: skip
    _, record = written(tmp_path, contents, 20, Framing(resize))
    assert (record.enlarged, record.num_rows) == (expected, 4)
    totals = Totals.read(str(tmp_path / "units"), {"letter": ("a", "b")})
    with caplog.at_level(logging.WARNING):
        totals.warn_of_enlarged(20)
        replace(totals, enlarged=0).warn_of_enlarged(20)
    (message,) = caplog.messages
    assert message == f"{expected} of 4 pictures are smaller than image_size 20 and were enlarged"


def test_values_that_no_row_shows_take_no_place_in_a_record(tmp_path: Path) -> None:
    _, record = written(tmp_path, {"one": PIXELS}, HEIGHT)
    assert record.value_counts == {"letter": {0: 1}}
    totals = Totals.read(str(tmp_path / "units"), {"letter": tuple(map(str, range(20_000)))})
    assert (totals.value_counts["letter"].sum(), totals.value_counts["letter"][0]) == (1, 1)


def test_records_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    _, record = written(tmp_path, {"one": PIXELS}, HEIGHT)
    old = json.loads(record.model_dump_json(exclude={"enlarged"})) | {"value_counts": {"letter": [1, 0]}}
    read = UnitRecord.model_validate_json(json.dumps(old))
    assert (read.enlarged, read.value_counts) == (0, {"letter": {0: 1}})
