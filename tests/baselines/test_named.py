"""Many values, of which few go by name: no baseline has more outputs than those, and labels have places among them."""

import pytest
import torch

from diffusegae.baselines.table import BASELINES
from diffusegae.config.baselines import BaselineName
from diffusegae.schema import Attribute, AttributeSchema
from tests.tiny import smoke_config, tiny_schema

MANY = 20_000
NAMED = (7, 300, 19_999)
CONFIG = smoke_config()


def schema_of_many() -> AttributeSchema:
    values = tuple(f"v{k}" for k in range(MANY))
    return AttributeSchema(
        attributes=tuple(
            Attribute(name=n, column=n, group_column=n, values=values, group_values=values, width=8, named=NAMED)
            for n in "abc"
        )
    )


@pytest.mark.parametrize("name", [name for name, baseline in BASELINES.items() if baseline.reads_names])
def test_networks_are_as_large_as_for_the_named_values_alone(name: BaselineName) -> None:
    few = BASELINES[name](CONFIG, tiny_schema(8, 8, 8, cardinality=len(NAMED)))
    assert BASELINES[name](CONFIG, schema_of_many()).parameter_counts() == few.parameter_counts()


def test_those_who_learn_from_labels_say_so() -> None:
    assert {name for name, baseline in BASELINES.items() if baseline.reads_names} == {"ae_ds", "stargan", "elegant"}


def test_ways_are_fitted_to_the_places_of_labels() -> None:
    schema = schema_of_many()
    found = BASELINES["diffae"](CONFIG, schema).method()
    places = torch.randint(0, 3, (60, 3), generator=torch.Generator().manual_seed(0))
    codes = torch.nn.functional.one_hot(places, 3).flatten(1).float()
    found.fit_ways(codes, torch.tensor(NAMED)[places])  # type: ignore[attr-defined]
    assert found.moves.means[0].shape == (3, 9)  # type: ignore[attr-defined]
    assert torch.equal(found.moves.read(codes), places)  # type: ignore[attr-defined]
