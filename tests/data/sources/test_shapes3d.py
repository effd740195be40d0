"""3D Shapes: the right picture for every label from an HDF5 file, local or in a bucket, and files that are no such."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from diffusegae import storage
from diffusegae.data.records import SourceError
from diffusegae.data.sources.shapes3d import HdfRows
from tests.data.sources.conftest import Ingest

SIZE = 8
FACTORS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
VALUES = (
    np.array([0.0, 0.1]),
    np.array([0.2, 0.9]),
    np.array([0.3, 0.30000000000000004 + 0.1]),
    np.linspace(0.75, 1.25, 8)[1:3],
    np.arange(4.0),
    np.linspace(-30, 30, 15)[:3],
)


def write_set(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Write a small 3dshapes.h5, in compressed chunks; return pictures and labels."""
    labels = np.stack([grid.ravel() for grid in np.meshgrid(*VALUES, indexing="ij")], axis=1)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), SIZE, SIZE, 3), np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, chunks=(50, SIZE, SIZE, 3), compression="gzip")
        file.create_dataset("labels", data=labels)
    return images, labels


def test_every_label_has_its_picture(tmp_path: Path, ingested: Ingest) -> None:
    images, labels = write_set(tmp_path / "3dshapes.h5")
    found = ingested({"kind": "shapes3d", "uri": str(tmp_path / "3dshapes.h5")}, FACTORS, SIZE, rows=64)
    assert found.manifest.columns == {
        "floor_hue": ("0", "0.1"),
        "wall_hue": ("0.2", "0.9"),
        "object_hue": ("0.3", "0.4"),
        "scale": ("0.8214", "0.8929"),
        "shape": ("cube", "cylinder", "sphere", "capsule"),
        "orientation": ("-30", "-25.71", "-21.43"),
    }
    assert found.manifest.num_rows == len(images)
    for row, (image, values) in enumerate(zip(images, labels, strict=True)):
        assert np.array_equal(found.pixels[f"images-{row}"], image)
        assert float(found.labels[f"images-{row}"]["orientation"]) == pytest.approx(values[5], abs=0.01)
        assert found.labels[f"images-{row}"]["shape"] == ("cube", "cylinder", "sphere", "capsule")[int(values[4])]


def test_a_bucket_is_read(tmp_path: Path, s3_root: str) -> None:
    images, _ = write_set(tmp_path / "3dshapes.h5")
    uri = storage.join(s3_root, "3dshapes.h5")
    storage.write_bytes(uri, (tmp_path / "3dshapes.h5").read_bytes())
    rows = np.array([3, 4, 5, 100])
    assert np.array_equal(np.concatenate(list(HdfRows(uri, "images", len(images)).read(rows))), images[rows])


def test_a_file_of_another_layout_is_named(tmp_path: Path, ingested: Ingest) -> None:
    uri = tmp_path / "3dshapes.h5"
    source = {"kind": "shapes3d", "uri": str(uri)}
    with pytest.raises(SourceError, match="nothing is there"):
        ingested(source, FACTORS, SIZE)
    write_set(uri)
    whole = uri.read_bytes()
    for content in (whole[: len(whole) // 2], b"<html>"):
        uri.write_bytes(content)
        with pytest.raises(SourceError, match=r"3dshapes\.h5: not a whole HDF5 file"):
            ingested(source, FACTORS, SIZE)
    with h5py.File(uri, "w") as file:
        file.create_dataset("images", data=np.zeros((3, SIZE, SIZE), np.uint8))
    with pytest.raises(SourceError, match=r"it holds \{'images': \(3, 8, 8\)\}, expected images \[n, height, width, 3"):
        ingested(source, FACTORS, SIZE)


def test_without_h5py_the_extra_is_named(tmp_path: Path, ingested: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path / "3dshapes.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SourceError, match=r"pip install 'diffusegae\[sets\]'"):
        ingested({"kind": "shapes3d", "uri": str(tmp_path / "3dshapes.h5")}, FACTORS, SIZE)
