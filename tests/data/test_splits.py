"""Splits: shares that become names whatever the order, strata of rows and of wishes, holdouts that are refused."""

import hashlib
from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest

from diffusegae.config.holdout import HoldoutConfig, PairsConfig
from diffusegae.data.records import MISSING
from diffusegae.data.splits import (
    Combinations,
    HeldPairs,
    Holdout,
    HoldoutError,
    Strata,
    Stratum,
    absent_values,
    hash_keys,
    is_held_out,
    require_trainable,
    resolve_holdout,
)
from diffusegae.schema import AttributeSchema, AttributeSpec, build_schema

SPECS = {
    "identity": AttributeSpec(column="kind", group_column="instance", width=2),
    "ground": AttributeSpec(width=2),
    "pose": AttributeSpec(width=2),
}
KINDS = ("bus", "car", "van", "tank")
SEEN, PAIR, INSTANCE = Stratum.SEEN, Stratum.UNSEEN_PAIR, Stratum.UNSEEN_INSTANCE


def world(instances: int = 2, grounds: int = 10, poses: int = 4, order: int = 1) -> Combinations:
    """Return every combination of four kinds, listed forwards or (-1) backwards, vocabularies too."""
    vocabularies = {
        "kind": KINDS,
        "instance": tuple(f"{kind}-i{number}" for kind in KINDS for number in range(instances)),
        "ground": tuple(f"b{number}" for number in range(grounds)),
        "pose": tuple(f"r{number}" for number in range(poses)),
    }
    rows = [
        (name.split("-")[0], name, ground, pose) for name, ground, pose in product(*list(vocabularies.values())[1:])
    ]
    ordered = {name: values[::order] for name, values in vocabularies.items()}
    labels = {
        name: np.array([ordered[name].index(row[place]) for row in rows[::order]], np.int32)
        for place, name in enumerate(vocabularies)
    }
    return Combinations(ordered, labels, np.ones(len(rows), np.int64))


def schema_of(found: Combinations) -> AttributeSchema:
    return build_schema(SPECS, found.vocabularies)


def resolve(found: Combinations, **settings: object) -> Holdout:
    return resolve_holdout(HoldoutConfig.model_validate(settings), schema_of(found), found)


def check(found: Combinations, holdout: Holdout) -> None:
    schema = schema_of(found)
    seen = Strata(holdout, found.vocabularies).of(found.labels) == SEEN
    require_trainable(schema, absent_values(holdout, schema, found), found.images(), found.images(seen), 500)


def test_what_lacks_a_label_gets_the_hardest_stratum_that_it_may_be_of() -> None:
    found = world()
    holdout = resolve(
        found, images=0, pairs={"attributes": ["ground", "pose"], "percent": 5}, values={"ground": ["b3"]}
    )
    rows = {name: np.full(6, found.vocabularies[name].index(value), np.int32) for name, value in
            (("kind", "bus"), ("instance", "bus-i0"), ("ground", "b0"), ("pose", "r0"))}  # fmt: skip
    rows["ground"][1] = rows["pose"][2] = rows["kind"][3] = rows["instance"][4] = MISSING
    rows["ground"][5] = found.vocabularies["ground"].index("b3")
    assert holdout.pairs[0].columns == ("ground", "pose")
    assert Strata(holdout, found.vocabularies).of(rows).tolist() == [SEEN, INSTANCE, PAIR, SEEN, SEEN, INSTANCE]
    trained = {name: np.array([0, MISSING, 0], np.int32) for name in ("ground", "pose")}
    wished = {name: np.zeros(1, np.int32) for name in rows}
    assert Strata(holdout, found.vocabularies, trained).of(wished).tolist() == [SEEN]


def test_missing_labels_are_neither_counted_nor_held_out() -> None:
    whole, generator = world(), np.random.default_rng(0)
    labels = {
        name: np.where(generator.random(len(codes)) < 0.2, MISSING, codes) for name, codes in whole.labels.items()
    }
    found = Combinations(whole.vocabularies, labels, whole.counts)
    for name, codes in labels.items():
        expected = [int((codes == value).sum()) for value in range(len(whole.vocabularies[name]))]
        assert found.images()[name].tolist() == expected
    wanted = {"images": 0, "pairs": {"attributes": ["ground", "pose"], "percent": 5}, "values": {"identity": 20}}
    assert resolve(found, **wanted) == resolve(whole, **wanted)
    holdout = resolve(found, **wanted)
    flags = absent_values(holdout, schema_of(found), found)
    assert {name: flags[name].tolist() for name in flags} == {
        name: kept.tolist() for name, kept in absent_values(holdout, schema_of(whole), whole).items()
    }
    check(found, holdout)


def test_hash_is_blake2b_little_endian() -> None:
    expected = int.from_bytes(hashlib.blake2b(b"car-i0001", digest_size=8).digest(), "little")
    assert hash_keys(["car-i0001"]).tolist() == [expected]
    assert hash_keys([]).shape == (0,)


def test_split_of_images_is_a_function_of_the_key() -> None:
    keys = [f"key-{number}" for number in range(20_000)]
    held_out = is_held_out(keys, 20)
    assert abs(held_out.mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / len(keys))
    assert np.array_equal(is_held_out(reversed(keys), 20), held_out[::-1])
    assert np.array_equal(is_held_out(keys[5:9], 20), held_out[5:9])
    assert np.all(is_held_out(keys, 30) >= held_out)


def test_shares_are_exact_of_label_values_two_by_two_and_of_instances() -> None:
    pairs = {"attributes": ["pose", "identity", "ground"], "percent": 10}
    held = resolve(world(), images=0, pairs=pairs, values={"identity": 25})
    assert [pairs.columns for pairs in held.pairs] == [("ground", "kind"), ("ground", "pose"), ("kind", "pose")]
    assert [len(pairs.values) for pairs in held.pairs] == [4, 4, 2]  # of 40, 40 and 16
    assert list(held.values) == ["instance"]
    assert len(held.values["instance"]) == 2


def test_no_kind_loses_its_last_instance_to_a_share() -> None:
    held = resolve(world(), values={"identity": 90})
    assert sorted(name.split("-")[0] for name in held.values["instance"]) == sorted(KINDS)
    check(world(), held)


def test_at_least_one_is_held_out_however_small_the_share() -> None:
    held = resolve(world(), pairs={"attributes": ["identity", "pose"], "percent": 0.1}, values={"identity": 0.1})
    assert len(held.pairs[0].values) == len(held.values["instance"]) == 1


def test_a_holdout_does_not_depend_on_any_order() -> None:
    settings: dict[str, object] = {
        "pairs": {"attributes": ["identity", "ground", "pose"], "percent": 12},
        "values": {"identity": 25, "ground": 20},
    }
    assert resolve(world(), **settings) == resolve(world(order=-1), **settings)
    turned = {"attributes": ["pose", "identity", "ground"], "percent": 12}
    assert resolve(world(), **settings) == resolve(world(), **settings | {"pairs": turned})


def test_a_larger_share_holds_out_what_a_smaller_one_does() -> None:
    few, many = (resolve(world(), pairs={"attributes": ["ground", "pose"], "percent": share}) for share in (10, 30))
    assert set(few.pairs[0].values) < set(many.pairs[0].values)


def test_pairs_are_drawn_from_those_that_exist_beside_what_is_held_out_whole() -> None:
    found = world()
    kept = found.labels["kind"] != found.labels["pose"]  # as many poses as kinds, and no kind in the pose of its number
    thinned = Combinations(found.vocabularies, {n: v[kept] for n, v in found.labels.items()}, found.counts[kept])
    held = resolve(thinned, pairs={"attributes": ["identity", "pose"], "percent": 99}, values={"pose": ["r0"]})
    (pairs,) = held.pairs
    assert len(pairs.values) == 9
    assert "r0" not in {pose for _, pose in pairs.values}
    assert all(KINDS[number] != kind for kind, pose in pairs.values for number in [int(pose[1:])])


def test_lists_name_instances_or_whole_values() -> None:
    held = resolve(world(), images=0, values={"identity": ["car-i1", "bus"], "pose": ["r3"]})
    assert held.values == {"instance": ("car-i1",), "kind": ("bus",), "pose": ("r3",)}
    check(world(), held)


def _by_hand(held: Holdout, names: Mapping[str, str]) -> Stratum:
    if any(names[column] in values for column, values in held.values.items()):
        return INSTANCE
    pairs = [(names[pairs.columns[0]], names[pairs.columns[1]]) in pairs.values for pairs in held.pairs]
    return PAIR if any(pairs) else SEEN


def test_strata_are_those_of_the_names_at_any_shape() -> None:
    found = world()
    pairs = {"attributes": ["identity", "ground", "pose"], "percent": 10}
    held = resolve(found, pairs=pairs, values={"identity": ["car-i1", "bus"]})
    strata = Strata(held, found.vocabularies).of(found.labels)
    expected = [
        _by_hand(held, {name: found.vocabularies[name][labels[row]] for name, labels in found.labels.items()})
        for row in range(len(strata))
    ]
    assert strata.tolist() == expected
    assert set(expected) == {SEEN, PAIR, INSTANCE}
    folded = {name: labels.reshape(4, 2, -1) for name, labels in found.labels.items()}
    assert np.array_equal(Strata(held, found.vocabularies).of(folded), strata.reshape(4, 2, -1))


def test_what_training_shows_decides_where_it_is_known() -> None:
    vocabularies = {"ground": ("a", "b"), "pose": ("x", "y")}
    held = Holdout(images=20, pairs=(HeldPairs(columns=("ground", "pose"), values=(("a", "x"),)),))
    wished = {"ground": np.array([0, 0, 1, 1]), "pose": np.array([0, 1, 0, 1])}
    assert Strata(held, vocabularies).of(wished).tolist() == [PAIR, SEEN, SEEN, SEEN]
    trained = {"ground": np.array([0, 1]), "pose": np.array([1, 1])}
    assert Strata(held, vocabularies, trained).of(wished).tolist() == [PAIR, SEEN, PAIR, SEEN]


def test_a_holdout_of_images_alone_has_one_stratum() -> None:
    found = world()
    held = resolve(found)
    assert held == Holdout(images=20)
    assert not Strata(held, found.vocabularies).of(found.labels).any()


@pytest.mark.parametrize(("name", "known"), [("bicycle", "bus, car, van, tank, bus-i0"), ("i7", "bus")])
def test_an_unknown_value_is_named_with_known_ones(name: str, known: str) -> None:
    with pytest.raises(HoldoutError, match=rf"values.identity names '{name}', which the data do not have.*{known}"):
        resolve(world(), values={"identity": ["car-i1", name]})


def test_a_share_of_instances_needs_a_kind_with_two() -> None:
    with pytest.raises(HoldoutError, match="has a single one in column 'instance'; hold out whole values by a list"):
        resolve(world(instances=1), values={"identity": 25})


def test_all_instances_of_a_kind_are_refused_unless_the_kind_is_named() -> None:
    with pytest.raises(
        HoldoutError, match=r"1 value\(s\) of column 'kind': 'car' \(80 images, all held out\); hold less"
    ):
        check(world(), resolve(world(), values={"identity": ["car-i0", "car-i1"]}))
    check(world(), resolve(world(), values={"identity": ["car"]}))


def test_pairs_that_leave_a_value_without_a_training_image_are_refused() -> None:
    with pytest.raises(
        HoldoutError, match=r"no training image is left of .* 'ground': 'b\d' \(32 images, all held out"
    ):
        check(world(), resolve(world(), pairs={"attributes": ["ground", "pose"], "percent": 85}))


def test_fewer_than_two_values_in_training_are_refused() -> None:
    held = resolve(world(), values={"identity": ["bus", "van", "tank"]})
    with pytest.raises(HoldoutError, match=r"'identity': training is left with 1 value\(s\) of column 'kind'"):
        check(world(), held)


def test_values_that_the_hash_of_images_took_are_refused_by_the_real_counts() -> None:
    found = world()
    schema, trained = schema_of(found), found.images()
    absent = absent_values(resolve(found), schema, found)
    require_trainable(schema, absent, found.images(), trained, 500)
    trained["instance"][3] = 0
    with pytest.raises(HoldoutError, match=r"'instance': 'car-i1' \(40 images.*name what training is to lack in data"):
        require_trainable(schema, absent, found.images(), trained, 500)


def test_of_very_many_values_the_frequent_ones_alone_must_be_trained() -> None:
    found = world()
    schema, trained = schema_of(found), found.images()
    absent, last = absent_values(resolve(found), schema, found), len(found.vocabularies["instance"]) - 1
    trained["instance"][last] = 0
    require_trainable(schema, absent, found.images(), trained, last)  # of equal ones the last does not go by name
    with pytest.raises(HoldoutError, match="no training image is left of 1 value"):
        require_trainable(schema, absent, found.images(), trained, last + 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": 0}, "nothing is held out, so nothing can be judged"),
        ({"images": 100}, "less than 100"),
        ({"pairs": {"attributes": ["pose"], "percent": 5}}, "expected at least 2 different ones"),
        ({"pairs": {"attributes": ["pose", "pose"], "percent": 5}}, "expected at least 2 different ones"),
        ({"pairs": {"attributes": ["pose", "ground"], "percent": 0}}, "greater than 0"),
        ({"values": {"pose": 100}}, "less than 100"),
        ({"values": {"pose": []}}, r"pose is \[\]; expected a percent above 0, or a list of names"),
    ],
)
def test_settings_out_of_range_are_named(settings: Mapping[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HoldoutConfig.model_validate(settings)


def test_attributes_are_each_named_once() -> None:
    pairs = PairsConfig(attributes=("a", "b"), percent=5)
    assert HoldoutConfig(pairs=pairs, values={"b": 5, "c": ("x",)}).attributes == ("a", "b", "c")
