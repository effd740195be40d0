"""Containers: the same members from a folder tree, .zip and .tar, checked against zipfile and tarfile; damaged ones."""

import errno
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from diffusegae import storage
from diffusegae.data.containers import (
    STORED,
    Member,
    archive_kind,
    container_kind,
    iterate_members,
    iterate_tar,
    read_members,
)
from diffusegae.data.records import Skipped, SourceError
from tests.image_files import ilab_files, write_tar, write_tree, write_zip

FILES = ilab_files(num_instances=1, num_backgrounds=2)


def read_all(uri: str) -> dict[str, bytes | Skipped]:
    kind = container_kind(uri)
    members = list(iterate_members(uri, kind))
    return dict(zip((member.path for member in members), read_members(uri, kind, members), strict=True))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("tree", write_tree),
        ("deflated.zip", write_zip),
        ("stored.zip", lambda target, files: write_zip(target, files, zipfile.ZIP_STORED)),
        ("set.tar", write_tar),
    ],
)
def test_every_container_gives_the_same_files(
    name: str, write: Callable[[Path, Mapping[str, bytes]], str], tmp_path: Path
) -> None:
    assert read_all(write(tmp_path / name, FILES)) == FILES


@pytest.mark.parametrize(("name", "write"), [("set.zip", write_zip), ("set.tar", write_tar)])
def test_archives_are_read_from_a_bucket(
    name: str, write: Callable[[Path, Mapping[str, bytes]], str], tmp_path: Path, s3_root: str
) -> None:
    uri = storage.join(s3_root, name)
    storage.write_bytes(uri, Path(write(tmp_path / name, FILES)).read_bytes())
    assert read_all(uri) == FILES


def test_a_bucket_of_files_is_read(s3_root: str) -> None:
    for path, content in FILES.items():
        storage.write_bytes(storage.join(s3_root, "tree", path), content)
    assert read_all(storage.join(s3_root, "tree")) == FILES


def test_zip64_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    target = Path(write_zip(tmp_path / "large.zip", FILES, zipfile.ZIP_STORED))
    assert b"PK\x06\x06" in target.read_bytes()
    assert read_all(str(target)) == FILES


def test_zip_with_a_comment_and_streamed_members_is_read(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        """What zipfile may not seek in, so that sizes and checksums follow the data."""

        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.content += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        archive.comment = b"made by PK\x05 tests"
        for path, content in FILES.items():
            archive.writestr(path, content)
    (tmp_path / "streamed.zip").write_bytes(pipe.content)
    assert read_all(str(tmp_path / "streamed.zip")) == FILES


@pytest.mark.parametrize("keep", [0, 40, 3000, -40])
@pytest.mark.parametrize(("name", "write"), [("set.zip", write_zip), ("set.tar", write_tar)])
def test_cut_archives_are_named(
    name: str, write: Callable[[Path, Mapping[str, bytes]], str], keep: int, tmp_path: Path
) -> None:
    target = Path(write(tmp_path / name, FILES))
    content = target.read_bytes()
    # A tar is padded with zeros to 10 KiB, so the cut must be before those.
    end = len(content) if name.endswith("zip") else len(content.rstrip(b"\0"))
    target.write_bytes(content[: keep if keep >= 0 else end + keep])
    with pytest.raises(SourceError, match="not a whole"):
        list(iterate_members(str(target), container_kind(str(target))))


def test_a_damaged_zip_member_is_skipped_with_its_reason(tmp_path: Path) -> None:
    target = Path(write_zip(tmp_path / "set.zip", FILES, zipfile.ZIP_STORED))
    path, content = list(FILES.items())[3]
    damaged = target.read_bytes().replace(content, content[:-20] + b"\0" * 20)
    target.write_bytes(damaged)
    found = read_all(str(target))
    assert found[path] == Skipped(path, "damaged archive member", "the checksum does not match")
    assert sum(isinstance(value, Skipped) for value in found.values()) == 1


def test_a_file_that_vanished_is_skipped(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", FILES)
    members = list(iterate_members(root, "folder"))
    (tmp_path / "tree" / members[0].path).unlink()
    contents = list(read_members(root, "folder", members))
    assert isinstance(contents[0], Skipped)
    assert contents[0].reason == "missing file"
    assert contents[1] == FILES[members[1].path]


def test_other_places_are_named(tmp_path: Path) -> None:
    (tmp_path / "set.tar.gz").write_bytes(b"1")
    with pytest.raises(SourceError, match="uncompressed .tar"):
        container_kind(str(tmp_path / "set.tar.gz"))
    with pytest.raises(SourceError, match="nothing is there"):
        container_kind(str(tmp_path / "nothing"))


def write_tars(root: Path) -> dict[str, bytes]:
    """Write a folder of tars, one a category, at two depths and beside a file that is none; return their files."""
    (root / "more").mkdir(parents=True)
    (root / "readme.txt").write_text("text")
    expected: dict[str, bytes] = {}
    for name, category in (("car.tar", "car"), ("more/TANK.TAR", "tank"), ("f1car.tar", "f1car")):
        files = {path: content for path, content in FILES.items() if f"/{category}-" in path}
        write_tar(root / name, files)
        expected |= {f"{name}/{path}": content for path, content in files.items()}
    assert len(expected) == len(FILES)
    return expected


def test_a_folder_of_tars_is_one_container(tmp_path: Path) -> None:
    expected = write_tars(tmp_path / "tars")
    uri = str(tmp_path / "tars")
    assert archive_kind(uri) == "tars"
    members = list(iterate_members(uri, "tars"))
    assert dict(zip((member.path for member in members), read_members(uri, "tars", members), strict=True)) == expected
    # Any order, as after a shuffle.
    again = members[::-1]
    assert list(read_members(uri, "tars", again)) == [expected[member.path] for member in again]


def test_each_tar_is_opened_once_for_its_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tars(tmp_path / "tars")
    uri = str(tmp_path / "tars")
    members = list(iterate_members(uri, "tars"))
    opened, open_input = list[str](), storage.open_input
    monkeypatch.setattr(storage, "open_input", lambda uri, *rest: opened.append(uri) or open_input(uri, *rest))
    assert len(list(read_members(uri, "tars", members))) == len(FILES)
    assert [Path(path).name for path in opened] == ["car.tar", "f1car.tar", "TANK.TAR"]


def test_a_folder_of_tars_is_read_from_a_bucket(tmp_path: Path, s3_root: str) -> None:
    expected = write_tars(tmp_path / "tars")
    storage.upload_directory(tmp_path / "tars", uri := storage.join(s3_root, "tars"))
    assert archive_kind(uri) == "tars"
    members = list(iterate_members(uri, "tars"))
    assert dict(zip((member.path for member in members), read_members(uri, "tars", members), strict=True)) == expected


def test_pictures_beside_a_tar_are_a_folder_of_pictures(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", FILES)
    write_tar(tmp_path / "tree" / "copy.tar", FILES)
    assert archive_kind(root) == "folder"


def test_a_damaged_tar_among_many_is_named(tmp_path: Path) -> None:
    write_tars(tmp_path)
    target = tmp_path / "f1car.tar"
    target.write_bytes(target.read_bytes()[:3000])
    with pytest.raises(SourceError, match=r"f1car\.tar: not a whole tar archive"):
        list(iterate_members(str(tmp_path), "tars"))


def test_compressed_tars_are_refused_with_the_remedy(tmp_path: Path) -> None:
    write_tars(tmp_path)
    (tmp_path / "bus.tar.gz").write_bytes(b"1")
    assert archive_kind(str(tmp_path)) == "tars"
    with pytest.raises(SourceError, match=r"bus\.tar\.gz: a compressed tar .* unpack 1 such file\(s\) to \.tar"):
        list(iterate_members(str(tmp_path), "tars"))


def test_a_tar_gives_the_content_of_what_is_wanted_in_one_pass(tmp_path: Path) -> None:
    uri = write_tar(tmp_path / "set.tar", {"a.json": b"{}", "b.png": b"picture", "c.json": b"[]"})
    found = {member.path: content for member, content in iterate_tar(uri, lambda path: path.endswith(".json"))}
    assert found == {"a.json": b"{}", "b.png": b"", "c.json": b"[]"}


@pytest.mark.parametrize("path", ["folder", ".", "loop", "x" * 300, "a\0b.png", "a.png/b.png", "secret/a.png"])
def test_what_is_no_file_is_skipped_and_the_next_is_read(path: str, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"a.png": b"1", "folder/b.png": b"2"})
    (tmp_path / "tree" / "loop").symlink_to("loop")
    (tmp_path / "tree" / "secret").symlink_to("loop")
    members = [Member(each, 0, 0, STORED) for each in (path, "a.png")]
    skipped, content = read_members(root, "folder", members)
    assert isinstance(skipped, Skipped)
    assert (skipped.path, skipped.reason) == (path, "unreadable file")
    assert content == b"1"


def test_a_forbidden_file_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(tmp_path / "tree", {"a.png": b"1"})

    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    filesystem = SimpleNamespace(open_input_file=refuse)  # the tests may run as root, whom nothing is forbidden
    monkeypatch.setattr(storage, "locate", lambda uri: storage.Location(filesystem, uri))
    (skipped,) = read_members(root, "folder", [Member("a.png", 0, 0, STORED)])
    assert isinstance(skipped, Skipped)
    assert (skipped.reason, "Permission denied" in skipped.detail) == ("unreadable file", True)


@pytest.mark.parametrize(
    ("written", "named"),
    [("\u00e9.png", "e\u0301.png"), ("e\u0301.png", "\u00e9.png"), (" a.png", " a.png"), ("a.png", " a.png"),
     ("sub/a.png", "sub\\a.png"), ("sub\\a.png", "sub\\a.png")],
)  # fmt: skip
def test_a_file_is_found_under_other_spellings_of_its_name(written: str, named: str, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {written: b"1"})
    assert list(read_members(root, "folder", [Member(named, 0, 0, STORED)])) == [b"1"]


def test_the_very_name_comes_before_other_spellings(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {" a.png": b"1", "a.png": b"2"})
    assert list(read_members(root, "folder", [Member(name, 0, 0, STORED) for name in (" a.png", "a.png")])) == [
        b"1",
        b"2",
    ]


def test_a_failing_disk_is_no_reason_to_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error", path)

    filesystem = SimpleNamespace(open_input_file=fail)
    monkeypatch.setattr(storage, "locate", lambda uri: storage.Location(filesystem, uri))
    with pytest.raises(storage.StorageError, match="Input/output error"):
        list(read_members(str(tmp_path), "folder", [Member("a.png", 0, 0, STORED)]))


def test_a_tar_cut_within_what_is_wanted_is_named_before_it_is_given(tmp_path: Path) -> None:
    target = Path(write_tar(tmp_path / "set.tar", {"a.json": b"1" * 2000}))
    target.write_bytes(target.read_bytes()[:1500])
    with pytest.raises(SourceError, match=r"set\.tar: not a whole tar archive \(988 of 2000 bytes are there"):
        next(iterate_tar(str(target), lambda path: path.endswith(".json")))
