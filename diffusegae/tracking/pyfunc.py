"""The registered model as MLflow's `python_function`: source and donor images in, edited images out.

MLflow calls `_load_pyfunc` by this module's name. The model is a checkpoint directory, nothing is pickled. Its inputs
are `source` and `donor`, uint8 [batch, size, size, 3]; its parameters `attributes`, taken from the donor, and `steps`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from mlflow.models import ModelSignature
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

from diffusegae.checkpoint import CheckpointMeta
from diffusegae.editing.editor import Editor
from diffusegae.editing.loading import load_editor
from diffusegae.pixels import to_pixels, to_tensor

Pixels = UInt8[np.ndarray, "batch height width 3"]


class EditingModel:
    """Replaces attributes of pictures by those of donors, row by row."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    def predict(self, inputs: Mapping[str, Pixels], params: Mapping[str, Any] | None = None) -> Pixels:
        """Return each source with the named attributes taken from its donor; x_T is inferred from the source."""
        chosen = dict(params or {})
        editor = self._editor
        steps = int(chosen.get("steps", editor.sampling.steps))
        names = [str(name) for name in chosen.get("attributes", editor.schema.names[:1])]
        editor = editor.with_sampling(editor.sampling.model_copy(update={"steps": steps}))
        donor = to_tensor(inputs["donor"])
        return to_pixels(editor.edit(to_tensor(inputs["source"]), dict.fromkeys(names, donor)))


def signature_of(meta: CheckpointMeta) -> ModelSignature:
    """Return the signature that `EditingModel.predict` has for a checkpoint."""
    size = meta.config.model.image_size
    shape = (-1, size, size, 3)
    pixels = np.dtype(np.uint8)
    params = [
        ParamSpec("attributes", "string", [meta.attributes.names[0]], shape=(-1,)),
        ParamSpec("steps", "long", meta.config.sampling.steps),
    ]
    return ModelSignature(
        inputs=Schema([TensorSpec(pixels, shape, "source"), TensorSpec(pixels, shape, "donor")]),
        outputs=Schema([TensorSpec(pixels, shape)]),
        params=ParamSchema(params),
    )


def example_of(meta: CheckpointMeta) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """Return inputs and parameters that show how to call the model."""
    black = np.zeros((1, meta.config.model.image_size, meta.config.model.image_size, 3), np.uint8)
    params = {"attributes": [meta.attributes.names[0]], "steps": meta.config.sampling.steps}
    return {"source": black, "donor": black}, params


def _load_pyfunc(path: str) -> EditingModel:
    return EditingModel(load_editor(Path(path)))
