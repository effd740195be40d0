"""Value codes: means over the images that share a value, NaN where none does."""

import numpy as np
import torch

from diffusegae.editing.values import known_values, mean_parts
from tests.tiny import tiny_schema

SCHEMA = tiny_schema(2, 3, cardinality=4)


def test_a_values_code_is_the_mean_part_of_its_images() -> None:
    codes = torch.rand(40, 5, generator=torch.Generator().manual_seed(0))
    generator = np.random.default_rng(0)
    labels = {"a": generator.integers(4, size=40), "b": generator.integers(3, size=40)}  # no image shows v3 of b
    values = mean_parts(SCHEMA, codes, labels)
    for value in range(4):
        chosen = torch.as_tensor(labels["a"] == value)
        torch.testing.assert_close(values["a"][value], codes[chosen, :2].mean(dim=0))
    torch.testing.assert_close(values["b"][1], codes[torch.as_tensor(labels["b"] == 1), 2:].mean(dim=0))
    assert values["b"][3].isnan().all()
    assert known_values(SCHEMA, values) == {"a": ("v0", "v1", "v2", "v3"), "b": ("v0", "v1", "v2")}
    assert known_values(SCHEMA, {}) == {}
