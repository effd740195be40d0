"""The order of an epoch: a permutation, a function of (seed, epoch), windows of the asked size."""

import numpy as np

from diffusegae.data.order import RowGroup, generator_for, plan_windows

GROUPS = [RowGroup(f"shard-{i // 4}", i % 4, 100) for i in range(40)]


def test_windows_hold_every_row_group_once() -> None:
    windows = plan_windows(GROUPS, 600, seed=1, epoch=3)
    assert sorted((g.path, g.index) for window in windows for g in window) == sorted((g.path, g.index) for g in GROUPS)
    assert all(sum(g.num_rows for g in window) == 600 for window in windows[:-1])


def test_order_is_a_function_of_seed_and_epoch() -> None:
    assert plan_windows(GROUPS, 600, 1, 3) == plan_windows(GROUPS, 600, 1, 3)
    assert plan_windows(GROUPS, 600, 1, 3) != plan_windows(GROUPS, 600, 1, 4)
    assert plan_windows(GROUPS, 600, 1, 3) != plan_windows(GROUPS, 600, 2, 3)


def test_what_fits_one_window_is_the_same_in_every_epoch() -> None:
    assert plan_windows(GROUPS, 4000, 1, 3) == plan_windows(GROUPS, 4000, 2, 9) == [GROUPS]


def test_generators_of_places_are_independent() -> None:
    draws = {tuple(generator_for(0, *place).integers(1 << 30, size=3)) for place in [(0, 1), (1, 0), (1,), (0, 0, 1)]}
    assert len(draws) == 4
    assert np.array_equal(generator_for(5, 2).random(3), generator_for(5, 2).random(3))
