"""What was measured: joined from pieces, summed up by stratum, and back from its file as it was."""

import numpy as np
import pytest

from diffusegae.evaluation.finish import finish, largest_leaks, with_distances
from diffusegae.evaluation.measured import Items, Measured
from diffusegae.metrics.projection import Projection


def items(stratum: list[int], **figures: list[float]) -> Items:
    named = {name.replace("__", "/"): np.array(values) for name, values in figures.items()}
    return Items(np.array(stratum, np.int8), np.arange(len(stratum)), named)


def test_means_are_by_stratum_over_what_was_measured() -> None:
    found = items([0, 0, 2, 2], mse=[1.0, 3.0, np.nan, 5.0], right__pose=[np.nan, np.nan, 1.0, 0.0]).means()
    assert found == {
        "seen_pairs/count": 2, "seen_pairs/mse": 2.0,
        "unseen_instance/count": 2, "unseen_instance/mse": 5.0, "unseen_instance/right/pose": 0.5,
    }  # fmt: skip


def test_pieces_join_in_order_and_lack_what_they_lack() -> None:
    pieces = [
        Measured({"a": items([0], x=[1.0])}, {"v": 1.0}, {"seen_pairs/made@2": np.ones(3)}),
        Measured({"a": items([1], y=[2.0]), "b": items([0], z=[3.0])}, {"w": 2.0}, {"seen_pairs/made@0": np.zeros(3)}),
    ]
    whole = finish(pieces)
    assert whole.items["a"].figures.keys() == {"x", "y"}
    assert np.array_equal(whole.items["a"].figures["x"], [1.0, np.nan], equal_nan=True)
    assert np.array_equal(whole.examples["seen_pairs/made"], [np.zeros(3), np.ones(3)])  # by row, not by piece
    assert whole.metrics["a/unseen_pair/y"] == 2.0
    assert whole.metrics["v"] == 1.0


def test_paths_lose_their_outermost_percent_at_each_t_by_itself() -> None:
    lengths = np.arange(300.0)
    pieces = [
        Measured({"path": items([0] * 300, ppl__T20=lengths.tolist())}),
        Measured({"path": items([0] * 50, ppl__T500=lengths[:50].tolist())}),
    ]
    figures = finish(pieces).items["path"].figures
    kept = figures["ppl/T20"][:300]
    assert np.isnan(kept[[0, 1, 298, 299]]).all()
    assert np.isnan(kept).sum() == 4
    assert (~np.isnan(figures["ppl/T500"])).sum() == 50  # of 100 or fewer none are dropped


def test_the_largest_leak_is_that_of_the_means() -> None:
    codes = items([0, 0], leak__a__b=[0.4, 0.0], leak__b__a=[0.1, 0.1], leak=[0.25, 0.05], mlp_leak__a__b=[0.0, 0.0])
    assert largest_leaks(codes) == {"codes/seen_pairs/leak_max": 0.2, "codes/seen_pairs/mlp_leak_max": 0.0}


def test_the_frechet_distance_is_that_of_the_features() -> None:
    random = np.random.default_rng(0)
    true, moved = random.normal(size=(400, 3)), random.normal(size=(400, 3)) + np.array([3.0, 0.0, 0.0])
    made = Measured(examples={"features/recombine": moved, "seen_pairs/recombined": np.zeros(1)})
    found = with_distances(made, Measured(examples={"features/true": true}))
    assert found.metrics["recombine/seen_pairs/fd_vgg16"] == pytest.approx(9.0, rel=0.15)  # |mu_a - mu_b|^2
    assert found.examples.keys() == {"seen_pairs/recombined"}


def test_all_comes_back_from_its_file() -> None:
    codes = Projection(np.zeros((2, 2), np.float32), np.array([[0], [1]]), (0.5,))
    found = Measured(
        {"replace": items([0, 1], lpips__pose=[0.1, np.nan])},
        {"codes/seen_pairs/width": 3.0},
        {"unseen_pair/replaced": np.zeros((1, 3, 4, 4, 3), np.uint8)},
        codes,
    )
    again = Measured.from_bytes(found.to_bytes())
    assert again.metrics == found.metrics
    assert again.examples.keys() == found.examples.keys()
    assert np.array_equal(again.items["replace"].figures["lpips/pose"], [0.1, np.nan], equal_nan=True)
    assert again.items["replace"].unit.tolist() == [0, 1]
    assert again.codes is not None
    assert again.codes.silhouettes == (0.5,)
