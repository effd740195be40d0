"""The state of a source: the same for every copy, another for other content, whatever the times of the files."""

import os
from pathlib import Path

import pytest

from diffusegae import storage
from diffusegae.data.records import SourceError
from diffusegae.data.sources.state import archive_state, container_state, file_state
from tests.image_files import ilab_files, write_tar, write_tree, write_zip


def test_a_file_is_known_by_all_its_bytes(tmp_path: Path, s3_root: str) -> None:
    (tmp_path / "a").write_bytes(b"1" * 5_000_000 + b"2")
    storage.write_bytes(storage.join(s3_root, "a"), (tmp_path / "a").read_bytes())
    before = file_state(str(tmp_path / "a"))
    assert file_state(storage.join(s3_root, "a")) == before
    os.utime(tmp_path / "a", (0, 0))
    assert file_state(str(tmp_path / "a")) == before
    (tmp_path / "a").write_bytes(b"1" * 2_000_000 + b"3" + b"1" * 2_999_999 + b"2")
    assert file_state(str(tmp_path / "a")) != before


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_an_archive_is_known_by_its_size_and_ends(write: object, tmp_path: Path, s3_root: str) -> None:
    assert callable(write)
    files = ilab_files()
    uri = str(write(tmp_path / "set", files))
    before = archive_state(uri)
    storage.write_bytes(storage.join(s3_root, "set"), Path(uri).read_bytes())
    assert archive_state(storage.join(s3_root, "set")) == before
    write(tmp_path / "set", dict(list(files.items())[1:]))
    assert archive_state(uri) != before


def test_tars_count_each_and_loose_files_do_not(tmp_path: Path) -> None:
    (tmp_path / "tars").mkdir()
    for name in ("a.tar", "b.tar"):
        write_tar(tmp_path / "tars" / name, ilab_files())
    root = str(tmp_path / "tars")
    before = container_state(root, "tars")
    (tmp_path / "tars" / "b.tar").rename(tmp_path / "tars" / "c.tar")
    assert container_state(root, "tars") != before
    assert container_state(write_tree(tmp_path / "tree", ilab_files()), "folder") == ""


def test_what_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing is there"):
        archive_state(str(tmp_path / "set.zip"))
