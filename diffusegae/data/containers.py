"""Containers: a folder tree, a .zip, a .tar or a folder of .tar files, listed lazily and read member by member.

Python's zipfile holds an object for every member and reads the whole directory again in each process; at millions of
members that is gigabytes and minutes. Here the zip directory is read in passing, and a member is found by its offset.
Layouts: PKWARE APPNOTE 6.3.10 sections 4.3.7, 4.3.12, 4.3.14-16, 4.5.3.
"""

import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby, islice
from typing import Literal, NamedTuple
from unicodedata import normalize

from diffusegae import storage
from diffusegae.data.records import Skipped, SourceError

ContainerKind = Literal["folder", "zip", "tar", "tars"]

STORED, DEFLATED = 0, 8
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_READ_AHEAD_THREADS = 8
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_IS_ENCRYPTED, _IS_UTF8 = 0x1, 0x800
_MAX_COMMENT_BYTES = 0xFFFF
_TAR = ".tar"
_PACKED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
_FILES_TO_LOOK_AT = 1000


class Member(NamedTuple):
    """One file of a container: its path, where it begins, how many bytes it takes there, and how it is packed.

    A folder's files have no offset. A zip member begins at its local header, a tar member at its first byte; in a
    folder of tars the path begins with that of the tar.
    """

    path: str
    offset: int
    size: int
    packing: int


def container_kind(uri: str) -> ContainerKind:
    """Tell what a URI holds by its name; SourceError if nothing is there or it is another kind of archive."""
    require_there(uri)
    if storage.is_folder(uri):
        return "folder"
    if uri.lower().endswith(".zip"):
        return "zip"
    if uri.lower().endswith(".tar"):
        return "tar"
    raise SourceError(f"{uri}: expected a folder, a .zip or an uncompressed .tar; unpack it or pack it as one of these")


def require_there(uri: str) -> None:
    """Refuse an address where nothing is."""
    if not storage.exists(uri):
        raise SourceError(f"{uri}: nothing is there; check the address in data.source")


def archive_kind(uri: str) -> ContainerKind:
    """Tell what a URI holds, as `container_kind` does; a folder of .tar files and no pictures is one set of tars.

    Raises:
        SourceError: nothing is there, or an archive of another kind.
    """
    kind = container_kind(uri)
    return "tars" if kind == "folder" and _holds_tars(uri) else kind


def tar_names(uri: str) -> list[str]:
    """Return the paths of the tars below a folder, sorted; SourceError if one of them is compressed."""
    names = sorted(name for name in storage.iterate_files(uri) if name.lower().endswith((_TAR, *_PACKED_TARS)))
    packed = [name for name in names if not name.lower().endswith(_TAR)]
    if packed:
        raise SourceError(
            f"{storage.join(uri, packed[0])}: a compressed tar can only be read from its start; unpack {len(packed)}"
            " such file(s) to .tar (gunzip and its like do)"
        )
    return names


def iterate_members(uri: str, kind: ContainerKind) -> Iterator[Member]:
    """Yield every file of a container in the order in which it is stored.

    Raises:
        SourceError: an archive is cut off, damaged or compressed; it is named.
    """
    if kind == "folder":
        yield from (Member(path, 0, 0, STORED) for path in storage.iterate_files(uri))
    elif kind == "tars":
        for name in tar_names(uri):
            for member in iterate_members(storage.join(uri, name), "tar"):
                yield member._replace(path=f"{name}/{member.path}")
    elif kind == "tar":
        yield from (member for member, _ in iterate_tar(uri))
    else:
        with storage.open_input(uri) as file, _named(uri, kind):
            yield from _zip_members(file)


def iterate_tar(uri: str, is_wanted: Callable[[str], bool] = lambda path: False) -> Iterator[tuple[Member, bytes]]:
    """Yield every file of a tar, with the content of those whose path is wanted, in one pass; b"" for the others.

    Raises:
        SourceError: the tar is cut off or damaged.
    """
    with storage.open_input(uri) as file, _named(uri, "tar"):
        for member in _tar_members(file):
            content = _read_span(file, member) if is_wanted(member.path) else b""
            if isinstance(content, Skipped):
                raise ValueError(content.detail)
            yield member, content


def data_offset(file: io.BufferedReader, header_offset: int) -> int:
    """Return where the bytes of a zip member begin, whose local header is at an offset."""
    file.seek(header_offset)
    header = _LOCAL.unpack(file.read(_LOCAL.size))
    return header_offset + _LOCAL.size + int(header[9]) + int(header[10])


def read_members(uri: str, kind: ContainerKind, members: Sequence[Member]) -> Iterator[bytes | Skipped]:
    """Yield the content of each member in order, or why it cannot be read."""
    if kind == "folder":
        with ThreadPoolExecutor(_READ_AHEAD_THREADS) as pool:
            yield from pool.map(lambda member: _read_loose(uri, member), members)
        return
    if kind == "tars":
        for name, inside in groupby(members, key=_tar_of):
            yield from read_members(storage.join(uri, name), "tar", list(inside))
        return
    with storage.open_input(uri) as file:
        for member in members:
            yield _read_zipped(file, member) if kind == "zip" else _read_span(file, member)


@contextmanager
def _named(uri: str, kind: ContainerKind) -> Iterator[None]:
    """Say of which archive the trouble is."""
    try:
        yield
    except (struct.error, tarfile.TarError, ValueError) as error:
        raise SourceError(f"{uri}: not a whole {kind} archive ({error}); copy or download it again") from error


def _holds_tars(uri: str) -> bool:
    """Look at the first files of a folder, lest a set of millions of pictures be listed twice."""
    names = [name.lower() for name in islice(storage.iterate_files(uri), _FILES_TO_LOOK_AT)]
    has_pictures = any(name.endswith(PICTURE_ENDINGS) for name in names)
    return not has_pictures and any(name.endswith((_TAR, *_PACKED_TARS)) for name in names)


def _tar_of(member: Member) -> str:
    return member.path[: member.path.lower().index(f"{_TAR}/") + len(_TAR)]


def _read_loose(uri: str, member: Member) -> bytes | Skipped:
    """Read a loose file under the name as it is given, or else as other systems would have written it."""
    problem = ""
    for path in _spellings(member.path):
        try:
            return storage.read_bytes(storage.join(uri, path))
        except storage.StorageNotFoundError as error:
            problem = problem or str(error)
        except storage.StorageUnreadableError as error:
            return Skipped(member.path, "unreadable file", str(error))
    return Skipped(member.path, "missing file", problem)


def _spellings(path: str) -> list[str]:
    """Return a path, and how it is spelt with composed or decomposed letters, without outer spaces, with slashes."""
    plain = path.strip().replace("\\", "/")
    forms = [path, *(normalize(form, each) for each in (path, plain) for form in ("NFC", "NFD"))]
    return list(dict.fromkeys(forms))


def _read_span(file: io.BufferedReader, member: Member) -> bytes | Skipped:
    file.seek(member.offset)
    data = file.read(member.size)
    if len(data) < member.size:
        return Skipped(member.path, "damaged archive member", f"{len(data)} of {member.size} bytes are there")
    return data


def _read_zipped(file: io.BufferedReader, member: Member) -> bytes | Skipped:
    file.seek(member.offset)
    try:
        header = _LOCAL.unpack(file.read(_LOCAL.size))
        if header[0] != b"PK\x03\x04" or header[2] & _IS_ENCRYPTED or member.packing not in (STORED, DEFLATED):
            return Skipped(
                member.path, "unsupported archive member", f"encrypted, or packed by method {member.packing}"
            )
        file.seek(header[9] + header[10], 1)
        packed = file.read(member.size)
        data = zlib.decompress(packed, wbits=-zlib.MAX_WBITS) if member.packing == DEFLATED else packed
    except (struct.error, zlib.error) as error:
        return Skipped(member.path, "damaged archive member", str(error))
    # Writers that stream leave the local checksum empty; then the picture's own must do.
    if len(packed) < member.size or (header[6] and zlib.crc32(data) != header[6]):
        return Skipped(member.path, "damaged archive member", "the checksum does not match")
    return data


def _tar_members(file: io.BufferedReader) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while (entry := archive.next()) is not None:
            if entry.isfile():
                yield Member(entry.name.removeprefix("./"), entry.offset_data, entry.size, STORED)
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep every member
        # A cut or damaged header looks like the end to tarfile; only the block of zeros is one.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ValueError("it ends without its end marker")


def _zip_members(file: io.BufferedReader) -> Iterator[Member]:
    count, start = _zip_directory(file)
    file.seek(start)
    for _ in range(count):
        fields = _CENTRAL.unpack(file.read(_CENTRAL.size))
        signature, flags, packing, size, expanded, offset = (
            fields[0],
            fields[3],
            fields[4],
            fields[8],
            fields[9],
            fields[16],
        )
        if signature != b"PK\x01\x02":
            raise ValueError("its directory is damaged")
        name = file.read(fields[10]).decode("utf-8" if flags & _IS_UTF8 else "cp437")
        size, offset = _wide_fields(file.read(fields[11]), size, expanded, offset)
        file.seek(fields[12], 1)
        if not name.endswith("/"):
            yield Member(name, offset, size, packing)


def _zip_directory(file: io.BufferedReader) -> tuple[int, int]:
    """Return the number of members and where the directory begins."""
    length = file.seek(0, 2)
    file.seek(max(0, length - _END.size - _MAX_COMMENT_BYTES))
    tail = file.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0:
        raise ValueError("its directory at the end is missing")
    end = _END.unpack_from(tail, found)
    count, start = end[4], end[6]
    if count == 0xFFFF or start == 0xFFFFFFFF:
        locator = _END64_LOCATOR.unpack_from(tail, found - _END64_LOCATOR.size)
        file.seek(locator[2])
        end64 = _END64.unpack(file.read(_END64.size))
        if locator[0] != b"PK\x06\x07" or end64[0] != b"PK\x06\x06":
            raise ValueError("its zip64 directory is damaged")
        count, start = end64[7], end64[9]
    return count, start


def _wide_fields(extra: bytes, size: int, expanded: int, offset: int) -> tuple[int, int]:
    """Return size and offset, taken from the zip64 field where 32 bits do not hold them."""
    position = 0
    while position + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, position)
        if tag == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, position + 4))
            if expanded == 0xFFFFFFFF:
                next(wide)
            size = next(wide) if size == 0xFFFFFFFF else size
            offset = next(wide) if offset == 0xFFFFFFFF else offset
        position += 4 + length
    return size, offset
