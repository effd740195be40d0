"""WebDataset: .tar files in which the files of a sample lie side by side, told by their common key.

Layout (github.com/webdataset/webdataset, tariterators.py): a file's key is its path up to the first dot of its name,
the rest says what it is: KEY.jpg (.jpeg, .png, .webp) the picture, KEY.json an object of labels, KEY.cls a label.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from diffusegae import storage
from diffusegae.data.containers import PICTURE_ENDINGS, ContainerKind, Member, archive_kind, iterate_tar, tar_names
from diffusegae.data.index import Listing
from diffusegae.data.records import Skipped, SourceError
from diffusegae.data.sources.listed import ContainerReader, ListedConfig
from diffusegae.data.sources.listings import Entry, list_entries
from diffusegae.data.sources.state import container_state

_NAME = re.compile(r"^((?:.*/)?[^./][^./]*)(\.[^/]+)$")
_OBJECT, _CLASS = ".json", ".cls"
_LABEL = "label"
_SAMPLES_TO_LOOK_AT = 100


class WebdatasetConfig(ListedConfig):
    """WebDataset tars: labels by the keys of KEY.json (nested ones by dots), or `label` by KEY.cls."""

    kind: Literal["webdataset"] = "webdataset"
    uri: str = Field(min_length=1, description="A .tar, or a folder of .tar files.")
    addresses: ClassVar[tuple[str, ...]] = ("uri",)

    def reader(self) -> ContainerReader:
        """Return what reads the pictures; SourceError if there is no tar."""
        root = storage.resolve(self.uri)
        kind = archive_kind(root)
        if kind not in ("tar", "tars"):
            raise SourceError(f"{self.uri}: expected a .tar or a folder of .tar files; set data.source.uri")
        return ContainerReader(root, kind)

    def label_names(self) -> tuple[str, ...]:
        """Return the keys of the first samples' labels."""
        reader = self.reader()
        first = islice(_samples(reader.root, reader.kind), _SAMPLES_TO_LOOK_AT)
        return tuple(dict.fromkeys(name for sample in first if isinstance(sample, Entry) for name in sample.record))

    def state(self) -> str:
        """Return a hash of the sizes and ends of the tars."""
        reader = self.reader()
        return container_state(reader.root, reader.kind)

    def listings(self, columns: tuple[str, ...]) -> Iterator[Listing]:
        """List the samples that have a picture and the labels."""
        reader = self.reader()
        yield from list_entries(_samples(reader.root, reader.kind), columns)


class _File(NamedTuple):
    """A file of a sample: what it is, where it lies, and, of labels, its content."""

    ending: str
    member: Member
    content: bytes


def _samples(root: str, kind: ContainerKind) -> Iterator[Entry | Skipped]:
    prefixes = {f"{name}/": storage.join(root, name) for name in tar_names(root)} if kind == "tars" else {"": root}
    for prefix, uri in prefixes.items():
        files = iterate_tar(uri, lambda path: path.lower().endswith((_OBJECT, _CLASS)))
        named = ((_split(member.path), member, content) for member, content in files)
        for key, group in groupby(named, key=lambda file: file[0][0]):
            sample = [_File(name[1], member._replace(path=prefix + member.path), data) for name, member, data in group]
            yield _to_entry(prefix + key, sample)


def _split(path: str) -> tuple[str, str]:
    """Return a file's key and what it is, in lower case; nothing for a name that has no dot or begins with one."""
    found = _NAME.match(path)
    return (found[1], found[2].lower()) if found else (path, "")


def _to_entry(key: str, sample: Sequence[_File]) -> Entry | Skipped:
    pictures = [file.member for file in sample if file.ending in PICTURE_ENDINGS]
    if len(pictures) != 1:
        endings = ", ".join(file.ending or "no ending" for file in sample)
        reason = "sample without a picture" if not pictures else "sample of several pictures"
        return Skipped(key, reason, f"it has {endings}")
    record: dict[str, Any] = {}
    try:
        for file in sample:
            if file.ending == _CLASS:
                record = {_LABEL: file.content.decode().strip()} | record
            elif file.ending == _OBJECT:
                record |= _read_object(file.content)
    except ValueError as error:
        return Skipped(key, "unreadable labels", str(error))
    return Entry(key, pictures[0], record)


def _read_object(content: bytes) -> Mapping[str, Any]:
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError(f"{_OBJECT} holds {json.dumps(value)[:80]}, expected an object")
    return value
