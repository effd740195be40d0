"""Detect: which source a folder, an archive or a file of pictures is, and its table if it has one."""

import csv
import io
from itertools import islice
from pathlib import PurePosixPath

import pyarrow as pa

from diffusegae import storage
from diffusegae.data.containers import PICTURE_ENDINGS, container_kind, iterate_members
from diffusegae.data.records import SourceError
from diffusegae.data.sources import AnySource
from diffusegae.data.sources.cars3d import Cars3dConfig
from diffusegae.data.sources.celeba import CelebaConfig
from diffusegae.data.sources.dsprites import DspritesConfig
from diffusegae.data.sources.folder import FolderConfig
from diffusegae.data.sources.huggingface import HuggingfaceConfig
from diffusegae.data.sources.ilab import IlabConfig, parse_names
from diffusegae.data.sources.mpi3d import Mpi3dConfig
from diffusegae.data.sources.shapes3d import Shapes3dConfig
from diffusegae.data.sources.smallnorb import SmallnorbConfig
from diffusegae.data.sources.tables import open_table
from diffusegae.data.sources.webdataset import WebdatasetConfig

_PATH_NAMES = ("path", "file", "filename", "file_name", "image", "img", "image_path", "image_id", "name")
_LOOKED_AT = 200  # rows and files that tell what a set is
_MAX_LEVELS = 8  # of folders whose names are labels


def detect(images: str, table: str = "", path_column: str = "") -> AnySource | None:
    """Return the source that an address (and a table of labels) is; None for plain folders of pictures.

    Raises:
        SourceError: nothing is there, or nothing that is known.
    """
    if table:
        return FolderConfig(images=images, table=table, path_column=path_column or guess_path_column(images, table))
    root = storage.resolve(images)
    if not storage.exists(root):
        raise SourceError(f"{images}: nothing is there; give the folder, archive or file of the pictures")
    if not storage.is_folder(root):
        return _of_file(images, PurePosixPath(root).name.lower())
    names = list(islice(storage.iterate_files(root), _LOOKED_AT))
    return _of_known_files(images, names) or _of_tars(images, names) or _with_own_table(images, names)


def guess_path_column(images: str, table: str) -> str:
    """Return the column of a table that names files: by its values, else by its own name.

    Raises:
        SourceError: no column does.
    """
    opened = open_table(table)
    first = next(opened.read(opened.names), pa.table({name: pa.array([], pa.string()) for name in opened.names}))
    root, in_folder = storage.resolve(images), container_kind(storage.resolve(images)) == "folder"
    for name in opened.names:
        values = [str(value) for value in first[name].slice(0, _LOOKED_AT).to_pylist() if value]
        if values and all(value.lower().endswith(PICTURE_ENDINGS) for value in values):
            return name
        if in_folder and values and storage.exists(storage.join(root, values[0])) and "." in values[0]:
            return name
    for name in opened.names:
        if name.lower() in _PATH_NAMES:
            return name
    raise SourceError(
        f"{table}: no column names picture files; its columns are: {', '.join(opened.names)}. Say which one does by"
        " --path-column"
    )


def _of_file(uri: str, name: str) -> AnySource:
    if name.endswith(".npz"):
        return DspritesConfig(uri=uri) if name.startswith("dsprites") else Mpi3dConfig(uri=uri)
    if name.endswith(".h5"):
        return Shapes3dConfig(uri=uri)
    if name.endswith(".parquet"):
        return HuggingfaceConfig(uri=uri)
    if name.endswith(".tar") and (found := _of_members(uri)):
        return found
    if name.endswith((".zip", ".tar")) and _are_ilab(_member_names(uri)):
        return IlabConfig(uri=uri)
    raise SourceError(
        f"{uri}: not a file that tells its labels; give the table of labels as the second argument, or see"
        " docs/data-sets.md for what is known by itself"
    )


def _of_known_files(uri: str, names: list[str]) -> AnySource | None:
    """Tell the sets that have a file of a name of their own."""
    ends = {PurePosixPath(name).name: name for name in names}
    if "list_attr_celeba.txt" in ends:
        folder = str(PurePosixPath(storage.join(uri, ends["list_attr_celeba.txt"])).parent)
        people = storage.join(folder, "identity_CelebA.txt") if "identity_CelebA.txt" in ends else ""
        is_packed = "img_align_celeba.zip" in ends
        pictures = storage.join(folder, "img_align_celeba.zip" if is_packed else "img_align_celeba")
        return CelebaConfig(images=pictures, table=storage.join(folder, "list_attr_celeba.txt"), identities=people)
    if any(end.startswith("smallnorb-") for end in ends):
        return SmallnorbConfig(uri=uri)
    if any(end.startswith("car_") and end.endswith("_mesh.mat") for end in ends):
        return Cars3dConfig(uri=uri)
    if any(end in ("metadata.csv", "metadata.jsonl") or end.endswith(".parquet") for end in ends):
        return HuggingfaceConfig(uri=uri)
    return IlabConfig(uri=uri) if _are_ilab(names) else None


def _of_tars(uri: str, names: list[str]) -> AnySource | None:
    tars = [name for name in names if name.endswith(".tar")]
    if not tars:
        return None
    return _of_members(storage.join(uri, tars[0]), uri)


def _of_members(tar: str, uri: str = "") -> AnySource | None:
    names = _member_names(tar)
    if any(name.lower().endswith((".json", ".cls")) for name in names):
        return WebdatasetConfig(uri=uri or tar)
    return IlabConfig(uri=uri or tar) if _are_ilab(names) else None


def _with_own_table(uri: str, names: list[str]) -> AnySource | None:
    """Take the one table that lies beside the pictures, if there is one."""
    tables = [name for name in names if name.lower().endswith((".csv", ".tsv")) and "/" not in name]
    if len(tables) != 1:
        return None
    table = storage.join(uri, tables[0])
    return FolderConfig(images=uri, table=table, path_column=guess_path_column(uri, table))


def _member_names(uri: str) -> list[str]:
    root = storage.resolve(uri)
    return [member.path for member in islice(iterate_members(root, container_kind(root)), _LOOKED_AT)]


def _are_ilab(names: list[str]) -> bool:
    pictures = [name for name in names if name.lower().endswith(PICTURE_ENDINGS)]
    return bool(pictures) and parse_names(pa.array(pictures))["key"].null_count == 0


def tabulate_folders(images: str) -> bytes:
    """Return a CSV of the pictures in a tree of folders: the names of the folders that each lies in are its labels.

    Its columns are path, level_1, level_2 …; on storages of any kind.

    Raises:
        SourceError: no picture lies in a folder, or they lie at different depths.
    """
    paths = [path for path in storage.iterate_files(storage.resolve(images)) if path.lower().endswith(PICTURE_ENDINGS)]
    depths = {path.count("/") for path in paths}
    if not paths or depths == {0}:
        raise SourceError(
            f"{images}: {len(paths)} pictures, and no folders whose names would be their labels; give a table of labels"
            " as the second argument"
        )
    if len(depths) > 1 or max(depths) > _MAX_LEVELS:
        raise SourceError(
            f"{images}: pictures lie {sorted(depths)} folders deep; expected all at one depth, at most {_MAX_LEVELS},"
            " or a table of labels as the second argument"
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", *(f"level_{level + 1}" for level in range(depths.pop()))])
    writer.writerows([path, *path.split("/")[:-1]] for path in sorted(paths))
    return text.getvalue().encode()
