"""Storage: every path is a URI (a plain path, file:// or s3:// with any endpoint); nothing else opens a bucket.

S3 is configured by the environment that AWS tools share: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
AWS_REGION or AWS_DEFAULT_REGION, AWS_ENDPOINT_URL for any other maker's store, or whatever else botocore finds.
"""

import errno
import io
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import pyarrow
import pyarrow.fs

S3_SCHEME = "s3://"
FILE_SCHEME = "file://"
_MAX_ATTEMPTS = 5
_CONNECT_SECONDS, _REQUEST_SECONDS = 5.0, 60.0
_INPUT_BUFFER_BYTES = 1 << 20
_REFUSALS = (
    "ACCESS_DENIED",
    "ACCESS DENIED",
    "INVALID_ACCESS_KEY",
    "INVALIDACCESSKEY",
    "SIGNATURE",
    "FORBIDDEN",
    "HTTP STATUS 403",
)
_UNREADABLE = frozenset({errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_MISSING_BUCKETS = ("NO_SUCH_BUCKET", "NOSUCHBUCKET", "BUCKET DOES NOT EXIST")


class StorageError(RuntimeError):
    """A URI that cannot be used, or storage that does not answer as it should."""


class StorageNotFoundError(StorageError):
    """Nothing is stored at a URI."""


class StorageUnreadableError(StorageError):
    """What a local path leads to is no file that can be read: a folder, a loop of links, forbidden, no path at all."""


class Location(NamedTuple):
    """A file system and a path inside it, as pyarrow wants them."""

    filesystem: pyarrow.fs.FileSystem
    path: str


def resolve(uri: str) -> str:
    """Return the URI in the one form that means the same in every process: s3://… or an absolute local path.

    Raises:
        StorageError: an empty URI, another scheme, or s3:// without a bucket.
    """
    if uri.startswith(S3_SCHEME):
        bucket, _, key = uri.removeprefix(S3_SCHEME).partition("/")
        if not bucket:
            raise StorageError(f"{uri!r} names no bucket; write s3://bucket/key")
        return f"{S3_SCHEME}{bucket}/{key.strip('/')}".rstrip("/")
    if uri.startswith(FILE_SCHEME):
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise StorageError(f"{uri!r} is not a local file; write file:///absolute/path")
        return os.path.abspath(unquote(parts.path))
    if not uri or "://" in uri:
        raise StorageError(f"{uri!r} is not a storage address; use a path, file:///absolute/path or s3://bucket/key")
    return os.path.abspath(os.path.expanduser(uri))


def is_local(uri: str) -> bool:
    """Tell whether the URI is on this machine's file system."""
    return not resolve(uri).startswith(S3_SCHEME)


def locate(uri: str) -> Location:
    """Return the file system of a URI and the path in it; StorageError without credentials for s3://."""
    resolved = resolve(uri)
    if not resolved.startswith(S3_SCHEME):
        return Location(_local_filesystem(), resolved)
    _require_credentials(uri)
    return Location(_s3_filesystem(_endpoint(), _region()), resolved.removeprefix(S3_SCHEME))


def address(filesystem: pyarrow.fs.FileSystem, path: str) -> str:
    """Return the URI of a path in a file system, the reverse of `locate`."""
    return f"{S3_SCHEME}{path}" if filesystem.type_name == "s3" else path


def join(uri: str, *parts: str) -> str:
    """Append path components to a URI."""
    return "/".join([uri.rstrip("/") or "/", *(part.strip("/") for part in parts)])


def exists(uri: str) -> bool:
    """Tell whether a file or folder is there."""
    filesystem, path = locate(uri)
    with _explained(uri):
        return bool(filesystem.get_file_info(path).type != pyarrow.fs.FileType.NotFound)


def is_folder(uri: str) -> bool:
    """Tell whether the URI is a folder, or a prefix that keys begin with."""
    filesystem, path = locate(uri)
    with _explained(uri):
        return bool(filesystem.get_file_info(path).type == pyarrow.fs.FileType.Directory)


def read_bytes(uri: str) -> bytes:
    """Read a whole file; StorageNotFoundError if there is none, StorageUnreadableError if a local path is no file."""
    filesystem, path = locate(uri)
    with _explained(uri), filesystem.open_input_file(path) as file:
        return bytes(file.read())


def write_bytes(uri: str, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part: rename locally, one put on s3."""
    filesystem, path = locate(uri)
    with _explained(uri):
        if not is_local(uri):
            with filesystem.open_output_stream(path) as stream:
                stream.write(data)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def open_input(uri: str, buffer_bytes: int = _INPUT_BUFFER_BYTES) -> io.BufferedReader:
    """Open a file for buffered, seekable reading; short forward seeks cost no request."""
    filesystem, path = locate(uri)
    with _explained(uri):
        raw = filesystem.open_input_file(path)
    return io.BufferedReader(raw, buffer_bytes)


def iterate_files(uri: str) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it, without ever holding the listing.

    Hidden temporary files of unfinished writes are left out. StorageNotFoundError if there is no such folder.
    """
    if is_local(uri):
        root = resolve(uri)
        if not os.path.isdir(root):
            raise StorageNotFoundError(f"{uri}: no such folder; check the path")
        yield from (name for name in _walk(root, "") if not _is_temporary(name))
    else:
        with _explained(uri):
            yield from _iterate_keys(uri)


def list_files(uri: str, suffix: str = "") -> list[str]:
    """Return the URIs of the files below a folder that end with `suffix`, sorted; empty if there is no folder."""
    if not exists(uri):
        return []
    return sorted(join(uri, name) for name in iterate_files(uri) if name.endswith(suffix))


def delete(uri: str) -> None:
    """Delete a file, or a folder and all below it; nothing there is no error."""
    filesystem, path = locate(uri)
    with _explained(uri):
        kind = filesystem.get_file_info(path).type
        if kind == pyarrow.fs.FileType.Directory:
            filesystem.delete_dir(path)
        elif kind != pyarrow.fs.FileType.NotFound:
            filesystem.delete_file(path)


def delete_unfinished(uri: str) -> None:
    """Delete what killed writers left in a local folder; on s3 a part is never visible."""
    if is_local(uri):
        for path in Path(resolve(uri)).iterdir():
            if _is_temporary(path.name):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)


def upload_directory(local: str | os.PathLike[str], uri: str, last: str = "") -> None:
    """Copy all files below a local folder to a URI, the one named `last` after all others."""
    root = os.fspath(local)
    for name in sorted(iterate_files(root), key=lambda name: name == last):
        write_bytes(join(uri, name), read_bytes(join(root, name)))


def publish_directory(local: str | os.PathLike[str], uri: str, last: str) -> None:
    """Move a local folder to a URI so that nobody takes a part of it for the whole; what is there is replaced.

    A local target appears by one rename. On s3 the file `last`, by which readers know a whole folder, is put last.
    """
    delete(uri)
    if is_local(uri):
        target = Path(resolve(uri))
        staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.move(os.fspath(local), staging)
            staging.replace(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return
    upload_directory(local, uri, last)
    shutil.rmtree(local)


def download_directory(uri: str, local: str | os.PathLike[str]) -> None:
    """Copy all files below a URI into a local folder; StorageNotFoundError if there are none."""
    if not list_files(uri):
        raise StorageNotFoundError(f"{uri}: no files there; check the address")
    for name in iterate_files(uri):
        write_bytes(join(os.fspath(local), name), read_bytes(join(uri, name)))


def _walk(root: str, below: str) -> Iterator[str]:
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir():
                yield from _walk(root, name)
            else:
                yield name


def _is_temporary(name: str) -> bool:
    return any(part.startswith(".") and part.endswith(".tmp") for part in name.split("/"))


def _iterate_keys(uri: str) -> Iterator[str]:
    """List a prefix page by page; pyarrow and s3fs' own listings return everything at once."""
    _require_credentials(uri)
    bucket, _, prefix = resolve(uri).removeprefix(S3_SCHEME).partition("/")
    prefix = f"{prefix}/" if prefix else ""
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    seen_any = False
    while True:
        page = _list_page(request)
        for item in page.get("Contents", ()):
            seen_any = True
            if not item["Key"].endswith("/"):
                yield item["Key"].removeprefix(prefix)
        if not page.get("IsTruncated"):
            break
        request["ContinuationToken"] = page["NextContinuationToken"]
    if prefix and not seen_any:
        raise StorageNotFoundError(f"{uri}: no files there; check the address")


def _list_page(request: dict[str, Any]) -> dict[str, Any]:
    # Imported here, because they take a second and most processes never list a bucket.
    import s3fs
    from botocore.exceptions import BotoCoreError

    filesystem = s3fs.S3FileSystem(client_kwargs={"endpoint_url": _endpoint() or None, "region_name": _region()})
    try:
        return cast(dict[str, Any], filesystem.call_s3("list_objects_v2", **request))
    except BotoCoreError as error:
        raise OSError(str(error)) from error


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


@lru_cache(maxsize=1)
def _local_filesystem() -> pyarrow.fs.FileSystem:
    return pyarrow.fs.LocalFileSystem()


@lru_cache(maxsize=8)
def _s3_filesystem(endpoint: str, region: str) -> pyarrow.fs.FileSystem:
    scheme, _, host = endpoint.rpartition("://")
    return pyarrow.fs.S3FileSystem(
        region=region,
        endpoint_override=host or None,
        scheme=scheme or "https",
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        allow_delayed_open=True,
        retry_strategy=pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=_MAX_ATTEMPTS),
    )


def _require_credentials(uri: str) -> None:
    if os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
        return
    if not _has_other_credentials():
        raise StorageError(
            f"{uri}: no credentials for s3://; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or"
            " AWS_PROFILE, and AWS_ENDPOINT_URL for a store that is not Amazon's"
        )


@lru_cache(maxsize=1)
def _has_other_credentials() -> bool:
    """Ask botocore for a profile or a role once, giving the machine's metadata service one second, not Arrow's many."""
    import botocore.session  # here, as it takes half a second and is rarely asked

    session = botocore.session.get_session()
    session.set_config_variable("metadata_service_timeout", 1)
    session.set_config_variable("metadata_service_num_attempts", 1)
    return session.get_credentials() is not None


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn what pyarrow, s3fs and the operating system raise into StorageError with a remedy."""
    try:
        yield
    except pyarrow.ArrowInvalid as error:  # a NUL in a path
        raise StorageUnreadableError(f"{uri!r}: {error}; correct the path") from error
    except OSError as error:
        text = str(error)
        is_refused = isinstance(error, PermissionError) or any(word in text.upper() for word in _REFUSALS)
        if is_refused and not is_local(uri):
            raise StorageError(
                f"{uri}: access refused ({text}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
                " and the bucket's policy"
            ) from error
        is_missing = isinstance(error, FileNotFoundError) or any(word in text.upper() for word in _MISSING_BUCKETS)
        if is_missing and not is_local(uri) and _lacks_bucket(uri):
            bucket = resolve(uri).removeprefix(S3_SCHEME).partition("/")[0]
            raise StorageNotFoundError(
                f"{uri}: bucket {bucket!r} does not exist; create it or correct the address"
            ) from error
        if isinstance(error, FileNotFoundError):
            raise StorageNotFoundError(f"{uri}: nothing is stored there; check the address") from error
        if is_local(uri) and (error.errno in _UNREADABLE or "is a directory" in text):
            raise StorageUnreadableError(f"{uri}: {text}; check the path and its permissions") from error
        raise StorageError(f"{uri}: {text}; check the address, permissions and that the storage answers") from error


def _lacks_bucket(uri: str) -> bool:
    filesystem, path = locate(uri)
    try:
        return bool(filesystem.get_file_info(path.partition("/")[0]).type == pyarrow.fs.FileType.NotFound)
    except OSError:
        return False
