"""Tiny methods measured once on the painted set: an editor, one that looks the truth up, and one that can do little."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusegae.comparison.measured import Measured
from diffusegae.comparison.measuring import measure_method
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.lookup import ImageLookup
from diffusegae.editing.editor import Editor
from diffusegae.editing.method import Images, UnsupportedError
from diffusegae.images import to_pixels, to_tensor
from diffusegae.metrics.judging import Judging, prepare_judging
from diffusegae.metrics.smoothness import DdimPath
from diffusegae.schema import AttributeSchema
from tests.metrics.conftest import painted, painted_schema
from tests.tiny import smoke_config, tiny_model

__all__ = ["painted", "painted_schema"]  # fixtures

CONFIG = smoke_config(
    "evaluate.num_reconstructions=6", "evaluate.num_edits=6", "evaluate.num_pictures=2", "evaluate.edit_steps=2",
    "evaluate.num_projected=30", "evaluate.batch_size=4", "compare.num_generated=10", "compare.num_pairs=6",
    "compare.path_steps=[2,4]",
)  # fmt: skip


class Oracle:
    """Knows every stored picture: its code is its labels, and an edit returns the stored picture that should result."""

    image_size = 32

    def __init__(self, lookup: ImageLookup, schema: AttributeSchema) -> None:
        self.lookup, self.schema = lookup, schema
        self.pixels = lookup.take(np.arange(lookup.manifest.num_rows))
        self.rows = {picture.tobytes(): row for row, picture in enumerate(self.pixels)}
        widths = [len(attribute.group_values) for attribute in schema.attributes]
        stops = np.cumsum(widths).tolist()
        # Not from 0 on, and not all of the code: whoever takes more than the parts takes noise.
        self.parts: tuple[slice, ...] | None = tuple(
            slice(2 + stop - width, 2 + stop) for stop, width in zip(stops, widths, strict=True)
        )

    def labels(self, images: Images) -> np.ndarray:
        found = [self.rows[picture.tobytes()] for picture in to_pixels(images)]
        columns = self.lookup.labels.columns
        return np.stack([columns[name][found] for name in self.schema.group_columns], axis=1)

    def pictures(self, labels: np.ndarray) -> Images:
        return to_tensor(self.pixels[self.lookup.find(labels, self.schema.group_columns)])

    def encode(self, images: Images) -> Tensor:
        labels, codes = self.labels(images), [torch.full((len(images), 2), 7.0)]
        for a, attribute in enumerate(self.schema.attributes):
            codes.append(torch.eye(len(attribute.group_values))[torch.from_numpy(labels[:, a]).long()])
        return torch.cat([*codes, torch.full((len(images), 1), 9.0)], dim=1)

    def decode(self, codes: Tensor, seeds: Sequence[int]) -> Images:
        raise NotImplementedError

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        return self.pictures(self.labels(images))

    def edit(self, source: Images, donors: Mapping[str, Images]) -> Images:
        labels = self.labels(source)
        for name, donor in donors.items():
            a = self.schema.index_of(name)
            labels[:, a] = self.labels(donor)[:, a]
        return self.pictures(labels)

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        assert len(seeds) <= CONFIG.evaluate.batch_size
        return self.pictures(
            np.stack([self.labels(donors[name])[:, a] for a, name in enumerate(self.schema.names)], axis=1)
        )

    def interpolate(self, source: Images, target: Images, names: Sequence[str], frames: int) -> list[Images]:
        return [torch.lerp(source, target, alpha) for alpha in torch.linspace(0, 1, frames)]


class Blur:
    """An undivided code: a small version of the picture, which it can decode, and nothing else."""

    image_size, parts = 32, None

    def __init__(self, schema: AttributeSchema) -> None:
        self.schema = schema

    def encode(self, images: Images) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)

    def decode(self, codes: Tensor, seeds: Sequence[int]) -> Images:
        return torch.nn.functional.interpolate(codes.view(-1, 3, 4, 4), size=32, mode="bilinear")

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        return self.decode(self.encode(images), [0] * len(images))

    def edit(self, source: Images, donors: Mapping[str, Images]) -> Images:
        raise UnsupportedError("its code has no parts")

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        raise UnsupportedError("its code has no parts")

    def interpolate(self, source: Images, target: Images, names: Sequence[str], frames: int) -> list[Images]:
        if set(names) != set(self.schema.names):
            raise UnsupportedError("its code has no parts")
        return [torch.lerp(source, target, alpha) for alpha in torch.linspace(0, 1, frames)]


@pytest.fixture(scope="session")
def judging(painted: ImageLookup, painted_schema: AttributeSchema, tmp_path_factory: pytest.TempPathFactory) -> Judging:
    return prepare_judging(painted, CONFIG, painted_schema, tmp_path_factory.mktemp("judge"))


@pytest.fixture(scope="session")
def editor(painted_schema: AttributeSchema) -> Editor:
    return Editor(tiny_model(CONFIG, painted_schema), CONFIG, painted_schema)


@pytest.fixture(scope="session")
def measured(
    judging: Judging, editor: Editor, painted: ImageLookup, painted_schema: AttributeSchema
) -> dict[str, Measured]:
    """Return what measuring found of each method, ours last so that the report has to bring it to its place."""
    return {
        "oracle": measure_method("oracle", Oracle(painted, painted_schema), None, judging),
        "ddim": measure_method("ddim", Blur(painted_schema), None, judging, measures_codes=False),
        "diffae": measure_method("diffae", Blur(painted_schema), DdimPath(editor, "z_sem"), judging),
        "diffusegae": measure_method("diffusegae", editor, DdimPath(editor), judging),
    }


@pytest.fixture(scope="session")
def config() -> PipelineConfig:
    return CONFIG


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path
