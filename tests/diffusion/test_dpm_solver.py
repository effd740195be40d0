"""DPM-Solver++(2M) against its paper's update, its order of convergence and diffusers' scheduler."""

import math
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from diffusegae.diffusion import ddim, dpm_solver
from diffusegae.diffusion.dpm_solver import advance
from diffusegae.diffusion.process import noise_for_seeds
from diffusegae.diffusion.samplers import SAMPLERS, SamplerName
from diffusegae.diffusion.schedule import Schedule, timestep_grid
from diffusegae.diffusion.trajectory import Advance, Transition, follow, inversion_path, levels_of, sampling_path
from tests.diffusion.conftest import Gaussian, Undertrained


def test_the_step_is_algorithm_2_of_the_paper() -> None:
    transition = Transition(timestep=0, alpha_bar_previous=0.2, alpha_bar_from=0.4, alpha_bar_to=0.7)
    x, eps, x_0_previous = (torch.tensor([[value]], dtype=torch.float64) for value in (0.3, 0.5, -0.1))
    found, _ = advance(x, eps, x_0_previous, levels_of([transition], x), clip=False)

    alpha, sigma = ([f(a) for a in (0.2, 0.4, 0.7)] for f in (math.sqrt, lambda a: math.sqrt(1 - a)))
    lambda_ = [math.log(a / s) for a, s in zip(alpha, sigma, strict=True)]
    h = lambda_[2] - lambda_[1]
    r = (lambda_[1] - lambda_[0]) / h
    x_0_hat = (0.3 - sigma[1] * 0.5) / alpha[1]
    extrapolated = (1 + 1 / (2 * r)) * x_0_hat - 1 / (2 * r) * -0.1
    expected = sigma[2] / sigma[1] * 0.3 - alpha[2] * (math.exp(-h) - 1) * extrapolated
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_the_first_and_the_last_step_are_first_order(schedule: Schedule) -> None:
    for path in (sampling_path(schedule, 20), inversion_path(schedule, 20)):
        weights = levels_of(path, torch.zeros(1)).extrapolation.tolist()
        assert weights[0] == weights[-1] == 0
        assert min(weights[1:-1]) > 0


def test_two_steps_of_a_path_equal_ddim(schedule: Schedule, undertrained: Undertrained) -> None:
    x_T = noise_for_seeds([0, 1], (3, 4, 4))

    def images(name: SamplerName, steps: int) -> Tensor:
        return SAMPLERS[name].sample(undertrained.eps, x_T, schedule, steps)

    assert torch.equal(images("dpm++", 2), images("ddim", 2))
    assert not torch.equal(images("dpm++", 4), images("ddim", 4))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs, under numpy 2
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("steps", [20, 100])
@pytest.mark.parametrize("model", ["gaussian", "undertrained"])
def test_sampling_agrees_with_diffusers(
    schedule: Schedule, request: pytest.FixtureRequest, model: str, steps: int, clip: bool
) -> None:
    denoiser: Gaussian | Undertrained = request.getfixturevalue(model)
    reference: Any = DPMSolverMultistepScheduler(
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        lower_order_final=False,
        final_sigmas_type="zero",
        thresholding=clip,  # with the maximum at 1 the quantile is clamped to 1: plain clipping
        sample_max_value=1.0,
    )
    reference.set_timesteps(timesteps=timestep_grid(1000, steps)[::-1])
    x_T = noise_for_seeds([1, 2], (3, 8, 8))
    x = x_T
    for t in reference.timesteps:
        x = reference.step(denoiser.eps(x, t.expand(2)), t, x).prev_sample
    found = SAMPLERS["dpm++"].sample(denoiser.eps, x_T, schedule, steps, clip=clip)
    torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("upwards", "steps", "order"), [(False, 50, 1.9), (True, 100, 1.6)])
def test_it_converges_faster_than_ddim(
    schedule: Schedule, gaussian: Gaussian, upwards: bool, steps: int, order: float
) -> None:
    def error(rule: Advance, count: int) -> float:
        path = (inversion_path if upwards else sampling_path)(schedule, count)[:-1]
        x = torch.linspace(-2, 2, 5, dtype=torch.float64).reshape(5, 1)
        start, end = (torch.tensor(alpha_bar) for alpha_bar in (path[0].alpha_bar_from, path[-1].alpha_bar_to))
        found: Tensor = follow(gaussian.eps, x, path, rule, clip=False, on_step=None)
        return float((found - gaussian.flow(x, start, end)).abs().max())

    coarse, fine = ([error(rule, count) for rule in (ddim.advance, dpm_solver.advance)] for count in (steps, 2 * steps))
    assert math.log2(coarse[0] / fine[0]) == pytest.approx(1, abs=0.1)
    assert math.log2(coarse[1] / fine[1]) > order
    assert fine[1] < fine[0] / 1.9
