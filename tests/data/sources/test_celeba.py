"""CelebA: attributes and identities by file from a folder and a .zip, and tables that are damaged."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from diffusegae.data.records import SourceError
from diffusegae.images import decode_image
from tests.data.sources.conftest import Ingest
from tests.image_files import picture, write_tree, write_zip

SIZE = 16
NAMES = "5_o_Clock_Shadow Male Smiling Young"
COUNT = 12
FILES = {f"img_align_celeba/{number:06d}.jpg": picture(number, "JPEG") for number in range(1, COUNT + 1)}


def row(number: int, cells: str) -> str:
    return f"{number:06d}.jpg {cells}\n"


def write_table(root: Path, first: str = f"{COUNT}\n", names: str = f"{NAMES} \n", last: str = "") -> str:
    """Write list_attr_celeba.txt, with as many spaces as there; Male by the second bit of the number, Smiling by the
    first."""
    rows = (row(n, f"-1 {1 if n & 2 else -1:2d} {1 if n & 1 else -1:2d}  1") for n in range(1, COUNT + 1))
    (root / "list_attr_celeba.txt").write_text(first + names + "".join(rows) + last)
    return str(root / "list_attr_celeba.txt")


@pytest.mark.parametrize(("name", "write"), [("img_align_celeba", write_tree), ("img_align_celeba.zip", write_zip)])
def test_every_face_has_its_attributes(
    name: str, write: Callable[[Path, Mapping[str, bytes]], str], tmp_path: Path, ingested: Ingest
) -> None:
    (tmp_path / "identity_CelebA.txt").write_text("".join(row(n, str(2880 + n % 3)) for n in range(COUNT, 0, -1)))
    source = {
        "kind": "celeba",
        "images": write(tmp_path / name, FILES),
        "table": write_table(tmp_path),
        "identities": str(tmp_path / "identity_CelebA.txt"),
    }
    found = ingested(source, ("Smiling", "Male", "identity"), SIZE)
    assert found.manifest.num_rows == COUNT
    assert found.manifest.columns["Male"] == ("no", "yes")
    for number in range(1, COUNT + 1):
        male, smiling = ("yes" if number & bit else "no" for bit in (2, 1))
        expected = {"Smiling": smiling, "Male": male, "identity": str(2880 + number % 3)}
        assert found.labels[f"{number:06d}.jpg"] == expected
        pixels = decode_image(FILES[f"img_align_celeba/{number:06d}.jpg"], SIZE)
        assert np.array_equal(found.pixels[f"{number:06d}.jpg"], pixels)


def test_files_without_a_row_and_rows_without_a_file_are_counted(tmp_path: Path, ingested: Ingest) -> None:
    files = dict(list(FILES.items())[:-1]) | {"img_align_celeba/000099.jpg": picture(99, "JPEG")}
    images = write_tree(tmp_path / "faces", files)
    found = ingested({"kind": "celeba", "images": images, "table": write_table(tmp_path)}, ("Smiling", "Male"), SIZE)
    assert found.manifest.num_rows == COUNT - 1
    assert found.manifest.skipped == {"file without a row": 1, "missing file": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": "NAME\n"}, "expected the number of pictures, then the attributes"),
        ({"first": f"{COUNT + 1}\n"}, "12 rows, its first line says 13"),
        ({"names": "Male Young\n"}, "has no attribute 'Smiling', .* it has: Male Young"),
        ({"last": "000099.jpg -1 1 -1\n"}, "line 15: expected a file and 4 times 1 or -1, got '000099.jpg"),
        ({"last": "000099.jpg -1 0 -1 1\n"}, "line 15: expected a file"),
    ],
)
def test_a_damaged_table_is_named(settings: dict[str, str], message: str, tmp_path: Path, ingested: Ingest) -> None:
    source = {"kind": "celeba", "images": write_tree(tmp_path, FILES), "table": write_table(tmp_path, **settings)}
    with pytest.raises(SourceError, match=message):
        ingested(source, ("Smiling", "Male"), SIZE)


def test_what_is_missing_is_named(tmp_path: Path, ingested: Ingest) -> None:
    images = write_tree(tmp_path, FILES)
    with pytest.raises(SourceError, match=r"list_attr_celeba\.txt: nothing is there"):
        ingested(
            {"kind": "celeba", "images": images, "table": str(tmp_path / "list_attr_celeba.txt")},
            ("Male", "Young"),
            SIZE,
        )
    source = {"kind": "celeba", "images": images, "table": write_table(tmp_path)}
    with pytest.raises(SourceError, match=r"set data\.source\.identities to identity_CelebA\.txt"):
        ingested(source, ("Male", "identity"), SIZE)
    (tmp_path / "identity_CelebA.txt").write_text(row(1, "7"))
    source |= {"identities": str(tmp_path / "identity_CelebA.txt")}
    with pytest.raises(SourceError, match=r"identity_CelebA\.txt: no line for 000002\.jpg"):
        ingested(source, ("Male", "identity"), SIZE)
