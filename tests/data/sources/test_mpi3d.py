"""MPI3D: labels by place for the two numbers of pictures, stored and compressed, and other files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diffusegae.data.records import SourceError
from diffusegae.data.sources import mpi3d
from tests.data.sources.conftest import Ingest

SIZE = 8


def small(layout: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return a layout with two values of each factor at most, of the axes three."""
    return {name: values[: 3 if name.endswith("axis") else 2] for name, values in layout.items()}


def test_the_layouts_are_those_of_the_published_sets() -> None:
    shapes = {count: [len(values) for values in layout.values()] for count, layout in mpi3d._LAYOUTS.items()}
    assert shapes == {1_036_800: [6, 6, 2, 3, 3, 40, 40], 460_800: [4, 4, 2, 3, 3, 40, 40]}
    assert all(count == np.prod(shape) for count, shape in shapes.items())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("count", list(mpi3d._LAYOUTS))
def test_every_place_has_its_labels(
    count: int, save: Callable[..., None], tmp_path: Path, ingested: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = small(mpi3d._LAYOUTS[count])
    shape = [len(values) for values in layout.values()]
    monkeypatch.setattr(mpi3d, "_LAYOUTS", {np.prod(shape).item(): layout})
    images = np.random.default_rng(0).integers(0, 256, (np.prod(shape), SIZE, SIZE, 3), np.uint8)
    save(tmp_path / "mpi3d.npz", images=images)
    source = {"kind": "mpi3d", "uri": str(tmp_path / "mpi3d.npz")}
    found = ingested(source, tuple(layout), SIZE, rows=100)
    assert found.manifest.columns == layout
    assert found.manifest.num_rows == len(images)
    by_factor = images.reshape(*shape, SIZE, SIZE, 3)
    for key, labels in found.labels.items():
        place = tuple(values.index(labels[name]) for name, values in layout.items())
        assert np.array_equal(found.pixels[key], by_factor[place])


def test_another_number_of_pictures_is_named(tmp_path: Path, ingested: Ingest) -> None:
    source = {"kind": "mpi3d", "uri": str(tmp_path / "mpi3d.npz")}
    np.savez(tmp_path / "mpi3d.npz", images=np.zeros((7, SIZE, SIZE, 3), np.uint8))
    with pytest.raises(SourceError, match=r"images \[7, 8, 8, 3\], expected .* with n = 1,036,800 or 460,800"):
        ingested(source, ("object_color", "object_shape"), SIZE)
