"""Containers: the same members from a folder tree, .zip and .tar, checked against zipfile and tarfile; damaged ones."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from diffusegae import storage
from diffusegae.data.containers import container_kind, iterate_members, read_members
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
