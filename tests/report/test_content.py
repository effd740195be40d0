"""What a report speaks of: intervals by stratum, differences item by item, the best only where it is proven."""

import dataclasses

import numpy as np
import pytest

from diffusegae.evaluation.measured import Items, Measured
from diffusegae.report.content import Content, at
from tests.report.conftest import NAMES, Subjects, judge, make_references, measured_row

LPIPS = "replace/seen_pairs/lpips"


def content_of(*rows: Measured, references: Measured | None = None) -> Content:
    subjects = {str(k): [judge(str(k), f"row {k}", measured)] for k, measured in enumerate(rows)}
    return Content(subjects, references or make_references(), NAMES, "0")


def replaced(values: np.ndarray, unit: np.ndarray | None = None) -> Measured:
    stratum = np.zeros(len(values), np.int64)
    unit = np.arange(len(values)) if unit is None else unit
    return Measured({"replace": Items(stratum, unit, {"lpips": values})})


def test_an_interval_is_of_its_own_stratum_and_holds_the_mean() -> None:
    content = content_of(measured_row(0.9))
    for stratum, expected in (("seen_pairs", 0.1), ("unseen_pair", 0.15), ("unseen_instance", 0.2)):
        interval = content.interval("0", at("replace/lpips", stratum))
        assert interval is not None
        assert interval.low < interval.mean < interval.high
        assert interval.mean == pytest.approx(expected, abs=0.01)
    assert content.interval("0", "reconstruct_random/seen_pairs/fd_vgg16") is None
    assert content.interval("0", "replace/seen_pairs/nothing") is None


def test_a_lead_is_proven_item_by_item_though_images_differ_more_than_methods() -> None:
    hard = np.random.default_rng(0).uniform(0, 1, 100)
    ahead, level = hard - 0.01, hard + np.random.default_rng(1).normal(0, 0.01, 100)
    assert content_of(replaced(ahead), replaced(hard)).best(LPIPS) == ("0", True)
    best = content_of(replaced(level), replaced(hard)).best(LPIPS)
    assert best is not None
    assert not best[1]
    assert content_of(replaced(hard), replaced(hard)).best(LPIPS) is None
    assert content_of(replaced(hard)).best(LPIPS) is None


def test_a_difference_has_the_sign_of_the_first() -> None:
    hard = np.linspace(0, 1, 50)
    more = replaced(hard)  # another figure besides, which must not change what is drawn
    figures = {"copied": hard, **more.items["replace"].figures}
    more = Measured({"replace": dataclasses.replace(more.items["replace"], figures=figures)})
    difference = content_of(replaced(hard + 0.25), more).difference("0", "1", LPIPS)
    assert difference is not None
    assert (difference.low, difference.mean, difference.high) == pytest.approx((0.25, 0.25, 0.25))


def test_the_same_figures_of_two_rows_differ_by_nothing() -> None:
    values = np.random.default_rng(0).uniform(0, 1, 100)
    difference = content_of(replaced(values), replaced(values)).difference("0", "1", LPIPS)
    assert difference is not None
    assert (difference.low, difference.mean, difference.high) == (0, 0, 0)


def test_a_row_of_more_seeds_is_held_against_one_of_fewer_by_the_first_of_them() -> None:
    values = np.linspace(0, 1, 50)
    ours = [judge("0", "row 0", replaced(values + more), seed) for seed, more in enumerate((0.5, 9.0))]
    content = Content({"0": ours, "1": [judge("1", "row 1", replaced(values))]}, make_references(), NAMES, "0")
    difference = content.difference("0", "1", LPIPS)
    assert difference is not None
    assert difference.mean == pytest.approx(0.5)


def test_rows_judged_on_different_items_are_refused() -> None:
    values = np.linspace(0, 1, 10)
    content = content_of(replaced(values), replaced(values, unit=np.arange(10)[::-1].copy()))
    with pytest.raises(ValueError, match=r"row 0 and row 1 were judged on different items of replace \(seen_pairs\)"):
        content.difference("0", "1", LPIPS)


def test_the_largest_leak_is_that_of_the_worst_pair_of_part_and_attribute() -> None:
    items = {"leak/a/b": np.full(40, 0.01), "leak/b/a": np.full(40, 0.2), "leak": np.full(40, 0.105)}
    codes = Items(np.zeros(40, np.int64), np.arange(40), items)
    interval = content_of(Measured({"codes": codes})).interval("0", "codes/seen_pairs/leak_max")
    assert interval is not None
    assert interval.mean == pytest.approx(0.2)


def test_what_is_not_measured_of_an_item_is_left_out() -> None:
    values = np.array([0.1, np.nan, 0.3, np.nan])
    interval = content_of(replaced(values)).interval("0", LPIPS)
    assert interval is not None
    assert interval.mean == pytest.approx(0.2)
    assert content_of(replaced(np.full(4, np.nan))).interval("0", LPIPS) is None


def test_pictures_are_not_recognisable_by_figures_held_against_true_images(subjects: Subjects) -> None:
    content = Content(subjects, make_references(), NAMES, "diffusegae")
    assert content.recognised("diffusegae") is None
    found = content.recognised("ddim")
    assert found is not None
    assert found[0] == pytest.approx(0.6, abs=0.01)
    # A classifier that reads no more of true images has nothing to say against the pictures.
    weak = make_references()
    accuracy = {name: np.full_like(values, 0.88) for name, values in weak.items["judge"].figures.items()}
    judged = dataclasses.replace(weak.items["judge"], figures=accuracy)
    poor = dataclasses.replace(weak, items={**weak.items, "judge": judged})
    assert Content(subjects, poor, NAMES, "diffusegae").recognised("ddim") is None


def test_without_reconstructions_replacements_say_whether_pictures_are_recognisable() -> None:
    row = measured_row(0.5)
    edits = dataclasses.replace(row, items={"replace": row.items["replace"]})
    found = content_of(edits).recognised("0")
    assert found is not None
    assert found[1] == "every kept attribute"
