"""Every baseline at every preset's size: its networks fit the images, and what it edits with satisfies the protocol."""

from itertools import cycle

import pytest
import torch

from diffusegae.baselines.table import BASELINES
from diffusegae.config.baselines import BaselineName
from diffusegae.config.load import load_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.method import Method
from diffusegae.schema import Attribute, AttributeSchema
from tests.tiny import PRESETS


def schema_of(config: PipelineConfig) -> AttributeSchema:
    """Return the paper's numbers of values, with the preset's widths."""
    attributes = []
    for (name, spec), count in zip(config.data.attributes.items(), cycle((10, 111, 6)), strict=False):
        values = tuple(f"{name}{value}" for value in range(count))
        attributes.append(
            Attribute(name=name, column=name, group_column=name, values=values, group_values=values, width=spec.width)
        )
    return AttributeSchema(attributes=tuple(attributes))


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.yaml")))
@pytest.mark.parametrize("name", list(BASELINES))
def test_a_baseline_is_built_at_the_size_of_every_preset(preset: str, name: BaselineName) -> None:
    config = load_config(preset, (), PRESETS)
    with torch.device("meta"):
        baseline = BASELINES[name](config, schema_of(config))
    claimed = {part for goal in baseline.goals() for part in goal.trains}
    counts = baseline.parameter_counts()
    assert all(counts[part] > 0 for part in claimed)
    assert claimed | {part for part in counts if getattr(baseline, part) in baseline.frozen} == set(counts)
    method = baseline.method("meta")
    assert isinstance(method, Method)
    assert method.image_size == config.model.image_size
