"""The paths: which timesteps are asked, between which levels, and mixing them in one batch."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from diffusegae.diffusion.ddim import advance
from diffusegae.diffusion.schedule import Schedule
from diffusegae.diffusion.trajectory import Transition, follow, inversion_path, levels_of, sampling_path


def test_sampling_goes_down_to_clean(schedule: Schedule) -> None:
    path = sampling_path(schedule, 100)
    assert [transition.timestep for transition in path] == list(range(990, -1, -10))
    assert path[0].alpha_bar_from == path[0].alpha_bar_previous == schedule.alpha_bar[990]
    assert path[-1].alpha_bar_to == 1.0


def test_inversion_goes_up_to_pure_noise_from_the_first_timestep(schedule: Schedule) -> None:
    path = inversion_path(schedule, 100)
    assert [transition.timestep for transition in path] == list(range(0, 1000, 10))
    assert path[0].alpha_bar_from == path[0].alpha_bar_previous == schedule.alpha_bar[0]
    assert path[-1].alpha_bar_to == 0.0


@pytest.mark.parametrize("make_path", [sampling_path, inversion_path])
def test_steps_join_and_stand_at_their_own_timestep(
    schedule: Schedule, make_path: Callable[[Schedule, int], list[Transition]]
) -> None:
    path = make_path(schedule, 20)
    for before, after in pairwise(path):
        assert before.alpha_bar_to == after.alpha_bar_from == schedule.alpha_bar[after.timestep]
        assert after.alpha_bar_previous == before.alpha_bar_from


def test_levels_stack_one_transition_per_image(schedule: Schedule) -> None:
    down, up = sampling_path(schedule, 20)[3], inversion_path(schedule, 10)[9]
    levels = levels_of([down, up], "cpu")
    assert levels.t.tolist() == [down.timestep, up.timestep]
    assert levels.t.dtype == torch.int64
    assert levels.alpha_bar_previous.tolist() == [down.alpha_bar_previous, up.alpha_bar_previous]
    assert levels.alpha_bar_from.tolist() == [down.alpha_bar_from, up.alpha_bar_from]
    assert levels.alpha_bar_to.tolist() == [down.alpha_bar_to, 0.0]
    assert levels.alpha_bar_to.dtype == torch.float64


def test_follow_asks_every_timestep_once_for_the_whole_batch(schedule: Schedule, images: Tensor) -> None:
    asked: list[list[int]] = []

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append(t.tolist())
        return x_t

    follow(denoise, images, sampling_path(schedule, 5), advance, clip=True, on_step=None)
    assert asked == [[t] * 4 for t in (800, 600, 400, 200, 0)]
