"""The schema: slices that tile z_dis, vocabularies from the data, and mistakes that are named."""

import numpy as np
import pytest

from diffusegae.schema import Attribute, AttributeSchema, AttributeSpec, SchemaError, build_schema

VOCABULARIES = {
    "category": ("car", "tank", "van"),
    "instance": ("car-i0001", "car-i0002", "tank-i0001", "van-i0001"),
    "background": ("b0000", "b0001"),
    "pose": ("r01", "r02"),
}
SPECS = {
    "identity": AttributeSpec(column="category", group_column="instance", width=60),
    "background": AttributeSpec(width=20),
    "pose": AttributeSpec(width=20),
}


def make_attribute(name: str, values: tuple[str, ...] = ("a", "b"), width: int = 3) -> Attribute:
    return Attribute(name=name, column=name, group_column=name, values=values, group_values=values, width=width)


def test_slices_tile_z_dis_in_order() -> None:
    schema = build_schema(SPECS, VOCABULARIES)
    assert schema.names == ("identity", "background", "pose")
    assert schema.width == 100
    assert schema.slices == (slice(0, 60), slice(60, 80), slice(80, 100))
    assert schema.slice_of("background") == slice(60, 80)
    assert schema.widths == (60, 20, 20)


def test_labels_and_groups_have_their_own_columns() -> None:
    schema = build_schema(SPECS, VOCABULARIES)
    assert schema.columns == ("category", "background", "pose")
    assert schema.group_columns == ("instance", "background", "pose")
    assert schema.cardinalities == (3, 2, 2)
    assert schema.attributes[0].group_values == VOCABULARIES["instance"]
    assert schema.attributes[0].index_of("tank") == 1


def test_unknown_names_and_values_list_the_known_ones() -> None:
    schema = build_schema(SPECS, VOCABULARIES)
    with pytest.raises(SchemaError, match="unknown attribute 'colour'; expected one of: identity, background, pose"):
        schema.slice_of("colour")
    with pytest.raises(SchemaError, match="no value 'bus'; expected one of: car, tank, van"):
        schema.attributes[0].index_of("bus")


def test_column_that_the_data_lacks_is_named() -> None:
    with pytest.raises(SchemaError, match=r"reads column 'colour'.*category, instance, background, pose"):
        build_schema(SPECS | {"colour": AttributeSpec(width=5)}, VOCABULARIES)


def test_attribute_with_one_value_is_named() -> None:
    with pytest.raises(ValueError, match=r"column 'pose' has 1 value\(s\) \['r01'\]"):
        build_schema(SPECS, VOCABULARIES | {"pose": ("r01",)})


def test_value_or_name_that_is_there_twice_is_named() -> None:
    with pytest.raises(ValueError, match="lists a value twice"):
        make_attribute("pose", values=("a", "b", "a"))
    with pytest.raises(ValueError, match="names an attribute twice"):
        AttributeSchema(attributes=(make_attribute("pose"), make_attribute("pose")))


def test_groups_need_two_attributes() -> None:
    with pytest.raises(ValueError, match="GROUPs need at least 2"):
        AttributeSchema(attributes=(make_attribute("pose"),))


def test_fingerprint_depends_on_all_that_a_checkpoint_relies_on() -> None:
    schema = build_schema(SPECS, VOCABULARIES)
    others = [
        build_schema(SPECS, VOCABULARIES | {"pose": ("r02", "r01")}),
        build_schema(SPECS | {"pose": AttributeSpec(width=21)}, VOCABULARIES),
        build_schema(dict(reversed(SPECS.items())), VOCABULARIES),
    ]
    assert len({schema.fingerprint(), *(other.fingerprint() for other in others)}) == 4
    assert AttributeSchema.model_validate_json(schema.model_dump_json()).fingerprint() == schema.fingerprint()


@pytest.mark.parametrize(
    ("specs", "vocabularies", "difference"),
    [
        (SPECS | {"pose": AttributeSpec(width=21)}, VOCABULARIES, "part 'pose' is 21 wide instead of 20"),
        (SPECS, VOCABULARIES | {"background": ("b0000", "b0001", "b0002")}, "'background' has 3 values"),
        (dict(reversed(SPECS.items())), VOCABULARIES, "attributes .*'pose'.* instead of .*'identity'"),
        (SPECS | {"identity": AttributeSpec(column="category", width=60)}, VOCABULARIES, "read other columns"),
    ],
)
def test_another_schema_is_refused_with_its_difference(
    specs: dict[str, AttributeSpec], vocabularies: dict[str, tuple[str, ...]], difference: str
) -> None:
    schema = build_schema(SPECS, VOCABULARIES)
    schema.require_same(build_schema(SPECS, VOCABULARIES), "here")
    with pytest.raises(SchemaError, match=f"checkpoint x was made for another schema: .*{difference}"):
        schema.require_same(build_schema(specs, vocabularies), "checkpoint x")


COUNTS = {"category": (5, 9, 9), "instance": (1, 4, 9, 9), "background": (3, 3), "pose": (8, 1)}


def test_the_most_frequent_values_go_by_name() -> None:
    schema = build_schema(SPECS, VOCABULARIES, COUNTS, 2)
    identity, background, _ = schema.attributes
    assert (identity.named, identity.named_values) == ((1, 2), ("tank", "van"))
    assert (background.named, background.named_values) == ((), ("b0000", "b0001"))
    assert schema.cardinalities == (2, 2, 2)
    assert build_schema(SPECS, VOCABULARIES, COUNTS, 1).attributes[0].named == (1,)  # the first of equal ones
    assert identity.values == VOCABULARIES["category"]


def test_labels_have_places_among_the_named_ones() -> None:
    schema = build_schema(SPECS, VOCABULARIES, COUNTS, 2)
    labels = np.array([[0, 0, 1], [1, 1, 0], [2, -1, 0], [-1, 0, 0]])
    assert schema.places(labels).tolist() == [[-1, 0, 1], [0, 1, 0], [1, -1, 0], [-1, 0, 0]]
    assert np.array_equal(build_schema(SPECS, VOCABULARIES).places(labels), labels)


def test_what_goes_by_name_makes_no_other_schema() -> None:
    every, some = build_schema(SPECS, VOCABULARIES), build_schema(SPECS, VOCABULARIES, COUNTS, 2)
    assert every.fingerprint() == some.fingerprint()
    some.require_same(every, "here")
    assert "named" not in every.model_dump_json()
    assert AttributeSchema.model_validate_json(some.model_dump_json()) == some
