"""The schedule against its definition, and the grid against Diff-AE's rule."""

import pytest
import torch

from diffusegae.diffusion.schedule import Schedule, linear_schedule, timestep_grid


def test_alpha_bar_is_the_float64_product_of_one_minus_beta() -> None:
    schedule = linear_schedule()
    assert schedule.num_timesteps == 1000
    assert schedule.alpha_bar.dtype == torch.float64
    product = 1.0
    for t in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        assert schedule.alpha_bar[t].item() == pytest.approx(product, rel=1e-12)


def test_other_schedules_start_and_end_at_their_betas() -> None:
    schedule = linear_schedule(num_timesteps=10, beta_start=0.1, beta_end=0.5)
    assert schedule.alpha_bar[0].item() == pytest.approx(0.9)
    assert (schedule.alpha_bar[9] / schedule.alpha_bar[8]).item() == pytest.approx(0.5)


def test_at_looks_up_each_image(schedule: Schedule) -> None:
    assert torch.equal(schedule.at(torch.tensor([999, 0, 7])), schedule.alpha_bar[[999, 0, 7]])


def test_a_device_gets_one_copy_of_full_precision(schedule: Schedule) -> None:
    t = torch.zeros(3, dtype=torch.int64, device="meta")
    assert schedule.at(t).dtype == torch.float64
    held = schedule._copies[t.device]
    schedule.at(t)
    assert schedule._copies[t.device] is held


@pytest.mark.parametrize(
    ("steps", "stride"), [(1, 1000), (10, 100), (20, 50), (50, 20), (100, 10), (250, 4), (500, 2), (1000, 1)]
)
def test_grid_of_a_divisor_is_its_stride(steps: int, stride: int) -> None:
    assert timestep_grid(1000, steps) == list(range(0, 1000, stride))


def test_grid_agrees_with_a_search_over_all_strides() -> None:
    for steps in range(1, 1001):
        fitting = [stride for stride in range(1, 1001) if len(range(0, 1000, stride)) == steps]
        if fitting:
            assert timestep_grid(1000, steps) == list(range(0, 1000, fitting[0]))
        else:
            with pytest.raises(ValueError, match=f"steps={steps}"):
                timestep_grid(1000, steps)


def test_an_impossible_count_names_its_neighbours() -> None:
    with pytest.raises(ValueError, match=r"steps=300: .* nearest allowed counts are 250 and 334"):
        timestep_grid(1000, 300)


@pytest.mark.parametrize("steps", [0, -5, 1001])
def test_a_count_outside_the_schedule_names_the_range(steps: int) -> None:
    with pytest.raises(ValueError, match=rf"steps={steps} is outside 1\.\.1000"):
        timestep_grid(1000, steps)
