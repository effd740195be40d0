"""dSprites: the right mask for every label from a compressed and a stored file, a sample, restarts, other files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diffusegae import storage
from diffusegae.config.data import DataConfig
from diffusegae.data.ingest import ingest
from diffusegae.data.records import SourceError
from diffusegae.data.sources.dsprites import DspritesConfig
from diffusegae.data.sources.source import Opening
from tests.data.sources.conftest import Ingest

COUNTS = (1, 3, 2, 5, 2, 4)  # of 1, 3, 6, 40, 32, 32
COLUMNS = ("shape", "scale", "orientation", "x", "y")
NAMES = ("square", "ellipse", "heart")
SIZE = 8


def write_set(path: Path, save: Callable[..., None] = np.savez_compressed) -> tuple[np.ndarray, np.ndarray]:
    """Write a small dSprites; return masks and classes."""
    classes = np.stack(np.unravel_index(np.arange(np.prod(COUNTS)), COUNTS), axis=1).astype(np.int64)
    masks = np.random.default_rng(0).integers(0, 2, (len(classes), SIZE, SIZE), np.uint8)
    metadata = np.array({"latents_names": ("color", *COLUMNS)}, object)
    save(path, metadata=metadata, imgs=masks, latents_classes=classes, latents_values=classes.astype(np.float64))
    return masks, classes


@pytest.mark.parametrize("save", [np.savez_compressed, np.savez])
def test_every_label_has_its_mask(save: Callable[..., None], tmp_path: Path, ingested: Ingest) -> None:
    masks, classes = write_set(tmp_path / "dsprites.npz", save)
    found = ingested({"kind": "dsprites", "uri": str(tmp_path / "dsprites.npz")}, COLUMNS, SIZE)
    assert found.manifest.num_rows == len(masks)
    assert found.manifest.columns["shape"] == NAMES  # in their own order
    assert found.manifest.columns["scale"] == ("0.5", "0.6")
    for row, (mask, (_, shape, scale, orientation, x, y)) in enumerate(zip(masks, classes, strict=True)):
        labels = (NAMES[shape], f"{0.5 + scale / 10:.1f}", str(orientation), str(x), str(y))
        assert found.labels[f"imgs-{row}"] == dict(zip(COLUMNS, labels, strict=True))
        assert np.array_equal(found.pixels[f"imgs-{row}"], np.repeat(mask[..., None] * 255, 3, axis=-1))


def test_a_sample_has_that_many_pictures_and_the_right_ones(tmp_path: Path, ingested: Ingest) -> None:
    masks, _ = write_set(tmp_path / "dsprites.npz")
    source = {"kind": "dsprites", "uri": str(tmp_path / "dsprites.npz"), "num_images": 100}
    found = ingested(source, ("shape", "y"), SIZE)
    assert found.manifest.num_rows == 100
    for key, pixels in found.pixels.items():
        assert np.array_equal(pixels[..., 0], masks[int(key.removeprefix("imgs-"))] * 255)


def test_a_kill_while_unpacking_or_after_does_no_harm(
    tmp_path: Path, ingested: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks, _ = write_set(tmp_path / "dsprites.npz")
    source = {"kind": "dsprites", "uri": str(tmp_path / "dsprites.npz")}
    monkeypatch.setattr("diffusegae.data.sources.npz._BLOCK_ROWS", 16)
    monkeypatch.setattr("diffusegae.data.sources.npz._BLOCKS_PER_PART", 2)
    write, written = storage.write_bytes, list[str]()
    for killed_at in ("imgs/part-000003.arrow", "index.json", "00002.json"):

        def die(uri: str, data: bytes, killed_at: str = killed_at) -> None:
            written.append(uri)
            if uri.endswith(killed_at):
                raise KeyboardInterrupt
            write(uri, data)

        monkeypatch.setattr(storage, "write_bytes", die)
        with pytest.raises(KeyboardInterrupt):
            ingested(source, ("shape", "y"), SIZE)
        assert any("/imgs/part-" in uri for uri in written)
        written.clear()
    # The last kill came after the index, so nothing is unpacked again.
    monkeypatch.setattr(storage, "write_bytes", lambda uri, data: written.append(uri) or write(uri, data))
    found = ingested(source, ("shape", "y"), SIZE)
    assert not any("/imgs/part-" in uri for uri in written)
    assert found.manifest.num_rows == len(masks)
    assert np.array_equal(found.pixels["imgs-77"][..., 0], masks[77] * 255)
    assert not (Path(found.root) / "_ingest").exists()


def test_a_unit_opens_the_parts_of_its_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path / "dsprites.npz")
    monkeypatch.setattr("diffusegae.data.sources.npz._BLOCK_ROWS", 16)
    monkeypatch.setattr("diffusegae.data.sources.npz._BLOCKS_PER_PART", 1)
    config = DspritesConfig(uri=str(tmp_path / "dsprites.npz"))
    source = config.open(Opening(SIZE, ("shape", "y"), 16, str(tmp_path / "index")))
    opened, reading = list[str](), storage.open_input
    monkeypatch.setattr(storage, "open_input", lambda uri, *rest: opened.append(uri) or reading(uri, *rest))
    images = list(source.read(0))
    parts = [uri for uri in opened if "/imgs/" in uri]
    assert len(images) == len(parts) == 16  # pieces of one row each, from all over the set


def test_another_file_is_named(tmp_path: Path) -> None:
    uri = str(tmp_path / "other.npz")
    np.savez(uri, images=np.zeros((6, 8, 8), np.uint8))
    config = DataConfig(
        source=DspritesConfig(uri=uri),
        attributes={"shape": {"width": 2}, "y": {"width": 2}},  # type: ignore[dict-item]
    )
    with pytest.raises(SourceError, match=r"no array 'imgs'; it has: images"):
        ingest(config, SIZE, str(tmp_path / "set"))
    np.savez(uri, imgs=np.zeros((6, 8, 8), np.uint8), latents_classes=np.zeros((5, 6), np.int64))
    with pytest.raises(SourceError, match=r"imgs \[6, 8, 8\] and latents_classes \[5, 6\], expected"):
        ingest(config, SIZE, str(tmp_path / "set"))
    classes = np.zeros((6, 6), np.int64)
    classes[4, 1] = 3
    np.savez(uri, imgs=np.zeros((6, 8, 8), np.uint8), latents_classes=classes)
    with pytest.raises(SourceError, match="label 3, expected 0 to 2"):
        ingest(config, SIZE, str(tmp_path / "set"))


def test_a_column_that_it_lacks_is_named(tmp_path: Path, ingested: Ingest) -> None:
    write_set(tmp_path / "dsprites.npz")
    with pytest.raises(SourceError, match=r"column 'hue', which the source dsprites does not have; it has: color, sh"):
        ingested({"kind": "dsprites", "uri": str(tmp_path / "dsprites.npz")}, ("shape", "hue"), SIZE)
