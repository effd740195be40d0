"""A stored set of painted vehicles, with two instances of each kind, and two tiny models judged on it."""

from itertools import product
from pathlib import Path

import pytest

from diffusegae.data.lookup import ImageLookup
from diffusegae.editing.editor import Editor
from diffusegae.metrics.evaluation import Evaluation, evaluate
from diffusegae.schema import AttributeSchema, AttributeSpec, build_schema
from tests.stored_images import write_images
from tests.tiny import smoke_config, tiny_model

COLUMNS = {"kind": 3, "instance": 6, "ground": 4, "pose": 5}


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> ImageLookup:
    """Return 120 images; the instance decides the kind."""
    impossible = [labels for labels in product(*map(range, COLUMNS.values())) if labels[1] // 2 != labels[0]]
    root = str(tmp_path_factory.mktemp("painted"))
    return ImageLookup(root, write_images(root, COLUMNS, impossible))


@pytest.fixture(scope="session")
def painted_schema(painted: ImageLookup) -> AttributeSchema:
    """Return its attributes, of 8 dimensions each."""
    specs = {
        "vehicle": AttributeSpec(column="kind", group_column="instance", width=8),
        "ground": AttributeSpec(width=8),
        "pose": AttributeSpec(width=8),
    }
    return build_schema(specs, painted.manifest.columns)


EVALUATION_CONFIG = smoke_config(
    "evaluate.num_reconstructions=4", "evaluate.num_edits=6", "evaluate.num_pictures=2", "evaluate.edit_steps=2",
    "evaluate.num_projected=30",
)  # fmt: skip


@pytest.fixture(scope="session")
def evaluation(
    painted: ImageLookup, painted_schema: AttributeSchema, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Evaluation, Path]:
    """Return what judging two tiny models found, and the folder that it wrote."""
    output = tmp_path_factory.mktemp("evaluation")
    editors = {
        name: Editor(tiny_model(EVALUATION_CONFIG, painted_schema, seed), EVALUATION_CONFIG, painted_schema)
        for seed, name in enumerate(("stage 2", "stage 3"))
    }
    return evaluate(editors, painted, EVALUATION_CONFIG, painted_schema, output), output
