"""Hugging Face sets: metadata in each split's folder, folders as labels, Parquet with pictures, and damaged ones."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diffusegae import storage
from diffusegae.data.containers import Member
from diffusegae.data.index import build_index
from diffusegae.data.records import Skipped, SourceError
from diffusegae.data.sources.huggingface import HuggingfaceConfig, ParquetReader
from diffusegae.images import decode_image
from tests.data.sources.conftest import Ingest
from tests.image_files import picture, write_tree

SIZE = 16
SPLITS = ("train", "test")
FILES = {f"{split}/images/{n}.png": picture(n + len(split)) for split in SPLITS for n in range(6)}


def rows_of(split: str) -> list[dict[str, object]]:
    return [{"file_name": f"images/{n}.png", "mood": f"m{n % 2}", "size": n % 3, "note": None} for n in range(6)]


def write_metadata(folder: Path, rows: Sequence[dict[str, object]], ending: str) -> None:
    path = folder / f"metadata.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    else:
        lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_metadata_is_relative_to_its_own_folder(ending: str, tmp_path: Path, ingested: Ingest) -> None:
    root = write_tree(tmp_path / "data", FILES)
    for split in SPLITS:
        write_metadata(tmp_path / "data" / split, rows_of(split), ending)
    found = ingested({"kind": "huggingface", "uri": root}, ("mood", "size"), SIZE)
    assert found.manifest.num_rows == 12
    for path, content in FILES.items():
        n = int(Path(path).stem)
        assert found.labels[path] == {"mood": f"m{n % 2}", "size": str(n % 3)}
        assert np.array_equal(found.pixels[path], decode_image(content, SIZE))


def test_rows_that_lead_nowhere_are_skipped(tmp_path: Path, ingested: Ingest) -> None:
    root = write_tree(tmp_path / "data", FILES)
    rows = [
        *rows_of("train"),
        {"file_name": "../../x.png", "mood": "m0", "size": 1},
        {"file_name": "", "mood": "m0", "size": 1},
        {"file_name": "images/none.png", "mood": "m0", "size": 1},
        {"file_name": "images/../images/5.png", "mood": "m1", "size": 2},
        {"file_name": "images/5.png", "size": 1},
    ]
    write_metadata(tmp_path / "data" / "train", rows, "jsonl")
    found = ingested({"kind": "huggingface", "uri": root}, ("mood", "size"), SIZE)
    assert found.manifest.num_rows == 6
    assert found.manifest.skipped == {
        "path outside": 1, "row without a path": 1, "missing file": 1, "repeated key": 2,
    }  # fmt: skip


def test_without_metadata_the_folder_is_the_label(tmp_path: Path, ingested: Ingest) -> None:
    files = {
        f"{split}/{kind}/{n}.jpg": picture(n + len(kind), "JPEG")
        for split in SPLITS for kind in ("cat", "dog") for n in range(3)
    }  # fmt: skip
    root = write_tree(tmp_path / "data", files | {"README.md": b"text", "loose.png": picture(1)})
    found = ingested({"kind": "huggingface", "uri": root}, ("label", "label"), SIZE)
    assert found.manifest.num_rows == 12
    assert all(labels == {"label": path.split("/")[1]} for path, labels in found.labels.items())
    assert found.manifest.skipped == {"not a picture by its name": 1, "row without a label": 1}


def write_parquet(root: Path, plain: bool = False) -> dict[str, tuple[bytes, dict[str, str]]]:
    """Write two Parquet files as `push_to_hub` does, in row groups of 4; return content and labels by key."""
    expected = {}
    declared = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    (root / "data").mkdir(parents=True)
    for file in range(2):
        name = f"data/train-{file:05d}-of-00002.parquet"
        contents = [picture(10 * file + n) for n in range(10)]
        images = contents if plain else [{"bytes": data, "path": f"{n}.png"} for n, data in enumerate(contents)]
        columns = {
            "image": images,
            "label": [n % 2 for n in range(10)],
            "face": [{"age": n % 3, "x": 1} for n in range(10)],
        }
        table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(declared)})
        pq.write_table(table, root / name, row_group_size=4)
        for n, data in enumerate(contents):
            expected[f"{name}:{n}"] = (data, {"label": ("cat", "dog")[n % 2], "face.age": str(n % 3)})
    return expected


@pytest.mark.parametrize("plain", [False, True])
def test_parquet_files_hold_pictures_and_names_of_classes(plain: bool, tmp_path: Path, ingested: Ingest) -> None:
    expected = write_parquet(tmp_path / "hub", plain)
    found = ingested({"kind": "huggingface", "uri": str(tmp_path / "hub")}, ("label", "face.age"), SIZE)
    assert found.manifest.num_rows == 20
    for key, (content, labels) in expected.items():
        assert found.labels[key] == labels
        assert np.array_equal(found.pixels[key], decode_image(content, SIZE))


def test_one_parquet_file_alone_is_read(tmp_path: Path, ingested: Ingest) -> None:
    write_parquet(tmp_path / "hub")
    uri = tmp_path / "hub" / "data" / "train-00001-of-00002.parquet"
    found = ingested({"kind": "huggingface", "uri": str(uri)}, ("label", "face.age"), SIZE)
    assert sorted(found.labels) == sorted(f"{uri.name}:{n}" for n in range(10))


def test_only_the_row_groups_of_the_members_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = write_parquet(tmp_path / "hub")
    name = "data/train-00000-of-00002.parquet"
    read, groups = pq.ParquetFile.read_row_group, list[int]()

    def note(file: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
        groups.append(group)
        return read(file, group, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", note)
    members = [Member(name, row, 0, 0) for row in (1, 3, 8, 9)]
    contents = list(ParquetReader(str(tmp_path / "hub"), "image").read(members))
    assert contents == [expected[f"{name}:{row}"][0] for row in (1, 3, 8, 9)]
    assert groups == [0, 2]


def test_a_row_without_a_picture_is_skipped_and_a_class_of_none_is_no_label(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [{"bytes": None, "path": "a.png"}, None]}, pa.schema(
        {"image": pa.struct({"bytes": pa.binary(), "path": pa.string()})}.items()
    )), tmp_path / "a.parquet")  # fmt: skip
    found = list(ParquetReader(str(tmp_path), "image").read([Member("a.parquet", row, 0, 0) for row in range(2)]))
    detail = "column 'image' holds no bytes"
    assert found == [Skipped(f"a.parquet:{row}", "row without a picture", detail) for row in range(2)]
    declared = {"info": {"features": {"label": {"names": ["cat"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": [b"", b""], "label": [-1, 0]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(declared)}), tmp_path / "a.parquet")
    (listing,) = HuggingfaceConfig(uri=str(tmp_path)).listings(("label",))
    assert listing.table["label"].to_pylist() == [None, "cat"]


def test_a_bucket_is_read(tmp_path: Path, s3_root: str) -> None:
    write_parquet(tmp_path / "hub")
    storage.upload_directory(tmp_path / "hub", root := storage.join(s3_root, "hub"))
    config = HuggingfaceConfig(uri=root)
    index = build_index(str(tmp_path / "index"), config.listings(("label",)), ("label",), 4)
    assert index.num_rows == 20
    member = Member("data/train-00001-of-00002.parquet", 7, 0, 0)
    assert list(config.reader().read([member])) == [picture(17)]


def test_what_can_not_be_read_is_named(tmp_path: Path, ingested: Ingest) -> None:
    source = {"kind": "huggingface", "uri": str(tmp_path / "hub")}
    with pytest.raises(SourceError, match="nothing is there"):
        ingested(source, ("label", "face.age"), SIZE)
    write_parquet(tmp_path / "hub")
    with pytest.raises(SourceError, match=r"has no column 'colour'; it has: image, label, face"):
        ingested(source, ("label", "colour"), SIZE)
    with pytest.raises(SourceError, match=r"has no column 'img'; .*data\.source\.image_column"):
        ingested({**source, "image_column": "img"}, ("label", "face.age"), SIZE)
    path = tmp_path / "hub" / "data" / "train-00000-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(SourceError, match=r"train-00000-of-00002\.parquet: not a whole Parquet file"):
        ingested(source, ("label", "face.age"), SIZE)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.csv", "name,mood,size\na.png,1,2\n", "has no column 'file_name'; it has: name, mood, size"),
        ("metadata.csv", "file_name,mood\na.png,1\n", "has no column 'size'; it has: file_name, mood"),
        ("metadata.jsonl", '{"name": "a.png"}\n', "has no column 'file_name'; it has: name"),
        ("metadata.jsonl", '{"file_name": "a.png"\n', "not readable as JSON, an object a line"),
        ("metadata.jsonl", '["a.png"]\n', r"expected an object a line, got \[.a\.png.\]"),
        (
            "metadata.jsonl",
            '{"file_name": "a.png"}\n',
            "no image has a label 'mood'; one has: file",
        ),
    ],
)
def test_metadata_that_can_not_be_read_is_named(
    name: str, text: str, message: str, tmp_path: Path, ingested: Ingest
) -> None:
    write_tree(tmp_path, {f"data/{name}": text.encode(), "data/a.png": picture(1)})
    with pytest.raises(SourceError, match=message):
        ingested({"kind": "huggingface", "uri": str(tmp_path / "data")}, ("mood", "size"), SIZE)
