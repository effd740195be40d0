"""Paths as people write them: which file below a folder each one means, and when two mean the same."""

import posixpath
import re
from unicodedata import normalize

import pyarrow as pa
import pyarrow.compute as pc

# What is in a path that means the same file as another, or none below the folder.
_UNUSUAL = r"//|:|^/|/$|(?:^|/)\.{1,2}(?:/|$)"
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def relative_paths(paths: pa.Array, root: str = "") -> pa.Array:
    """Return strings as paths below a folder, without `./` and the like; null where a path leads out of it."""
    unusual = pc.fill_null(pc.match_substring_regex(paths, _UNUSUAL), False)
    if not pc.any(unusual).as_py():
        return paths
    relative = [_relative(path, root) for path in paths.filter(unusual).to_pylist()]
    return pc.replace_with_mask(paths, unusual, pa.array(relative, pa.string()))


def path_keys(paths: pa.Array) -> pa.Array:
    """Return a key for each relative path: two that some system takes for one file have the same.

    Letters are composed (Unicode NFC), though a file's own name may be decomposed; a backslash is a slash.
    """
    return relative_paths(pc.replace_substring(composed(paths), "\\", "/"))


def composed(texts: pa.Array) -> pa.Array:
    """Return strings with their letters composed (Unicode NFC); Arrow's own kernel leaves them decomposed."""
    foreign = pc.fill_null(pc.invert(pc.string_is_ascii(texts)), False)
    if not pc.any(foreign).as_py():
        return texts
    normal = [normalize("NFC", text) for text in texts.filter(foreign).to_pylist()]
    return pc.replace_with_mask(texts, foreign, pa.array(normal, pa.string()))


def _relative(path: str, root: str) -> str | None:
    inside = path.removeprefix(f"{root}/") if root else path
    if inside.startswith("/") or "://" in inside or _DRIVE.match(inside):
        return None
    normal = posixpath.normpath(inside)
    return None if normal == ".." or normal.startswith("../") else normal
