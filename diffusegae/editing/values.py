"""The value codes: for each value of each attribute the mean part of z_dis of its training images, so that an attribute
can be set by a value's name instead of a donor's picture. Row k of an attribute's table belongs to its k-th value; NaN
where no training image shows it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from diffusegae.data.lookup import ImageLookup
from diffusegae.editing.editor import Editor
from diffusegae.pixels import to_device
from diffusegae.schema import AttributeSchema

ValueCodes = Mapping[str, Float[Tensor, "values width"]]
MAX_IMAGES = 20_000  # of the training split; a mean of dozens is as good as one of thousands
_BATCH = 256


def measure_values(editor: Editor, lookup: ImageLookup, seed: int) -> dict[str, Tensor]:
    """Return the value codes of a model from its training images, MAX_IMAGES of them at the most."""
    rows = lookup.sample(MAX_IMAGES, False, np.random.default_rng(seed))
    codes = [
        editor.encode(to_device(lookup.take(part), editor.device)).cpu()
        for part in np.split(rows, range(_BATCH, len(rows), _BATCH))
    ]
    labels = {column: lookup.labels.columns[column][rows] for column in editor.schema.columns}
    return mean_parts(editor.schema, torch.cat(codes), labels)


def mean_parts(
    schema: AttributeSchema, codes: Float[Tensor, "n z_dis"], labels: Mapping[str, Integer[np.ndarray, " n"]]
) -> dict[str, Tensor]:
    """Return the mean part of the codes that share a value, for every value of every attribute, float32."""
    means = {}
    for attribute, part in zip(schema.attributes, schema.slices, strict=True):
        own = torch.as_tensor(labels[attribute.column].astype(np.int64))
        counts = torch.bincount(own, minlength=len(attribute.values))
        sums = torch.zeros(len(attribute.values), attribute.width, dtype=torch.float64)
        sums.index_add_(0, own, codes[:, part].double())
        means[attribute.name] = (sums / counts[:, None]).float()  # 0 / 0 is NaN, as promised
    return means


def known_values(schema: AttributeSchema, values: ValueCodes) -> dict[str, tuple[str, ...]]:
    """Return the names of the values that have a code, by attribute; empty if there are no value codes."""
    return {
        attribute.name: tuple(
            name for name, code in zip(attribute.values, values[attribute.name], strict=True) if code.isfinite().all()
        )
        for attribute in schema.attributes
        if attribute.name in values
    }
