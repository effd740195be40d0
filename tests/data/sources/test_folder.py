"""A folder with a table: any columns and value types as categories, and tables that lack something."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diffusegae.data.containers import Member
from diffusegae.data.index import OFFSET, PACKING, PATH, SIZE, Listing
from diffusegae.data.records import KEY, Skipped, SourceError
from diffusegae.data.sources.directory import read_directory
from diffusegae.data.sources.folder import FolderConfig, list_folder
from diffusegae.schema import AttributeSpec, source_column
from tests.image_files import write_tar, write_zip

COLUMNS = ("letter", "size")


def list_csv(tmp_path: Path, text: str, columns: tuple[str, ...] = COLUMNS, path_column: str = "path") -> list[Listing]:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    config = FolderConfig(images=str(tmp_path), table=str(tmp_path / "labels.csv"), path_column=path_column)
    return list(list_folder(config, columns))


def test_csv_values_stay_as_they_are_written(tmp_path: Path) -> None:
    text = "path,size,other,letter\na.png,007,1,NA\nsub/b.png, 3.50 ,2,é\n"
    (listing,) = list_csv(tmp_path, text)
    assert listing.table[PATH].to_pylist() == ["a.png", "sub/b.png"]
    assert listing.table["key"].to_pylist() == ["a.png", "sub/b.png"]
    assert listing.table["size"].to_pylist() == ["007", "3.50"]
    assert listing.table["letter"].to_pylist() == ["NA", "é"]
    assert "other" not in listing.table.column_names
    assert listing.skipped == []


def test_parquet_values_of_any_type_are_categories(tmp_path: Path) -> None:
    table = pa.table(
        {
            "file": ["a.png", "b.png", "c.png"],
            "letter": pa.array(["A", "B", None]).dictionary_encode(),
            "size": pa.array([3, 12, 3], pa.int64()),
            "is_bold": [True, False, True],
            "slant": [0.5, 1.25, 0.5],
        }
    )
    pq.write_table(table, tmp_path / "labels.parquet")
    config = FolderConfig(images=str(tmp_path), table=str(tmp_path / "labels.parquet"), path_column="file")
    (listing,) = list_folder(config, ("letter", "size", "is_bold", "slant"))
    assert listing.table["letter"].to_pylist() == ["A", "B", None]
    assert listing.table["size"].to_pylist() == ["3", "12", "3"]
    assert listing.table["is_bold"].to_pylist() == ["true", "false", "true"]
    assert listing.table["slant"].to_pylist() == ["0.5", "1.25", "0.5"]
    assert listing.skipped == []


def test_an_empty_cell_is_a_missing_label_and_a_row_without_a_path_is_skipped(tmp_path: Path) -> None:
    (listing,) = list_csv(tmp_path, "path,letter,size\na.png,A,\nb.png,  ,2\n,C,3\nd.png,D,4\n")
    assert listing.table.select([PATH, *COLUMNS]).to_pylist() == [
        {PATH: "a.png", "letter": "A", "size": None},
        {PATH: "b.png", "letter": None, "size": "2"},
        {PATH: "d.png", "letter": "D", "size": "4"},
    ]
    assert listing.skipped == [Skipped("", "row without a path", "column 'path' is empty")]


def test_missing_label_column_is_named_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no column 'size'.*its columns are: path, letter, colour"):
        list_csv(tmp_path, "path,letter,colour\na.png,A,red\n")


def test_missing_path_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"no column 'file' for the images' paths; its columns are: path, letter, size"
    ):
        list_csv(tmp_path, "path,letter,size\na.png,A,1\n", path_column="file")


def test_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="2 columns 'letter'"):
        list_csv(tmp_path, "path,letter,letter,size\na.png,A,B,1\n")


def test_a_column_may_have_any_name(tmp_path: Path) -> None:
    names = ("size", "offset", "packing", "key", "image", "z", "pixels", "held_out", "label:x", "__window__")
    text = ",".join(("path", *names)) + "\na.png," + ",".join(name[0] for name in names)
    columns = tuple(AttributeSpec(width=1).columns(name)[0] for name in (*names, "path"))
    (listing,) = list_csv(tmp_path, text, columns)
    assert [source_column(column) for column in columns] == [*names, "path"]
    assert [listing.table[column].to_pylist() for column in columns] == [*([name[0]] for name in names), ["a.png"]]
    assert (listing.table[PATH].to_pylist(), listing.table[KEY].to_pylist()) == (["a.png"], ["a.png"])


def test_spellings_of_one_label_or_path_are_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    text = "path,letter,size\n./a.png,e\u0301,1\na.png,\u00e9,1\ne\u0301.png,b,1\n a.png,b,1\n"
    (listing,) = list_csv(tmp_path, text)
    assert listing.table["letter"].to_pylist() == ["\u00e9", "\u00e9", "b", "b"]
    assert listing.table[KEY].to_pylist() == ["a.png", "a.png", "\u00e9.png", " a.png"]
    assert listing.table[PATH].to_pylist() == ["a.png", "a.png", "e\u0301.png", " a.png"]
    assert "3 paths and labels that are not in Unicode's composed form" in caplog.text


def test_paths_that_lead_out_of_the_folder_are_skipped(tmp_path: Path) -> None:
    inside = f"{tmp_path}/sub/b.png"
    text = f"path,letter,size\n../a.png,A,1\n/etc/passwd,A,1\n{inside},A,1\n"
    (listing,) = list_csv(tmp_path, text)
    assert listing.table[PATH].to_pylist() == ["sub/b.png"]
    assert [(item.path, item.reason) for item in listing.skipped] == [
        ("../a.png", "path outside the folder"),
        ("/etc/passwd", "path outside the folder"),
    ]


@pytest.mark.parametrize(("name", "write"), [("set.zip", write_zip), ("set.tar", write_tar)])
def test_images_lie_in_an_archive(name: str, write: Callable[[Path, Mapping[str, bytes]], str], tmp_path: Path) -> None:
    files = {f"sub/{number}.png": bytes([number]) * 50 for number in range(5)}
    archive = write(tmp_path / name, files)
    (tmp_path / "labels.csv").write_text("path,letter,size\nsub/3.png,A,1\n./sub/0.png,B,2\nsub/9.png,B,2\n")
    config = FolderConfig(images=archive, table=str(tmp_path / "labels.csv"))
    (listing,) = config.listings(COLUMNS)
    rows = listing.table.to_pylist()
    members = [Member(row[PATH], row[OFFSET], row[SIZE], row[PACKING]) for row in rows]
    assert list(config.reader().read(members)) == [files["sub/3.png"], files["sub/0.png"]]
    assert [row["letter"] for row in rows] == ["A", "B"]
    (skipped,) = listing.skipped
    assert (skipped.path, skipped.reason) == ("sub/9.png", "missing file")
    assert "has no such member; one that it has is 'sub/0.png'" in skipped.detail


def test_an_archive_is_listed_and_joined_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusegae.data.sources.directory._BATCH_MEMBERS", 7)
    files = {f"{number}.png": b"%d" % number for number in range(50)}
    directory = read_directory(write_tar(tmp_path / "set.tar", files), "tar")
    places = directory.find(["49.png", "none.png", "0.png", "23.png"])
    assert (places < 0).tolist() == [False, True, False, False]
    content = (tmp_path / "set.tar").read_bytes()
    assert [content[directory.offsets[place] :][: directory.sizes[place]] for place in places[[0, 2, 3]]] == [
        b"49", b"0", b"23",
    ]  # fmt: skip


def test_of_members_with_one_path_the_last_counts(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for content in (b"old", b"newer"):
            entry = tarfile.TarInfo("a.png")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    directory = read_directory(str(tmp_path / "set.tar"), "tar")
    assert directory.sizes[directory.find(["a.png"])].tolist() == [5]


def test_the_state_is_that_of_the_table_and_of_the_archive(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "set.tar", {"a.png": b"1"})
    table = tmp_path / "labels.csv"
    table.write_text("path,letter\na.png,A\n")
    loose, packed = (FolderConfig(images=images, table=str(table)) for images in (str(tmp_path), archive))
    before = (loose.state(), packed.state())
    write_tar(tmp_path / "set.tar", {"a.png": b"22"})
    assert loose.state() == before[0]
    assert packed.state() != before[1]
    table.write_text("path,letter\na.png,B\n")
    assert loose.state() != before[0]


def test_missing_table_is_named(tmp_path: Path) -> None:
    config = FolderConfig(images=str(tmp_path), table=str(tmp_path / "no.csv"))
    with pytest.raises(SourceError, match=r"no\.csv: there is no table"):
        list(list_folder(config, COLUMNS))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ragged.csv", b"path,letter,size\na.png,A\n"),
        ("empty.csv", b""),
        ("latin.csv", b"path,letter,size\na.png,\xe9,1\n"),
        ("cut.parquet", b"PAR1 and no more"),
    ],
)
def test_damaged_tables_are_named(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    config = FolderConfig(images=str(tmp_path), table=str(tmp_path / name))
    with pytest.raises(SourceError, match=f"{name}: not a readable table"):
        list(list_folder(config, COLUMNS))


def test_other_kinds_of_table_are_named(tmp_path: Path) -> None:
    (tmp_path / "labels.xlsx").write_bytes(b"1")
    config = FolderConfig(images=str(tmp_path), table=str(tmp_path / "labels.xlsx"))
    with pytest.raises(SourceError, match=r"\.csv or \.parquet"):
        list(list_folder(config, COLUMNS))


def test_attributes_need_each_of_their_columns_once() -> None:
    attributes = {
        "identity": AttributeSpec(column="category", group_column="instance", width=2),
        "pose": AttributeSpec(width=2),
        "kind": AttributeSpec(column="category", width=2),
    }
    assert FolderConfig(images="a", table="b").columns(attributes) == ("category", "instance", "pose")
