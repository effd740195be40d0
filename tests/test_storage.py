"""Storage: the same bodies over a local folder and a real S3 server, and addresses that cannot be used."""

import os
from pathlib import Path

import pytest

from diffusegae import storage
from diffusegae.storage import StorageError, StorageNotFoundError
from tests.faulty_proxy import Faults, faulty_proxy
from tests.storage_server import S3_VARIABLES

MEGABYTES = 25 << 20  # more than two parts of an upload


def test_reads_what_was_written(storage_root: str) -> None:
    uri = storage.join(storage_root, "a", "b.bin")
    assert not storage.exists(uri)
    storage.write_bytes(uri, b"first")
    storage.write_bytes(uri, b"second")
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == b"second"
    assert storage.is_folder(storage.join(storage_root, "a"))
    assert not storage.is_folder(uri)


def test_reads_from_any_place(storage_root: str) -> None:
    content = bytes(range(256)) * 100
    uri = storage.join(storage_root, "file")
    storage.write_bytes(uri, content)
    with storage.open_input(uri, buffer_bytes=1000) as file:
        file.seek(20_000)
        assert file.read(300) == content[20_000:20_300]
        file.seek(5)
        assert file.read(10) == content[5:15]
        assert file.seek(0, os.SEEK_END) == len(content)


def test_lists_all_files_below(storage_root: str) -> None:
    for name in ("x/1.json", "x/y/2.json", "x/3.txt", "z/4.json"):
        storage.write_bytes(storage.join(storage_root, name), b"{}")
    below = storage.join(storage_root, "x")
    assert storage.list_files(below, ".json") == [storage.join(below, "1.json"), storage.join(below, "y/2.json")]
    assert sorted(storage.iterate_files(below)) == ["1.json", "3.txt", "y/2.json"]
    assert storage.list_files(storage.join(storage_root, "nowhere")) == []


def test_listing_nothing_is_named(storage_root: str) -> None:
    storage.write_bytes(storage.join(storage_root, "a"), b"")
    with pytest.raises(StorageNotFoundError, match="nowhere"):
        list(storage.iterate_files(storage.join(storage_root, "nowhere")))


def test_deletes_files_and_folders(storage_root: str) -> None:
    for name in ("x/1", "x/y/2", "z"):
        storage.write_bytes(storage.join(storage_root, name), b"1")
    storage.delete(storage.join(storage_root, "x"))
    storage.delete(storage.join(storage_root, "z"))
    storage.delete(storage.join(storage_root, "never"))
    assert storage.list_files(storage_root) == []


def test_copies_folders_there_and_back(storage_root: str, tmp_path: Path) -> None:
    (tmp_path / "from" / "sub").mkdir(parents=True)
    (tmp_path / "from" / "a").write_bytes(b"a")
    (tmp_path / "from" / "sub" / "b").write_bytes(b"b" * 10_000)
    uri = storage.join(storage_root, "copy")
    storage.upload_directory(tmp_path / "from", uri)
    storage.download_directory(uri, tmp_path / "to")
    assert (tmp_path / "to" / "a").read_bytes() == b"a"
    assert (tmp_path / "to" / "sub" / "b").read_bytes() == b"b" * 10_000


def test_a_folder_is_published_as_a_whole(storage_root: str, tmp_path: Path) -> None:
    target = storage.join(storage_root, "checkpoints", "one")
    storage.write_bytes(storage.join(target, "stale.bin"), b"left by a writer that died")
    local = tmp_path / "written"
    local.mkdir()
    for name in ("meta.json", "weights.bin"):
        (local / name).write_bytes(name.encode())
    storage.publish_directory(local, target, last="meta.json")
    assert [path.rpartition("/")[2] for path in storage.list_files(target)] == ["meta.json", "weights.bin"]
    assert storage.read_bytes(storage.join(target, "weights.bin")) == b"weights.bin"
    assert not local.exists()


def test_what_a_death_left_of_publishing_is_hidden_and_deleted(tmp_path: Path) -> None:
    staging = tmp_path / ".checkpoint_1.0123.tmp"
    staging.mkdir()
    (staging / "meta.json").write_text("{}")
    assert storage.list_files(str(tmp_path), "/meta.json") == []
    storage.delete_unfinished(str(tmp_path))
    assert not staging.exists()


def test_on_s3_the_file_that_makes_a_folder_whole_is_put_last(
    s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.json", "b.bin"):
        (tmp_path / name).write_bytes(b"content")
    put = storage.write_bytes

    def dies_at_the_last(uri: str, data: bytes) -> None:
        if uri.endswith("a.json"):
            raise KeyboardInterrupt
        put(uri, data)

    monkeypatch.setattr(storage, "write_bytes", dies_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        storage.publish_directory(tmp_path, storage.join(s3_root, "one"), last="a.json")
    assert [path.rpartition("/")[2] for path in storage.list_files(s3_root)] == ["b.bin"]


def test_missing_file_is_named(storage_root: str, tmp_path: Path) -> None:
    uri = storage.join(storage_root, "missing")
    storage.write_bytes(storage.join(storage_root, "other"), b"")
    with pytest.raises(StorageNotFoundError, match="missing"):
        storage.read_bytes(uri)
    with pytest.raises(StorageNotFoundError, match="missing"):
        storage.open_input(uri)
    with pytest.raises(StorageNotFoundError, match="missing"):
        storage.download_directory(uri, tmp_path)


def test_every_page_of_a_bucket_is_listed(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    call = s3fs.S3FileSystem.call_s3
    monkeypatch.setattr(
        s3fs.S3FileSystem, "call_s3", lambda self, name, **kwargs: call(self, name, MaxKeys=2, **kwargs)
    )
    for number in range(7):
        storage.write_bytes(storage.join(s3_root, "many", str(number)), b"")
    assert sorted(storage.iterate_files(storage.join(s3_root, "many"))) == [str(number) for number in range(7)]


def test_missing_bucket_is_named(s3_root: str) -> None:
    with pytest.raises(StorageNotFoundError, match="'no-such-bucket' does not exist"):
        storage.write_bytes("s3://no-such-bucket/key", b"data")
    with pytest.raises(StorageNotFoundError, match="'no-such-bucket' does not exist"):
        storage.read_bytes("s3://no-such-bucket/key")
    with pytest.raises(StorageNotFoundError, match="'no-such-bucket' does not exist"):
        list(storage.iterate_files("s3://no-such-bucket/key"))


def is_part(method: str, path: str) -> bool:
    return method == "PUT" and "partNumber=2" in path


def test_an_upload_goes_on_after_a_503_in_its_middle(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(MEGABYTES)
    with faulty_proxy(os.environ["AWS_ENDPOINT_URL"], faults := Faults(is_part, times=2)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy)
        storage.write_bytes(f"{s3_root}/large", content)
        assert storage.read_bytes(f"{s3_root}/large") == content
    assert len(faults.failed) == 2


def test_an_upload_that_fails_for_good_is_one_error_and_leaves_the_old_content(
    s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write_bytes(f"{s3_root}/large", b"old")
    monkeypatch.setattr(storage, "_MAX_ATTEMPTS", 2)
    with faulty_proxy(os.environ["AWS_ENDPOINT_URL"], faults := Faults(is_part, times=1000)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy)
        with pytest.raises(StorageError, match=f"{s3_root}/large.*that the storage answers"):
            storage.write_bytes(f"{s3_root}/large", os.urandom(MEGABYTES))
        assert storage.read_bytes(f"{s3_root}/large") == b"old"
    assert len(faults.failed) >= 2


def test_a_listing_goes_on_after_a_503(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_bytes(f"{s3_root}/folder/one", b"")
    lists = Faults(lambda method, path: method == "GET" and "list-type=2" in path, times=2)
    with faulty_proxy(os.environ["AWS_ENDPOINT_URL"], lists) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy)
        assert list(storage.iterate_files(f"{s3_root}/folder")) == ["one"]
    assert len(lists.failed) == 2


def test_wrong_credentials_are_named(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Faults(lambda method, path: True, times=1000, status=403, code="InvalidAccessKeyId")
    with faulty_proxy(os.environ["AWS_ENDPOINT_URL"], wrong) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy)
        for use in (storage.read_bytes, storage.exists, lambda uri: list(storage.iterate_files(uri))):
            with pytest.raises(StorageError, match="access refused.*check AWS_ACCESS_KEY_ID"):
                use(f"{s3_root}/key")
        with pytest.raises(StorageError, match="access refused.*check AWS_ACCESS_KEY_ID"):
            storage.write_bytes(f"{s3_root}/key", b"")


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in S3_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    storage._has_other_credentials.cache_clear()
    with pytest.raises(StorageError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        storage.exists("s3://bucket/key")
    with pytest.raises(StorageError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        next(storage.iterate_files("s3://bucket/key"))


def test_silent_endpoint_is_named(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_MAX_ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=f"{s3_root}/key"):
        storage.read_bytes(f"{s3_root}/key")
    with pytest.raises(StorageError, match=f"{s3_root}/key"):
        next(storage.iterate_files(f"{s3_root}/key"))


@pytest.mark.parametrize("uri", ["", "gs://bucket/key", "http://host/x", "s3://", "s3:///key", "file://host/x"])
def test_unusable_addresses_are_named(uri: str) -> None:
    with pytest.raises(StorageError, match=uri or "''"):
        storage.locate(uri)


def test_local_addresses_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.resolve("data/set") == str(tmp_path / "data" / "set")
    assert storage.resolve(f"file://{tmp_path}/a%20b") == str(tmp_path / "a b")
    assert storage.resolve("s3://bucket/a/b/") == "s3://bucket/a/b"


def test_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "file"
    storage.write_bytes(str(target), b"old")
    with pytest.raises(TypeError):
        storage.write_bytes(str(target), "text")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_unfinished_writes_are_hidden_and_deleted(tmp_path: Path) -> None:
    (tmp_path / ".shard.0123.tmp").write_bytes(b"half")
    storage.write_bytes(str(tmp_path / "shard"), b"whole")
    assert storage.list_files(str(tmp_path)) == [str(tmp_path / "shard")]
    storage.delete_unfinished(str(tmp_path))
    assert os.listdir(tmp_path) == ["shard"]
