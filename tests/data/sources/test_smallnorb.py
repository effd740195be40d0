"""SmallNORB: the right toy by either camera from the binary matrices, one set or both, and files that are no such."""

import struct
from pathlib import Path

import numpy as np
import pytest

from diffusegae.data.records import SourceError
from tests.data.sources.conftest import Ingest

SIZE = 12
COLUMNS = ("category", "instance", "elevation", "azimuth", "lighting")
CATEGORIES = ("animal", "human", "airplane", "truck", "car")
FILES = {
    "training": "smallnorb-5x46789x9x18x6x2x96x96-training",
    "testing": "smallnorb-5x01235x9x18x6x2x96x96-testing",
}


def write_matrix(path: Path, values: np.ndarray) -> None:
    """Write a binary matrix as the data set's page describes it, with three sizes at least."""
    magic = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}[values.dtype.name]
    sizes = [*values.shape, *[1] * (3 - values.ndim)]
    path.write_bytes(struct.pack(f"<{2 + len(sizes)}i", magic, values.ndim, *sizes) + values.tobytes())


def write_set(root: Path, name: str, count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write a small set; return its pairs of pictures, categories and infos."""
    random = np.random.default_rng(len(name))
    pairs = random.integers(0, 256, (count, 2, SIZE, SIZE), np.uint8)
    category = (np.arange(count) % 5).astype(np.int32)
    limits = (10, 9, 18, 6)
    info = np.stack([random.integers(0, limit, count) for limit in limits], axis=1).astype(np.int32)
    info[:, 2] *= 2  # 0, 2, … 34
    for part, values in (("dat", pairs), ("cat", category), ("info", info)):
        write_matrix(root / f"{FILES[name]}-{part}.mat", values)
    return pairs, category, info


@pytest.mark.parametrize("camera", ["left", "right"])
def test_every_toy_is_as_its_labels_say(camera: str, tmp_path: Path, ingested: Ingest) -> None:
    sets = {name: write_set(tmp_path, name) for name in FILES}
    found = ingested({"kind": "smallnorb", "uri": str(tmp_path), "camera": camera}, COLUMNS, SIZE)
    assert found.manifest.num_rows == 120
    assert found.manifest.columns["category"] == CATEGORIES
    for name, (pairs, category, info) in sets.items():
        for row in range(60):
            label, (instance, elevation, azimuth, lighting) = CATEGORIES[category[row]], info[row]
            expected = (label, f"{label}-{instance}", str(30 + 5 * elevation), str(10 * azimuth), str(lighting))
            assert found.labels[f"{name}-{row}"] == dict(zip(COLUMNS, expected, strict=True))
            grey = pairs[row, 0 if camera == "left" else 1]
            assert np.array_equal(found.pixels[f"{name}-{row}"], np.stack([grey] * 3, axis=-1))


def test_one_set_alone_is_read(tmp_path: Path, ingested: Ingest) -> None:
    write_set(tmp_path, "testing")
    found = ingested({"kind": "smallnorb", "uri": str(tmp_path), "num_images": 50}, ("category", "lighting"), SIZE)
    assert found.manifest.num_rows == 50
    assert all(key.startswith("testing-") for key in found.labels)


def test_what_is_no_smallnorb_is_named(tmp_path: Path, ingested: Ingest) -> None:
    source = {"kind": "smallnorb", "uri": str(tmp_path)}
    with pytest.raises(SourceError, match=r"it holds no smallnorb-.*-training-dat\.mat; .* after gunzip"):
        ingested(source, COLUMNS, SIZE)
    pairs, category, _ = write_set(tmp_path, "training")
    dat, cat, info = (tmp_path / f"{FILES['training']}-{part}.mat" for part in ("dat", "cat", "info"))
    whole, labels = dat.read_bytes(), info.read_bytes()
    info.unlink()
    with pytest.raises(SourceError, match=r"training-info\.mat is missing beside its -dat\.mat"):
        ingested(source, COLUMNS, SIZE)
    info.write_bytes(labels)
    dat.write_bytes(b"\x1f\x8b\x08\x08" + whole[4:])
    with pytest.raises(SourceError, match=r"training-dat\.mat: it begins with 0x08088B1F, expected 0x1E3D4C55"):
        ingested(source, COLUMNS, SIZE)
    dat.write_bytes(whole[:-10])
    with pytest.raises(SourceError, match=r"bytes do not hold \[60, 2, 12, 12\]"):
        ingested(source, COLUMNS, SIZE)
    dat.write_bytes(b"")
    with pytest.raises(SourceError, match="it begins with 0x00000000"):
        ingested(source, COLUMNS, SIZE)
    write_matrix(dat, pairs)
    write_matrix(cat, category[:-1])
    with pytest.raises(SourceError, match=r"dat \[60, 2, 12, 12\], cat \[59\], info \[60, 4\]; expected"):
        ingested(source, COLUMNS, SIZE)
