"""An archive's directory as arrays in which members are found by path, however many there are."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from jaxtyping import Int, UInt64

from diffusegae.data.containers import ContainerKind, Member, iterate_members
from diffusegae.data.records import SourceError
from diffusegae.data.sources.paths import path_keys, relative_paths
from diffusegae.data.splits import hash_keys

_BATCH_MEMBERS = 65_536


class Directory(NamedTuple):
    """Members sorted by the 64-bit hash of their path's key; 28 bytes each, so 600 MB for 22 million."""

    hashes: UInt64[np.ndarray, " members"]
    offsets: Int[np.ndarray, " members"]
    sizes: Int[np.ndarray, " members"]
    packings: Int[np.ndarray, " members"]
    example: str

    def find(self, keys: Sequence[str]) -> Int[np.ndarray, " keys"]:
        """Return the place of each key in the arrays, -1 where the archive has no such member.

        Of members with one path the last counts, as where an archive is unpacked.
        """
        wanted = hash_keys(keys)
        places = np.searchsorted(self.hashes, wanted, side="right") - 1
        return np.where((places >= 0) & (self.hashes[places] == wanted), places, -1)


def read_directory(root: str, kind: ContainerKind) -> Directory:
    """Read the directory of a .zip or .tar in one pass; SourceError if it is damaged or holds no file."""
    members, parts, example = iterate_members(root, kind), list[tuple[npt.NDArray[Any], ...]](), ""
    while batch := list(islice(members, _BATCH_MEMBERS)):
        example = example or batch[0].path
        parts.append(_to_arrays(batch))
    if not parts:
        raise SourceError(f"{root} holds no file; set data.source.images to the archive of the images")
    hashes, offsets, sizes, packings = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(hashes, kind="stable")
    return Directory(hashes[order], offsets[order], sizes[order], packings[order], example)


def _to_arrays(members: Sequence[Member]) -> tuple[npt.NDArray[Any], ...]:
    keys = path_keys(relative_paths(pa.array([member.path for member in members], pa.string())))
    _, offsets, sizes, packings = zip(*members, strict=True)
    hashes = hash_keys(key or "" for key in keys.to_pylist())
    return hashes, np.array(offsets, np.int64), np.array(sizes, np.int64), np.array(packings, np.int32)
