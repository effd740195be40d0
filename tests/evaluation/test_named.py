"""A set with more values than go by name: what is judged shows those alone, and the report says how many they are."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from diffusegae.config.data import DataConfig
from diffusegae.data.lookup import ImageLookup
from diffusegae.data.shards import naming_notes, schema_of
from diffusegae.editing.editor import Editor
from diffusegae.editing.values import known_values, measure_values
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.context import Context, build_context, context_digest
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.results import Finding, Judged
from diffusegae.evaluation.running import measure
from diffusegae.report.evaluation_page import write_evaluation
from diffusegae.schema import AttributeSchema, AttributeSpec
from tests.evaluation.conftest import CONFIG, Oracle
from tests.stored_images import write_images
from tests.tiny import tiny_model

COLUMNS = {"kind": 6, "ground": 5, "pose": 4}
# Of kind 0 and kind 3 there are few images, so that those that go by name are neither the first ones nor all.
LEFT_OUT = [labels for labels in product(*map(range, COLUMNS.values())) if labels[0] in (0, 3) and labels[1] > 1]
NAMED = {"kind": (1, 2, 4, 5), "ground": (0, 1, 2, 3), "pose": ()}
SPECS = {name: AttributeSpec(width=8) for name in COLUMNS}


def data_of(named_values: int) -> DataConfig:
    return CONFIG.data.model_copy(update={"attributes": SPECS, "named_values": named_values})


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageLookup, AttributeSchema]:
    root = str(tmp_path_factory.mktemp("named"))
    manifest = write_images(root, COLUMNS, LEFT_OUT)
    schema = schema_of(manifest, data_of(4))
    return ImageLookup(root, manifest, schema=schema), schema


@pytest.fixture(scope="module")
def named_context(named: tuple[ImageLookup, AttributeSchema]) -> Context:
    evaluate = CONFIG.evaluate.model_copy(update={"classifier_epochs": 60})
    return build_context(named[0], CONFIG.model_copy(update={"data": data_of(4), "evaluate": evaluate}), named[1])


@pytest.fixture(scope="module")
def found(named: tuple[ImageLookup, AttributeSchema], named_context: Context) -> tuple[Measured, Measured]:
    """What is measured of one who knows all pictures, and of the references."""
    oracle = Oracle(ImageLookup(named[0].uri, named[0].manifest), named[1])
    return measure(Bench.of(oracle, named_context), "ae_ds", compared=True), measure(named_context, compared=True)


def test_only_images_of_named_values_judge(named_context: Context) -> None:
    plan, schema = named_context.plan, named_context.schema
    assert {attribute.name: attribute.named for attribute in schema.attributes} == NAMED
    for rows in (plan.train, plan.test, plan.sources, plan.donors, plan.givers.ravel()):
        labels = named_context.labels(rows)[:, 0]
        assert len(labels)
        assert (schema.places(labels) >= 0).all()
    assert (schema.places(plan.edit_labels[:, 0]) >= 0).all()


def test_the_judge_has_an_output_for_each_named_value_and_reads_it(named_context: Context) -> None:
    plan, judge = named_context.plan, named_context.judge
    assert judge.cardinalities == (4, 4, 4)
    assert judge.head.out_features == 12
    wanted = named_context.wanted(named_context.labels(plan.train))
    read = judge.predict(named_context.images(plan.train)).numpy()
    assert (read == wanted).mean(axis=0).min() > 0.6  # far above the 1/4 of a guess


def test_figures_are_of_the_named_values(found: tuple[Measured, Measured]) -> None:
    metrics, references = (each.metrics for each in found)
    assert references["judge/seen_pairs/chance/kind"] == 1 / 4
    assert references["judge/seen_pairs/majority/kind"] > 0
    assert metrics["codes/seen_pairs/own/kind"] == metrics["codes/seen_pairs/own/ground"] == 1
    assert metrics["replace/seen_pairs/mse"] == 0
    assert metrics["replace/seen_pairs/swapped"] == pytest.approx(references["truths/seen_pairs/all_right"], abs=0.4)
    assert found[0].codes is not None
    assert found[0].codes.labels.max(axis=0).tolist() == [3, 3, 3]


def test_the_report_says_how_many_values_are_judged(
    found: tuple[Measured, Measured], named: tuple[ImageLookup, AttributeSchema], tmp_path: Path
) -> None:
    finding = Finding(
        name="stage 2", title="stage 2", seed=0, metrics=found[0].metrics, seconds=1, images=1, parameters=1,
        fingerprint="f",
    )  # fmt: skip
    notes = naming_notes(named[0].manifest, named[1])
    config = CONFIG.model_copy(update={"data": data_of(4)})
    subjects = {"stage 2": [Judged(finding, found[0])]}
    page = write_evaluation(subjects, found[1], config, named[1], tmp_path, curves={}, notes=notes).read_text()
    assert "kind (8 of z_dis, 6 values, the 4 most frequent judged)" in page
    assert "pose (8 of z_dis, 4 values)" in page
    assert "kind: the 4 most frequent of 6 values are judged and go by name, 83% of the images" in page


def test_codes_are_kept_of_named_values_alone(named: tuple[ImageLookup, AttributeSchema]) -> None:
    lookup, schema = named
    codes = measure_values(Editor(tiny_model(CONFIG, schema), CONFIG, schema), lookup, 0)
    assert known_values(schema, codes)["kind"] == ("kind1", "kind2", "kind4", "kind5")


def test_another_bound_is_judged_anew_and_one_that_binds_nothing_is_not(
    named: tuple[ImageLookup, AttributeSchema],
) -> None:
    digests = [
        context_digest(CONFIG.model_copy(update={"data": data_of(bound)}), named[0].uri) for bound in (3, 4, 6, 500)
    ]
    assert len(set(digests[:3])) == 3
    assert digests[2] == digests[3]


def test_nothing_is_noted_where_all_values_go_by_name(named: tuple[ImageLookup, AttributeSchema]) -> None:
    manifest = named[0].manifest
    assert naming_notes(manifest, schema_of(manifest, data_of(6))) == []
    assert np.array_equal(ImageLookup(named[0].uri, manifest).labels.columns["kind"] >= 0, np.ones(96, bool))
