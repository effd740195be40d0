"""The paths: which timesteps are asked, between which levels, and mixing them in one batch."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from diffusegae.diffusion import trajectory
from diffusegae.diffusion.ddim import advance
from diffusegae.diffusion.schedule import Schedule
from diffusegae.diffusion.trajectory import Levels, Transition, follow, inversion_path, levels_of, sampling_path


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


def test_levels_are_the_roots_of_one_transition_per_image(schedule: Schedule) -> None:
    down, up = sampling_path(schedule, 20)[3], inversion_path(schedule, 10)[9]
    levels = levels_of([down, up], torch.zeros(2).double())
    assert levels.t.tolist() == [down.timestep, up.timestep]
    assert levels.t.dtype == torch.int64
    for row, each in enumerate((down, up)):
        found = (levels.alpha_from, levels.sigma_from, levels.alpha_to, levels.sigma_to)
        squares = (each.alpha_bar_from, 1 - each.alpha_bar_from, each.alpha_bar_to, 1 - each.alpha_bar_to)
        assert [float(values[row]) for values in found] == pytest.approx([math.sqrt(a) for a in squares], rel=1e-15)
    assert levels.extrapolation[1] == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_levels_are_rounded_once_and_hold_every_timestep(schedule: Schedule, dtype: torch.dtype) -> None:
    path = sampling_path(schedule, 1000)
    levels, exact = levels_of(path, torch.zeros(1, dtype=dtype)), levels_of(path, torch.zeros(1).double())
    assert levels.t.tolist() == list(range(999, -1, -1))
    assert levels.sigma_from.dtype == torch.float32
    assert torch.equal(levels.sigma_from, exact.sigma_from.float())


def test_some_images_levels_are_theirs_and_one_images_serve_many(schedule: Schedule) -> None:
    levels = levels_of(sampling_path(schedule, 20), torch.zeros(1))
    assert levels[3:5].t.tolist() == [800, 750]
    assert torch.equal(levels[3:5].sigma_to, levels.sigma_to[3:5])
    many = levels[7:8].expand(3)
    assert many.t.tolist() == [600] * 3
    assert torch.equal(many.alpha_from, levels.alpha_from[7].repeat(3))


def test_a_whole_batch_takes_its_path_along_at_once(
    schedule: Schedule, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    def counted(transitions: Sequence[Transition], like: Tensor) -> Levels:
        sent.append(len(transitions))
        return levels_of(transitions, like)

    monkeypatch.setattr(trajectory, "levels_of", counted)
    follow(lambda x_t, t: x_t, images, sampling_path(schedule, 20), advance, clip=True, on_step=None)
    assert sent == [20]


def test_follow_asks_every_timestep_once_for_the_whole_batch(schedule: Schedule, images: Tensor) -> None:
    asked: list[list[int]] = []

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append(t.tolist())
        return x_t

    follow(denoise, images, sampling_path(schedule, 5), advance, clip=True, on_step=None)
    assert asked == [[t] * 4 for t in (800, 600, 400, 200, 0)]
