"""The plan: strata told from labels, no true picture that anything was trained on, sources edited as they should be."""

from dataclasses import fields

import numpy as np
import pytest

from diffusegae.data.lookup import NOT_FOUND, ImageLookup
from diffusegae.data.splits import Stratum
from diffusegae.evaluation.context import Context
from diffusegae.evaluation.plan import (
    EvaluationError,
    EvaluationPlan,
    plan_evaluation,
    recombine_labels,
    replace_labels,
)
from diffusegae.schema import AttributeSchema
from tests.evaluation.conftest import CONFIG


@pytest.fixture(scope="module")
def plan(context: Context) -> EvaluationPlan:
    return context.plan


def stratum_of(kind: int, instance: int, pose: int) -> Stratum:
    """Say by hand what the painted set's holdout makes of labels."""
    if instance == 5:
        return Stratum.UNSEEN_INSTANCE
    return Stratum.UNSEEN_PAIR if (kind, pose) in {(0, 1), (1, 3)} else Stratum.SEEN


def test_no_true_picture_and_no_source_was_trained_on(plan: EvaluationPlan) -> None:
    held_out = plan.labels.held_out
    assert not held_out[plan.train].any()
    for rows in (plan.test, plan.reconstructed, plan.sources, plan.donors, plan.givers):
        assert held_out[rows].all()
    truths = plan.edit_truths
    assert held_out[truths[truths != NOT_FOUND]].all()
    assert (truths != NOT_FOUND).any()
    assert (truths == NOT_FOUND).any()  # of a finite set; training images would have filled these


def test_each_row_stands_in_its_stratum(plan: EvaluationPlan) -> None:
    columns = plan.labels.columns
    for rows, strata in ((plan.test, plan.test_strata), (plan.reconstructed, plan.reconstructed_strata)):
        found = [stratum_of(*(columns[name][row] for name in ("kind", "instance", "pose"))) for row in rows]
        assert strata.tolist() == found
        assert set(found) == set(Stratum)


def test_an_edit_is_as_hard_as_the_hardest_of_source_donor_and_result(plan: EvaluationPlan) -> None:
    columns = plan.labels.columns

    def of(row: int) -> Stratum:
        return stratum_of(*(columns[name][row] for name in ("kind", "instance", "pose")))

    for i, (source, donor) in enumerate(zip(plan.sources, plan.donors, strict=True)):
        for j in range(3):
            (kind, _, pose), (instance, _, _) = plan.edit_labels[3 * i + j]
            expected = max(of(source), of(donor), stratum_of(kind, instance, pose))
            assert plan.edit_strata[3 * i + j] == expected
    for i, givers in enumerate(plan.givers):
        (kind, _, pose), (instance, _, _) = plan.edit_labels[3 * len(plan.sources) + i]
        assert plan.recombined_strata[i] == max(stratum_of(kind, instance, pose), *map(of, givers))
    assert set(plan.edit_strata[: 3 * len(plan.sources)]) == set(plan.recombined_strata) == set(Stratum)


def test_an_unseen_instance_gives_its_own_and_is_edited_in_the_rest(plan: EvaluationPlan) -> None:
    unseen = plan.recombined_strata == Stratum.UNSEEN_INSTANCE
    recombined = plan.edit_labels[plan.recombinations(slice(0, len(plan.givers)))]
    assert (recombined[unseen, 1, 0] == 5).all()  # the instance is what comes out
    sources = plan.labels.columns["instance"][plan.sources] == 5
    assert sources.any()
    assert (plan.labels.columns["instance"][plan.donors[sources]] != 5).all()


def test_donors_differ_in_every_attribute(plan: EvaluationPlan, painted_schema: AttributeSchema) -> None:
    for name in (*painted_schema.columns, *painted_schema.group_columns):
        assert (plan.labels.columns[name][plan.sources] != plan.labels.columns[name][plan.donors]).all()


def test_truths_show_the_labels_that_edits_should_show(plan: EvaluationPlan, painted_schema: AttributeSchema) -> None:
    own = plan.labels.matrix(painted_schema.group_columns)
    found = plan.edit_truths != NOT_FOUND
    assert (own[plan.edit_truths[found]] == plan.edit_labels[found][:, 1]).all()


def test_the_labels_of_edits() -> None:
    source, donor = np.array([[0, 1, 2], [3, 4, 5]]), np.array([[10, 11, 12], [13, 14, 15]])
    replaced = replace_labels(source, donor)
    assert replaced[1].tolist() == [[0, 11, 2], [3, 14, 5]]
    assert replaced.shape == (3, 2, 3)
    givers = np.stack([source, donor, source + 20])
    assert recombine_labels(givers).tolist() == [[0, 11, 22], [3, 14, 25]]


def test_a_plan_knows_its_own_rows_alone_and_comes_back_from_its_file(plan: EvaluationPlan) -> None:
    named = np.concatenate([plan.train, plan.test, plan.sources, plan.donors, plan.givers.ravel()])
    assert len(plan.labels) <= 120
    assert named.max() < len(plan.labels)
    again = EvaluationPlan.from_bytes(plan.to_bytes())
    for field in fields(plan):
        if field.name != "labels":
            assert np.array_equal(getattr(again, field.name), getattr(plan, field.name)), field.name
    assert again.labels.columns.keys() == plan.labels.columns.keys()
    assert np.array_equal(again.labels.row, plan.labels.row)


def test_a_set_without_two_images_that_differ_in_all_is_refused(
    painted: ImageLookup, painted_schema: AttributeSchema
) -> None:
    same = ImageLookup(painted.uri, painted.manifest)
    same.labels.columns["ground"][:] = 0  # type: ignore[index]
    with pytest.raises(EvaluationError, match=r"vehicle, ground, pose; hold more images out \(data.holdout\)"):
        plan_evaluation(same, painted_schema, CONFIG.evaluate)
