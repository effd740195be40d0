"""Cars3D: the right side and height of every car, and files that are damaged or of another layout."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from diffusegae.data.records import SourceError
from tests.data.sources.conftest import Ingest

SIZE = 16
COLUMNS = ("car", "azimuth", "elevation")


def write_cars(root: Path, count: int = 2) -> dict[str, np.ndarray]:
    """Write small cars as nips2015-analogy-data has them, beside files of other names; return `im` by car."""
    folder = root / "data" / "cars"
    folder.mkdir(parents=True)
    (folder / "readme.txt").write_text("text")
    cars = {}
    for number in range(1, count + 1):
        im = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3, 24, 4), np.uint8)
        savemat(folder / f"car_{number:03d}_mesh.mat", {"im": im}, do_compression=True)
        cars[f"car_{number:03d}"] = im
    return cars


def test_every_car_is_seen_from_where_its_labels_say(tmp_path: Path, ingested: Ingest) -> None:
    cars = write_cars(tmp_path)
    found = ingested({"kind": "cars3d", "uri": str(tmp_path)}, COLUMNS, SIZE)
    assert found.manifest.num_rows == 2 * 24 * 4
    assert found.manifest.columns["azimuth"] == tuple(str(azimuth) for azimuth in range(24))
    for key, labels in found.labels.items():
        expected = cars[labels["car"]][..., int(labels["azimuth"]), int(labels["elevation"])]
        assert np.array_equal(found.pixels[key], expected)


def test_a_damaged_car_is_skipped_with_its_reason(tmp_path: Path, ingested: Ingest) -> None:
    write_cars(tmp_path, count=3)
    path = tmp_path / "data" / "cars" / "car_002_mesh.mat"
    path.write_bytes(path.read_bytes()[:2000])
    found = ingested({"kind": "cars3d", "uri": str(tmp_path)}, ("azimuth", "elevation"), SIZE)
    assert found.manifest.num_rows == 2 * 24 * 4
    assert found.manifest.skipped == {"damaged array": 24 * 4}


def test_what_is_no_cars3d_is_named(tmp_path: Path, ingested: Ingest) -> None:
    source = {"kind": "cars3d", "uri": str(tmp_path / "cars")}
    with pytest.raises(SourceError, match="nothing is there"):
        ingested(source, COLUMNS, SIZE)
    (tmp_path / "cars").mkdir()
    with pytest.raises(SourceError, match=r"it holds no car_NNN_mesh\.mat"):
        ingested(source, COLUMNS, SIZE)
    path = tmp_path / "cars" / "car_001_mesh.mat"
    savemat(path, {"other": np.zeros(3)})
    with pytest.raises(SourceError, match="it has no variable 'im'"):
        ingested(source, COLUMNS, SIZE)
    savemat(path, {"im": np.zeros((SIZE, SIZE, 3, 4, 24), np.uint8)})
    with pytest.raises(
        SourceError, match=r"im is uint8 \[16, 16, 3, 4, 24\], expected uint8 \[height, width, 3, 24, 4"
    ):
        ingested(source, COLUMNS, SIZE)
    path.write_bytes(b"<html>")
    with pytest.raises(SourceError, match=r"car_001_mesh\.mat: not a whole \.mat file"):
        ingested(source, COLUMNS, SIZE)
