"""Arrays of an .npz: read in their places or unpacked in a stream, in flat memory, and files that cannot be used."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diffusegae import storage
from diffusegae.data.records import SourceError
from diffusegae.data.sources.arrays import FileRows
from diffusegae.data.sources.npz import PackedRows, UnpackedRows, open_npz, unpack

CONTENT = np.random.default_rng(0).integers(0, 256, (9000, 4, 5), np.uint8)
SAVERS: list[Callable[..., None]] = [np.savez, np.savez_compressed]


@pytest.mark.parametrize("save", SAVERS)
def test_an_array_is_read_in_blocks_and_by_row(save: Callable[..., None], tmp_path: Path) -> None:
    save(uri := str(tmp_path / "set.npz"), labels=np.arange(7), imgs=CONTENT)
    array = open_npz(uri, "imgs")
    assert array.shape == CONTENT.shape
    assert np.array_equal(np.concatenate(list(array.blocks(1000))), CONTENT)
    assert np.array_equal(np.concatenate(list(open_npz(uri, "labels").blocks(3))), np.arange(7))
    rows = np.array([0, 1, 255, 256, 5000, 8999])
    reader = array.rows()
    assert isinstance(reader, FileRows if save is np.savez else PackedRows)
    assert np.array_equal(np.concatenate(list(reader.read(rows))), CONTENT[rows])


@pytest.mark.parametrize("num_rows", [9000, 40, 1])
def test_unpacked_rows_are_those_of_the_array(num_rows: int, tmp_path: Path) -> None:
    np.savez_compressed(uri := str(tmp_path / "set.npz"), imgs=CONTENT)
    rows = np.sort(np.random.default_rng(num_rows).permutation(9000)[:num_rows])
    packed = open_npz(uri, "imgs").rows()
    assert isinstance(packed, PackedRows)
    unpack(packed, rows, str(tmp_path / "parts"))
    unpacked = UnpackedRows(str(tmp_path / "parts"), 9000, (4, 5))
    for some in (rows, rows[::7], rows[-1:]):
        assert np.array_equal(np.concatenate(list(unpacked.read(some))), CONTENT[some])


def test_of_a_sample_only_the_sample_is_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(uri := str(tmp_path / "set.npz"), imgs=CONTENT)
    packed = open_npz(uri, "imgs").rows()
    assert isinstance(packed, PackedRows)
    sizes = []
    for name, rows in (("all", np.arange(9000)), ("few", np.arange(0, 9000, 100)), ("early", np.arange(100))):
        unpack(packed, rows, str(tmp_path / name))
        sizes.append(sum(path.stat().st_size for path in (tmp_path / name).iterdir()))
    assert sizes[0] > CONTENT.nbytes  # noise does not compress
    assert sizes[1] < 0.2 * sizes[0]
    assert len(list((tmp_path / "early").iterdir())) == 1


def test_a_bucket_is_read(tmp_path: Path, s3_root: str) -> None:
    np.savez(tmp_path / "set.npz", imgs=CONTENT)
    storage.write_bytes(uri := storage.join(s3_root, "set.npz"), (tmp_path / "set.npz").read_bytes())
    rows = np.array([3, 8000])
    assert np.array_equal(np.concatenate(list(open_npz(uri, "imgs").rows().read(rows))), CONTENT[rows])


# Prints how much more memory than at first is in use at most, while a packed array is unpacked and some rows are read.
_FLAT = """
import resource, sys
from diffusegae.data.sources.arrays import choose_rows
from diffusegae.data.sources.npz import UnpackedRows, open_npz, unpack
import numpy as np
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
packed = open_npz(sys.argv[1], "images").rows()
unpack(packed, choose_rows(packed.num_rows, None), sys.argv[2])
rows = UnpackedRows(sys.argv[2], packed.num_rows, (64, 64, 3))
content = np.concatenate(list(rows.read(np.arange(51_000, 51_256))))
assert content.shape == (256, 64, 64, 3) and not content.any()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - used)
"""


def test_memory_stays_flat_while_a_packed_array_is_unpacked_and_read(tmp_path: Path) -> None:
    shape = (52_083, 64, 64, 3)  # 640 MB
    with (
        zipfile.ZipFile(tmp_path / "set.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("images.npy", "w", force_zip64=True) as stream,
    ):
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for _ in range(shape[0]):
            stream.write(bytes(64 * 64 * 3))
    command = [sys.executable, "-c", _FLAT, str(tmp_path / "set.npz"), str(tmp_path / "parts")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100 * 2**20


def test_what_is_not_such_an_npz_is_named(tmp_path: Path) -> None:
    uri = str(tmp_path / "set.npz")
    with pytest.raises(SourceError, match="nothing is there"):
        open_npz(uri, "imgs")
    np.savez(uri, other=CONTENT, imgs=CONTENT.astype(float))
    with pytest.raises(SourceError, match=r"no array 'images'; it has: other, imgs"):
        open_npz(uri, "images")
    with pytest.raises(SourceError, match="imgs holds float64, expected uint8"):
        open_npz(uri, "imgs").rows()
    np.savez(uri, imgs=np.asfortranarray(CONTENT), objects=np.array([{}], object))
    for name in ("imgs", "objects"):
        with pytest.raises(SourceError, match=f"{name} is not a whole array of numbers in C order"):
            open_npz(uri, name)
    whole = Path(uri).read_bytes()
    for content in (whole[:100], whole[:-30], b"", b"<html>"):
        Path(uri).write_bytes(content)
        with pytest.raises(SourceError, match=r"set\.npz: not a whole \.npz"):
            open_npz(uri, "imgs")


def test_a_packed_array_that_is_damaged_is_named(tmp_path: Path) -> None:
    np.savez_compressed(uri := str(tmp_path / "set.npz"), imgs=CONTENT)
    content = bytearray(Path(uri).read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    Path(uri).write_bytes(content)
    packed = open_npz(uri, "imgs").rows()
    assert isinstance(packed, PackedRows)
    with pytest.raises(SourceError, match=r"set\.npz: imgs is damaged"):
        unpack(packed, np.arange(9000), str(tmp_path / "parts"))
