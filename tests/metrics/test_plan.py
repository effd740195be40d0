"""The plan of judging: donors differ in everything, truths are what an edit should give, nothing is trained on."""

from pathlib import Path

import numpy as np
import pytest

from diffusegae.config.pipeline import EvaluateConfig
from diffusegae.data.lookup import MISSING, ImageLookup
from diffusegae.metrics.plan import EvaluationError, draw_givers, plan_evaluation, replace_labels
from diffusegae.schema import AttributeSchema, AttributeSpec, build_schema
from tests.stored_images import write_images

CONFIG = EvaluateConfig(num_reconstructions=9, num_edits=20)
GROUP = ("instance", "ground", "pose")


def test_only_the_judge_and_probes_train_and_only_on_training_rows(
    painted: ImageLookup, painted_schema: AttributeSchema
) -> None:
    plan = plan_evaluation(painted, painted_schema, CONFIG, seed=0)
    held_out = painted.labels.held_out
    assert not held_out[plan.train].any()
    for rows in (plan.test, plan.reconstructed, plan.sources, plan.donors, plan.givers.ravel()):
        assert held_out[rows].all()
    assert (len(plan.reconstructed), len(plan.sources), plan.givers.shape) == (9, 7, (20, 3))


def test_donors_differ_from_their_source_in_every_attribute(
    painted: ImageLookup, painted_schema: AttributeSchema
) -> None:
    plan = plan_evaluation(painted, painted_schema, CONFIG, seed=0)
    for column in ("kind", *GROUP):
        labels = painted.labels.columns[column]
        assert (labels[plan.sources] != labels[plan.donors]).all()


def test_truths_show_the_instance_and_labels_show_the_kind(
    painted: ImageLookup, painted_schema: AttributeSchema
) -> None:
    plan = plan_evaluation(painted, painted_schema, CONFIG, seed=0)
    labels = painted.labels.matrix(GROUP)
    for i, j in np.ndindex(plan.replaced_truths.shape):
        wanted = labels[plan.sources[i]].copy()
        wanted[j] = labels[plan.donors[i], j]
        assert labels[plan.replaced_truths[i, j]].tolist() == wanted.tolist()
        assert plan.replaced_labels[i, j].tolist() == [wanted[0] // 2, *wanted[1:]]
    taken = [[labels[giver, j] for j, giver in enumerate(givers)] for givers in plan.givers]
    assert labels[plan.recombined_truths].tolist() == taken
    assert plan.recombined_labels[:, 0].tolist() == [row[0] // 2 for row in taken]
    assert plan.num_missing == 0


def test_the_plan_depends_on_the_seed_alone(painted: ImageLookup, painted_schema: AttributeSchema) -> None:
    first, again, other = (plan_evaluation(painted, painted_schema, CONFIG, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.sources, again.sources)
    assert np.array_equal(first.givers, again.givers)
    assert not np.array_equal(first.givers, other.givers)


def test_a_giver_alone_has_its_value_where_the_data_allow() -> None:
    labels = np.array(list(np.ndindex(3, 3, 3)))
    givers = draw_givers(labels, 3, 40, np.random.default_rng(0))
    for j in range(3):
        values = labels[givers][:, :, j]
        assert ((values == values[:, j, None]).sum(axis=1) == 1).all()


def test_replacing_labels() -> None:
    replaced = replace_labels(np.array([[1, 2, 3]]), np.array([[7, 8, 9]]))
    assert replaced.tolist() == [[[7, 2, 3], [1, 8, 3], [1, 2, 9]]]


def test_missing_truths_are_counted(tmp_path: Path) -> None:
    columns = {"letter": 5, "font": 5}
    lookup = ImageLookup(str(tmp_path), write_images(str(tmp_path), columns, [(k, (k + 1) % 5) for k in range(5)]))
    specs = {name: AttributeSpec(width=4) for name in columns}
    plan = plan_evaluation(lookup, build_schema(specs, lookup.manifest.columns), CONFIG, seed=0)
    missing = np.concatenate([plan.replaced_truths.ravel(), plan.recombined_truths]) == MISSING
    assert plan.num_missing == missing.sum() > 0


def test_attributes_that_never_differ_together_are_refused(tmp_path: Path) -> None:
    same_letter = [(a, b) for a in range(1, 4) for b in range(7)]
    lookup = ImageLookup(str(tmp_path), write_images(str(tmp_path), {"letter": 4, "font": 7}, same_letter))
    specs = {name: AttributeSpec(width=4) for name in ("letter", "font")}
    with pytest.raises(EvaluationError, match="hold more images out"):
        plan_evaluation(lookup, build_schema(specs, lookup.manifest.columns), CONFIG, seed=0)
