"""The page of a data set: what it says, in one file, and that it fits a wide screen and a narrow one."""

from pathlib import Path

import numpy as np
import pytest

from diffusegae import storage
from diffusegae.data.findings import DATA_PAGE, find, write_findings
from diffusegae.data.prints import Prints
from diffusegae.data.records import Skipped
from diffusegae.data.shards import Manifest, load_labels, read_manifest, write_manifest
from diffusegae.data.skipped import write_skipped
from diffusegae.report.data_page import write_data_page
from diffusegae.schema import AttributeSpec, build_schema
from tests.report.conftest import parse
from tests.serve.browser import chromium, executable
from tests.stored_images import write_images

NASTY = '<img src=x onerror="alert(1)">'


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A set that has something of everything: an absent pair, a copy with another label, skipped files, many values."""
    root = str(tmp_path / "set")
    manifest = write_images(root, {"kind": 3, "ground": 14, "ink": 2}, [(0, 0, 0), (0, 0, 1)])
    manifest = _rename(manifest).model_copy(update={"skipped": {"missing file": 2, "image does not decode": 1}})
    schema = build_schema({name: AttributeSpec(width=4) for name in manifest.columns}, manifest.columns)
    labels = load_labels(root, manifest)
    prints = Prints(*np.random.default_rng(0).integers(0, 2**60, (3, len(labels))).astype(np.uint64))
    held, train = (np.flatnonzero(labels.held_out == side) for side in (True, False))
    prints.copy[held[0]] = prints.copy[train[0]]
    write_skipped(root, root, [Skipped("a.png", "missing file", ""), Skipped("b.png", "missing file", NASTY),
                               Skipped("c.png", "image does not decode", "9 bytes")])  # fmt: skip
    write_findings(root, find(manifest, schema, labels, prints))
    write_manifest(root, manifest)
    return root


def _rename(manifest: Manifest) -> Manifest:
    return manifest.model_copy(update={"columns": manifest.columns | {"kind": ("kind0", NASTY, "kind2")}})


def test_the_page_says_what_was_found_in_one_file(root: str) -> None:
    address = write_data_page(root)
    assert address == storage.join(root, DATA_PAGE)
    page = storage.read_bytes(address).decode()
    shown = parse(page)
    assert "<img src=x" not in page
    assert 'src="http' not in page
    assert "82 images of 32 px" in page
    held = read_manifest(root).num_held_out
    assert f"1 of {held} held-out images are (nearly) in training" in page
    assert "Exact copy" in page
    assert "other " in page
    assert "Never together, with the images that chance would show: kind0 with ground0" in page
    assert "The 12 most frequent values; 2 more are not shown." in page
    assert "3.5%" in page  # skipped
    assert [cell.split("\n")[0] for cell in _row(shown.rows, "missing file")][:3] == ["missing file", "2", "2.4%"]
    assert page.count("data:image/webp") == 3 + 12 + 2 + 2


def _row(rows: list[list[str]], title: str) -> list[str]:
    return next(row for row in rows if row and row[0] == title)


def test_the_page_is_drawn_once_and_anew_for_other_findings(root: str) -> None:
    address = write_data_page(root)
    storage.write_bytes(address, b"kept")
    write_data_page(root)
    assert storage.read_bytes(address) == b"kept"
    manifest = write_images(root, {"kind": 3, "ground": 3})
    schema = build_schema({name: AttributeSpec(width=4) for name in manifest.columns}, manifest.columns)
    write_findings(root, find(manifest, schema, load_labels(root, manifest), None))
    page = storage.read_bytes(write_data_page(root)).decode()
    assert "9 images of 32 px" in page
    assert "Not compared" in page


def test_a_set_of_before_has_no_page(tmp_path: Path) -> None:
    write_images(str(tmp_path), {"kind": 3, "ground": 3})
    assert write_data_page(str(tmp_path)) == ""
    assert not (tmp_path / DATA_PAGE).exists()


@pytest.mark.skipif(executable() is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_and_every_picture_shows(root: str, width: int) -> None:
    address = write_data_page(root)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"file://{address}")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
