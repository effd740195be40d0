"""Tables: any separator, encoding and size that people have, text whatever else the columns hold, clear refusals."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diffusegae import storage
from diffusegae.data.records import SourceError
from diffusegae.data.sources.tables import open_table


def read(path: Path | str, *columns: str) -> list[tuple[str | None, ...]]:
    tables = pa.concat_tables(open_table(str(path)).read(columns))
    return list(zip(*(tables[column].to_pylist() for column in columns), strict=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("comma.csv", b"path,letter\na.png,A\nb.png,\n"),
        ("crlf.csv", b"\r\n\r\npath,letter\r\na.png,A\r\n\r\nb.png,\r\n"),
        ("mac.csv", b"path,letter\ra.png,A\rb.png,\r"),
        ("mark.csv", b"\xef\xbb\xbfpath,letter\na.png,A\nb.png,\n"),
        ("semicolon.csv", b"path;letter\na.png;A\nb.png;\n"),
        ("tab.tsv", b"path\tletter\na.png\tA\nb.png\t\n"),
        ("bar.txt", b"path|letter\na.png|A\nb.png|\n"),
        ("wide.csv", "path;letter\r\na.png;A\r\nb.png;\r\n".encode("utf-16")),
        ("spaced.csv", b" path , letter\na.png,A\nb.png,  \n"),
    ],
)
def test_a_table_reads_the_same_however_it_is_written(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name, "path", "letter") == [("a.png", "A"), ("b.png", None)]


def test_quoted_newlines_and_columns_that_turn_to_text_far_down_do_no_harm(tmp_path: Path) -> None:
    numbers = [f'"{i}\n.png",{i},{"x" * 40},{i % 3}' for i in range(60_000)]
    rows = [*numbers, "last.png,no number,\udce9,007"]
    text = "path,unread,note,letter\n" + "\n".join(rows)
    (tmp_path / "long.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert (tmp_path / "long.csv").stat().st_size > 3 << 20
    found = read(tmp_path / "long.csv", "path", "letter")
    assert len(found) == 60_001
    assert (found[40_000], found[-1]) == (("40000\n.png", "1"), ("last.png", "007"))


def test_columns_of_any_type_and_name_are_text(tmp_path: Path) -> None:
    columns = {
        "size": pa.array([0.5, float("nan"), None]),
        "a.b": pa.array([1, None, 3], pa.int8()),
        "when": pa.array([0, None, 1], pa.date32()),
        "half": pa.array(["x", "", " "]).dictionary_encode(),
        "image": pa.array([{"bytes": b"1"}] * 3),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet", "size", "a.b", "half") == [
        ("0.5", "1", "x"),
        (None, None, None),
        (None, "3", None),
    ]
    assert read(tmp_path / "t.parquet", "when")[2] == ("1970-01-02",)
    with pytest.raises(SourceError, match=r"column 'image' holds struct<.*expected text, numbers or dates"):
        read(tmp_path / "t.parquet", "image")


def test_tables_are_read_from_a_bucket(s3_root: str) -> None:
    storage.write_bytes(storage.join(s3_root, "t.csv"), b"path;letter\na.png;A\n")
    assert read(storage.join(s3_root, "t.csv"), "letter", "path") == [("A", "a.png")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"\n <!DOCTYPE html><html>", "it looks like a web page .* save the table itself"),
        ("a.csv", b"PK\x03\x04...", "it looks like an Excel workbook .*CSV UTF-8"),
        ("a.csv", b"\x1f\x8b..", "a gzip archive; unpack it"),
        ("a.csv", b'[{"path": 1}]', "looks like JSON; write it as CSV"),
        ("a.csv", b"path,letter\na.png,caf\xe9\n", r"line 2 is not UTF-8; export it as UTF-8"),
        ("a.csv", b"path,l\n" + b"a.png,b\n" * 20_000 + b"\xe9,b\n", "it is not UTF-8; export it as UTF-8"),
        ("a.csv", "path,letter\na.png,b\n".encode("utf-16-le"), "looks like UTF-16 without its mark"),
        ("a.csv", b"path,letter\na.png\n", "Expected 2 columns, got 1: a.png; export it again"),
        ("a.csv", b"", "holds no rows"),
        ("a.csv", b"path,letter\n", "holds no rows"),
        ("a.parquet", b"PAR1 and no more", "export it again"),
        ("a.parquet", b"path,letter\n", "export it again"),
    ],
)
def test_what_is_no_table_is_told_by_its_looks(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=rf"{name}: not a readable table: .*{message}"):
        read(tmp_path / name, "path")


def test_a_folder_in_place_of_a_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(SourceError, match="not a readable table: .*directory"):
        open_table(str(tmp_path / "a.csv"))
