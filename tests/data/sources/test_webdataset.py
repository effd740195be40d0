"""WebDataset: labels from the files beside each picture, one tar or many, and samples that lack something."""

import json
from pathlib import Path

import numpy as np
import pytest

from diffusegae.data.records import SourceError
from diffusegae.images import decode_image
from tests.data.sources.conftest import Ingest
from tests.image_files import picture, write_tar

SIZE = 16
ENCODINGS = (("jpg", "JPEG"), ("PNG", "PNG"), ("webp", "WEBP"), ("jpeg", "JPEG"))


def shard(number: int) -> dict[str, bytes]:
    """Return the files of a shard: labels before or behind each picture, nested and as a class."""
    files: dict[str, bytes] = {}
    for n in range(8):
        key = f"part.1/{number}{n:03d}"
        ending, encoding = ENCODINGS[n % 4]
        labels = {"mood": f"m{n % 2}", "face": {"age": n % 3}}
        parts = {
            "json": json.dumps(labels).encode(),
            ending: picture(8 * number + n, encoding),
            "cls": f"{n % 4}\n".encode(),
        }
        files |= {f"{key}.{name}": content for name, content in (sorted if n % 2 else list)(parts.items())}
    return files


def test_every_sample_has_its_labels(tmp_path: Path, ingested: Ingest) -> None:
    for number in range(3):
        write_tar(tmp_path / f"shard-{number:06d}.tar", shard(number))
    found = ingested({"kind": "webdataset", "uri": str(tmp_path)}, ("mood", "face.age", "label"), SIZE)
    assert found.manifest.num_rows == 24
    for number in range(3):
        files = shard(number)
        for n in range(8):
            key = f"part.1/{number}{n:03d}"
            labels = {"mood": f"m{n % 2}", "face.age": str(n % 3), "label": str(n % 4)}
            assert found.labels[f"shard-{number:06d}.tar/{key}"] == labels
            content = files[f"{key}.{ENCODINGS[n % 4][0]}"]
            assert np.array_equal(found.pixels[f"shard-{number:06d}.tar/{key}"], decode_image(content, SIZE))


def test_one_tar_alone_is_read(tmp_path: Path, ingested: Ingest) -> None:
    uri = write_tar(tmp_path / "set.tar", shard(0))
    found = ingested({"kind": "webdataset", "uri": uri}, ("mood", "label"), SIZE)
    assert sorted(found.labels) == [f"part.1/0{n:03d}" for n in range(8)]


def test_samples_that_lack_something_are_skipped_with_a_reason(tmp_path: Path, ingested: Ingest) -> None:
    label = json.dumps({"mood": "m0", "size": 1}).encode()
    others = {
        "readme": b"text",
        "a.json": label,
        "b.left.png": picture(1), "b.json": label,
        "c.png": picture(1), "c.jpg": picture(1, "JPEG"), "c.json": label,
        "d.png": picture(1), "d.json": b"{",
        "e.png": picture(1), "e.json": b"[1]",
        "f.png": picture(1), "f.json": b'{"mood": "m0"}',
        "g.png": picture(1),
        "h.png": b"no picture", "h.json": label,
        "i.png": picture(1), "i.json": b"\xff\xfe\xff",
    }  # fmt: skip
    whole = {f"w{n}.{end}": data for n in range(4) for end, data in
             (("png", picture(n)), ("json", json.dumps({"mood": f"m{n % 2}", "size": n // 2}).encode()))}  # fmt: skip
    uri = write_tar(tmp_path / "set.tar", others | whole)
    found = ingested({"kind": "webdataset", "uri": uri}, ("mood", "size"), SIZE)
    assert sorted(found.labels) == ["f", "g", "w0", "w1", "w2", "w3"]
    assert found.labels["f"] == {"mood": "m0", "size": None}
    assert found.labels["g"] == {"mood": None, "size": None}
    assert found.manifest.skipped == {
        "sample without a picture": 3,
        "sample of several pictures": 1,
        "unreadable labels": 3,
        "image does not decode": 1,
    }


def test_what_is_no_webdataset_is_named(tmp_path: Path, ingested: Ingest) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    with pytest.raises(SourceError, match=r"expected a \.tar or a folder of \.tar files"):
        ingested({"kind": "webdataset", "uri": str(tmp_path)}, ("mood", "size"), SIZE)
    cut = tmp_path / "shards" / "b.tar"
    cut.parent.mkdir()
    write_tar(cut.with_name("a.tar"), shard(0))
    cut.write_bytes(Path(write_tar(cut, shard(1))).read_bytes()[:5000])
    with pytest.raises(SourceError, match=r"shards/b\.tar: not a whole tar"):
        ingested({"kind": "webdataset", "uri": str(cut.parent)}, ("mood", "label"), SIZE)


def test_a_column_that_no_sample_has_is_named(tmp_path: Path, ingested: Ingest) -> None:
    uri = write_tar(tmp_path / "set.tar", shard(0))
    with pytest.raises(SourceError, match=r"no image has a label 'hue'; one has: .*mood"):
        ingested({"kind": "webdataset", "uri": uri}, ("mood", "hue"), SIZE)
