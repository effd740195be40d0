"""The state of a source: hashes that cost little and change when what the source holds does, in every copy the same."""

import hashlib
import io

from diffusegae import storage
from diffusegae.data.containers import ContainerKind, tar_names
from diffusegae.data.records import SourceError

_END_BYTES = 1 << 20


def file_state(uri: str) -> str:
    """Return the SHA-256 of a whole file, read in a stream; SourceError if it is gone."""
    with _open(uri) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def archive_state(uri: str) -> str:
    """Return a hash of the size of a large file and of a mebibyte at each of its ends; SourceError if it is gone.

    The end of a .zip holds the checksums of its last ten thousand members, that of a .tar its last member. Times do not
    count, so that a copy is the same.
    """
    with _open(uri) as file:
        size = file.seek(0, io.SEEK_END)
        digest = hashlib.sha256(str(size).encode())
        for start in (0, max(0, size - _END_BYTES)):
            file.seek(start)
            digest.update(file.read(_END_BYTES))
    return digest.hexdigest()


def container_state(root: str, kind: ContainerKind) -> str:
    """Return the state of the archive or archives in a container, "" for a folder of loose files, which is not listed.

    Listing millions of loose files takes minutes to hours, at every start of every job.
    """
    if kind == "folder":
        return ""
    if kind != "tars":
        return archive_state(root)
    return combined(*((name, archive_state(storage.join(root, name))) for name in tar_names(root)))


def combined(*parts: object) -> str:
    """Return one hash of several states."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _open(uri: str) -> io.BufferedReader:
    try:
        return storage.open_input(uri)
    except storage.StorageNotFoundError as error:
        raise SourceError(f"{uri}: nothing is there; check the address in data.source") from error
