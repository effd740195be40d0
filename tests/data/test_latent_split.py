"""The split: training rows cut in two, held-out rows never read into a sweep."""

from dataclasses import replace

import numpy as np
import pytest

from diffusegae.data.latent_split import Split, SplitError, read_test_split, read_validation_split
from diffusegae.data.latents import LatentError
from diffusegae.data.records import MISSING
from diffusegae.schema import AttributeSchema
from tests.stored_latents import COLUMNS, sweep_config


def keys(z: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in z}


def test_a_sweep_never_sees_a_held_out_row(split: Split) -> None:
    """Held-out latents are NaN in the stored set, so a single one of them would show."""
    assert (split.fitted.num_rows, split.judged.num_rows) == (82, 14)  # of 96 training rows, 15 % validate
    for values in (split.fitted.z, split.judged.z, split.mean, split.covariance):
        assert np.isfinite(values).all()
    assert not keys(split.fitted.z) & keys(split.judged.z)


def test_the_split_is_fixed_by_the_seed(latents: str, schema: AttributeSchema, split: Split) -> None:
    again = read_validation_split(latents, schema, sweep_config().tune)
    other = read_validation_split(latents, schema, sweep_config("tune.seed=1").tune)
    assert np.array_equal(again.judged.z, split.judged.z)
    assert keys(other.judged.z) != keys(split.judged.z)
    assert keys(other.judged.z) | keys(other.fitted.z) == keys(split.judged.z) | keys(split.fitted.z)


def test_the_test_split_is_all_training_rows_against_the_held_out_ones(
    latents: str, schema: AttributeSchema, split: Split
) -> None:
    test = read_test_split(latents, schema, sweep_config().tune)
    assert keys(test.fitted.z) == keys(split.fitted.z) | keys(split.judged.z)
    assert np.isnan(test.judged.z).all()
    assert test.judged.num_rows == 24


def test_latents_keep_their_labels(split: Split) -> None:
    """Rows of one instance, ground and pose would be one latent, so nearest neighbours share labels."""
    rows = split.fitted
    assert rows.labels().max(axis=0).tolist() == [COLUMNS["instance"] - 1, COLUMNS["ground"] - 1, COLUMNS["pose"] - 1]
    assert np.array_equal(rows.judged_labels[:, 0], rows.group_labels[:, 0] // 2)
    design = np.concatenate([np.eye(count)[rows.group_labels[:, j]] for j, count in enumerate((6, 5, 4))], axis=1)
    solution, *_ = np.linalg.lstsq(design, rows.z, rcond=None)
    assert np.abs(design @ solution - rows.z).max() < 0.4  # z is a sum over the labels, up to noise


def test_statistics_are_those_of_the_fitted_rows(split: Split) -> None:
    np.testing.assert_allclose(split.mean, split.fitted.z.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(split.covariance, np.cov(split.fitted.z.T, bias=True), atol=1e-4)
    np.testing.assert_allclose(split.spread, split.fitted.z.std(axis=0), atol=1e-4)


def test_no_more_rows_are_held_than_asked_for(latents: str, schema: AttributeSchema) -> None:
    small = read_validation_split(latents, schema, sweep_config("tune.max_rows=40").tune)
    assert (small.fitted.num_rows, small.judged.num_rows) == (34, 6)
    assert small.fitted.draw(10, seed=0).num_rows == 10
    assert np.array_equal(small.fitted.draw(10, seed=0).z, small.fitted.draw(10, seed=0).z)


def test_missing_and_too_few_latents_are_named(latents: str, schema: AttributeSchema) -> None:
    with pytest.raises(LatentError, match="run jobs/encode.py first"):
        read_validation_split(f"{latents}/nowhere", schema, sweep_config().tune)
    with pytest.raises(
        SplitError, match=r"2 rows to fit to and 0 with all labels to judge by, .* tune.validation_percent"
    ):
        read_validation_split(latents, schema, sweep_config("tune.max_rows=2").tune)


def test_rows_that_lack_a_label_are_fitted_to_and_never_judged(split: Split) -> None:
    rows = split.fitted
    judged, group = rows.judged_labels.copy(), rows.group_labels.copy()
    judged[::3, 0] = group[1::3, 1] = MISSING
    some = replace(rows, judged_labels=judged, group_labels=group)
    whole = np.arange(rows.num_rows) % 3 == 2
    assert some.num_rows == rows.num_rows
    assert np.array_equal(some.labelled().z, rows.z[whole])
    assert keys(some.draw(10_000, seed=0).z) == keys(rows.z[whole])
