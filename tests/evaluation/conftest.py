"""A painted set with all three strata, its context, and tiny methods: an editor, one that knows the truth, a blur."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusegae.data.lookup import ImageLookup
from diffusegae.data.splits import HeldPairs, Holdout
from diffusegae.editing.editor import Editor
from diffusegae.editing.method import Images, UnsupportedError
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.context import Context, build_context
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.running import measure
from diffusegae.pixels import to_pixels, to_tensor
from diffusegae.schema import AttributeSchema, AttributeSpec, build_schema
from tests.stored_images import write_images
from tests.tiny import smoke_config, tiny_model

COLUMNS = {"kind": 3, "instance": 6, "ground": 4, "pose": 5}
# A pair (kind, pose) is missing in training, and a whole instance; the instance decides the kind.
HOLDOUT = Holdout(
    images=30,
    pairs=(HeldPairs(columns=("kind", "pose"), values=(("kind0", "pose1"), ("kind1", "pose3"))),),
    values={"instance": ("instance5",)},
)
CONFIG = smoke_config(
    "data.source={kind: folder, images: none, table: none.csv}",
    "evaluate.num_reconstructions=6", "evaluate.num_edits=6", "evaluate.num_pictures=2", "evaluate.edit_steps=2",
    "evaluate.num_projected=30", "evaluate.batch_size=4", "evaluate.piece_images=5", "compare.num_generated=7",
    "compare.num_pairs=6", "compare.path_steps=[2,4]",
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


class Copier(Oracle):
    """Returns the training image nearest to what should come out: it has learnt the training set by heart."""

    def pictures(self, labels: np.ndarray) -> Images:
        train = np.flatnonzero(~self.lookup.labels.held_out)
        known = self.lookup.labels.matrix(self.schema.group_columns)[train]
        shared = (labels[:, None] == known[None]).sum(axis=2)
        return to_tensor(self.pixels[train[shared.argmax(axis=1)]])


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
def painted(tmp_path_factory: pytest.TempPathFactory) -> ImageLookup:
    """Return 120 images in three strata."""
    impossible = [labels for labels in product(*map(range, COLUMNS.values())) if labels[1] // 2 != labels[0]]
    root = str(tmp_path_factory.mktemp("painted"))
    return ImageLookup(root, write_images(root, COLUMNS, impossible, holdout=HOLDOUT))


@pytest.fixture(scope="session")
def painted_schema(painted: ImageLookup) -> AttributeSchema:
    """Return its attributes, of 8 dimensions each."""
    specs = {
        "vehicle": AttributeSpec(column="kind", group_column="instance", width=8),
        "ground": AttributeSpec(width=8),
        "pose": AttributeSpec(width=8),
    }
    return build_schema(specs, painted.manifest.columns)


@pytest.fixture(scope="session")
def context(painted: ImageLookup, painted_schema: AttributeSchema) -> Context:
    return build_context(painted, CONFIG, painted_schema)


@pytest.fixture(scope="session")
def editor(painted_schema: AttributeSchema) -> Editor:
    return Editor(tiny_model(CONFIG, painted_schema), CONFIG, painted_schema)


@pytest.fixture(scope="session")
def references(context: Context) -> Measured:
    return measure(context, compared=True)


@pytest.fixture(scope="session")
def measured(
    context: Context, editor: Editor, painted: ImageLookup, painted_schema: AttributeSchema
) -> dict[str, Measured]:
    """Return what measuring found of each method, under the name of one that can do as much."""
    methods = {
        "ae_ds": Oracle(painted, painted_schema),
        "gzsnet": Copier(painted, painted_schema),
        "ddim": Blur(painted_schema),
        "diffae": Blur(painted_schema),
        "diffusegae": editor,
    }
    return {
        name: measure(Bench.of(method, context), name, compared=True)  # type: ignore[arg-type]
        for name, method in methods.items()
    }
