"""A folder with a table: any columns and value types as categories, and tables that lack something."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diffusegae.data.index import Listing
from diffusegae.data.records import SourceError
from diffusegae.data.sources.folder import FolderConfig, list_folder
from diffusegae.schema import AttributeSpec

COLUMNS = ("letter", "size")


def list_csv(tmp_path: Path, text: str, columns: tuple[str, ...] = COLUMNS, path_column: str = "path") -> list[Listing]:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    config = FolderConfig(images=str(tmp_path), table=str(tmp_path / "labels.csv"), path_column=path_column)
    return list(list_folder(config, columns))


def test_csv_values_stay_as_they_are_written(tmp_path: Path) -> None:
    text = "path,size,other,letter\na.png,007,1,NA\nsub/b.png, 3.50 ,2,é\n"
    (listing,) = list_csv(tmp_path, text)
    assert listing.table["path"].to_pylist() == ["a.png", "sub/b.png"]
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
    assert listing.table["letter"].to_pylist() == ["A", "B"]
    assert listing.table["size"].to_pylist() == ["3", "12"]
    assert listing.table["is_bold"].to_pylist() == ["true", "false"]
    assert listing.table["slant"].to_pylist() == ["0.5", "1.25"]
    assert [(item.path, item.reason) for item in listing.skipped] == [("c.png", "row without a label")]


def test_rows_with_empty_cells_are_skipped_with_a_reason(tmp_path: Path) -> None:
    (listing,) = list_csv(tmp_path, "path,letter,size\na.png,A,\nb.png,  ,2\n,C,3\nd.png,D,4\n")
    assert listing.table["path"].to_pylist() == ["d.png"]
    assert [(item.path, item.reason, item.detail) for item in listing.skipped] == [
        ("", "row without a path", "column 'path' is empty"),
        ("b.png", "row without a label", "column 'letter' is empty"),
        ("a.png", "row without a label", "column 'size' is empty"),
    ]


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


def test_column_with_a_name_of_ours_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="label column 'key'"):
        list_csv(tmp_path, "path,key,size\na.png,A,1\n", columns=("key", "size"))


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
