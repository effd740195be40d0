"""iLab's names: what they say, what is no name, and the same listing from every container."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from diffusegae.data.containers import container_kind
from diffusegae.data.index import PATH
from diffusegae.data.sources.ilab import LABEL_COLUMNS, list_ilab, parse_names
from diffusegae.images import decode_image
from tests.data.sources.conftest import Ingest
from tests.image_files import ILAB_CATEGORIES, ilab_files, write_tar, write_tree, write_zip


def test_a_name_says_everything() -> None:
    (row,) = parse_names(pa.array(["train_img_c00_10class/c00_r00/car-i0160-b0001-c00-r00-l0-f1.png"])).to_pylist()
    assert row == {
        "key": "car-i0160-b0001-c00-r00-l0-f1",
        "category": "car",
        "instance": "car-i0160",
        "background": "b0001",
        "pose": "c00_r00",
        "light": "l0",
        "focus": "f1",
    }


@pytest.mark.parametrize("path", ["f1car-i0001-b0417-c10-r07-l4-f3.jpg", "mil-i0001-b0417-c10-r07-l4-f3.JPEG"])
def test_all_categories_and_endings_are_read(path: str) -> None:
    (row,) = parse_names(pa.array([path])).to_pylist()
    assert row["category"] == path.partition("-")[0]
    assert row["pose"] == "c10_r07"


@pytest.mark.parametrize(
    "path",
    [
        "readme.txt",
        "car-i0160-b0001-c00-r00-l0-f1.txt",
        "car-i0160-b0001-c00-r00-l0.png",
        "car-b0001-i0160-c00-r00-l0-f1.png",
        "__MACOSX/._car-i0160-b0001-c00-r00-l0-f1.png",
        "car-i0160-b0001-c00-r00-l0-f1.png.part",
        "",
    ],
)
def test_other_names_give_nothing(path: str) -> None:
    (row,) = parse_names(pa.array([path])).to_pylist()
    assert set(row.values()) == {None}


@pytest.mark.parametrize(("name", "write"), [("tree", write_tree), ("set.zip", write_zip), ("set.tar", write_tar)])
def test_every_container_lists_the_same(
    name: str, write: Callable[[Path, Mapping[str, bytes]], str], tmp_path: Path
) -> None:
    files = ilab_files() | {"train_img_c00_10class/readme.txt": b"text"}
    uri = write(tmp_path / name, files)
    (listing,) = list_ilab(uri, container_kind(uri))
    assert sorted(listing.table[PATH].to_pylist()) == sorted(path for path in files if not path.endswith("txt"))
    assert set(LABEL_COLUMNS) < set(listing.table.column_names)
    assert [item.path for item in listing.skipped] == ["train_img_c00_10class/readme.txt"]
    assert listing.skipped[0].reason == "name of another layout"


def test_a_folder_of_tars_a_category_each_is_one_set(tmp_path: Path, ingested: Ingest) -> None:
    files = ilab_files(num_instances=3)
    for category in ILAB_CATEGORIES:
        write_tar(tmp_path / f"{category}.tar", {path: data for path, data in files.items() if f"/{category}-" in path})
    (tmp_path / "notes.txt").write_text("text")
    found = ingested({"kind": "ilab", "uri": str(tmp_path)}, ("category", "pose"), 16)
    assert found.manifest.num_rows == len(files)
    for path, content in files.items():
        key = Path(path).stem
        assert found.labels[key]["category"] == key.partition("-")[0]
        assert np.array_equal(found.pixels[key], decode_image(content, 16))


def test_long_sets_are_listed_in_pieces(tmp_path: Path) -> None:
    root = write_tree(tmp_path, files := ilab_files())
    sizes = [listing.table.num_rows for listing in list_ilab(root, "folder", rows=7)]
    assert max(sizes) == 7
    assert sum(sizes) == len(files)
