"""iLab-20M by its file names: category-iNNNN-bNNNN-cNN-rNN-lN-fN, in any folders, with no index beside it.

The name says everything: identity is the category for labels and the instance for GROUPs, pose is camera and rotation.
Value counts differ between copies of the set, so vocabularies come from the names found.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from diffusegae import storage
from diffusegae.data.containers import ContainerKind, archive_kind, iterate_members
from diffusegae.data.index import PATH, Listing
from diffusegae.data.records import Skipped
from diffusegae.data.sources.listed import ContainerReader, ListedConfig
from diffusegae.data.sources.listings import LISTED_ROWS, member_tables
from diffusegae.data.sources.state import container_state

LABEL_COLUMNS = ("category", "instance", "background", "pose", "light", "focus")
_NAME = (
    r"(?:^|/)(?P<category>[A-Za-z0-9][A-Za-z0-9_]*)-(?P<number>i\d+)-(?P<background>b\d+)-(?P<camera>c\d+)"
    r"-(?P<rotation>r\d+)-(?P<light>l\d+)-(?P<focus>f\d+)\.(?i:png|jpg|jpeg)$"
)
_PARTS = ("category", "number", "background", "camera", "rotation", "light", "focus")


class IlabConfig(ListedConfig):
    """iLab-20M by its file names: a folder tree, a .zip, a .tar or a folder of .tar files, local or s3://."""

    kind: Literal["ilab"] = "ilab"
    uri: str = Field(
        min_length=1,
        description="Folder, .zip, .tar or folder of .tar files that holds category-iNNNN-bNNNN-cNN-rNN-lN-fN files.",
    )
    addresses: ClassVar[tuple[str, ...]] = ("uri",)
    own_columns: ClassVar[tuple[str, ...]] = LABEL_COLUMNS

    def reader(self) -> ContainerReader:
        """Return what reads the files; SourceError if nothing is there."""
        root = storage.resolve(self.uri)
        return ContainerReader(root, archive_kind(root))

    def state(self) -> str:
        """Return a hash of the sizes and ends of archives, "" for loose files."""
        reader = self.reader()
        return container_state(reader.root, reader.kind)

    def listings(self, columns: tuple[str, ...]) -> Iterator[Listing]:
        """List all files with the labels in their names."""
        del columns
        reader = self.reader()
        return list_ilab(reader.root, reader.kind)


def list_ilab(uri: str, kind: ContainerKind, rows: int = LISTED_ROWS) -> Iterator[Listing]:
    """List a folder tree, .zip, .tar or folder of tars, some tens of thousands of members at a time."""
    for places in member_tables(iterate_members(uri, kind), rows):
        yield _to_listing(places)


def parse_names(paths: pa.Array) -> pa.Table:
    """Return one row of key and labels per path; all are null where the name has another layout.

    The key is the name without folder and ending, so that it is the same in every copy of the set.
    """
    found = pc.extract_regex(paths, _NAME)
    part = {name: pc.struct_field(found, [position]) for position, name in enumerate(_PARTS)}
    columns = {
        "key": pc.binary_join_element_wise(*(part[name] for name in _PARTS), "-"),
        "category": part["category"],
        "instance": pc.binary_join_element_wise(part["category"], part["number"], "-"),
        "background": part["background"],
        "pose": pc.binary_join_element_wise(part["camera"], part["rotation"], "_"),
        "light": part["light"],
        "focus": part["focus"],
    }
    return pa.table(columns)


def _to_listing(table: pa.Table) -> Listing:
    names = parse_names(table[PATH].combine_chunks())
    for column in names.column_names:
        table = table.append_column(column, names[column])
    is_known = pc.is_valid(table["key"])
    detail = "expected category-iNNNN-bNNNN-cNN-rNN-lN-fN.png or .jpg"
    unknown = table.filter(pc.invert(is_known))[PATH].to_pylist()
    return Listing(table.filter(is_known), [Skipped(path, "name of another layout", detail) for path in unknown])
