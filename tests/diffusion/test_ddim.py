"""DDIM's step against Eqs. 6 and 7 written out, and its loops against diffusers' schedulers."""

from typing import Any

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from torch import Tensor

from diffusegae.diffusion.ddim import ddim_step, move
from diffusegae.diffusion.process import noise_for_seeds
from diffusegae.diffusion.samplers import SAMPLERS
from diffusegae.diffusion.schedule import Schedule
from diffusegae.diffusion.trajectory import Levels, Transition, inversion_path, levels_of
from tests.diffusion.conftest import Gaussian, Undertrained

DDIM = SAMPLERS["ddim"]
BETAS = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}


def levels(*moves: tuple[float, float]) -> Levels:
    """Return the levels of moves from one alpha_bar to another, in float64."""
    transitions = [Transition(0, before, before, after) for before, after in moves]
    return levels_of(transitions, torch.zeros(1, dtype=torch.float64))


def test_the_step_is_equation_6_with_sigma_zero() -> None:
    x, eps = torch.tensor([[0.3], [-0.2]]).double(), torch.tensor([[0.5], [0.1]]).double()
    moves = [(0.4, 0.7), (0.9, 0.5)]
    x_to, x_0_hat = ddim_step(x, eps, levels(*moves), clip=False)
    for row, (a, b) in enumerate(moves):
        x_0 = (x[row].item() - (1 - a) ** 0.5 * eps[row].item()) / a**0.5
        assert x_0_hat[row].item() == pytest.approx(x_0)
        assert x_to[row].item() == pytest.approx(b**0.5 * x_0 + (1 - b) ** 0.5 * eps[row].item())


def test_clipping_recomputes_eps_from_the_clipped_estimate() -> None:
    x, eps = torch.tensor([[2.0]]).double(), torch.tensor([[-1.0]]).double()
    x_to, x_0_hat = ddim_step(x, eps, levels((0.25, 0.64)), clip=True)
    assert x_0_hat.item() == 1.0
    assert x_to.item() == pytest.approx(0.8 * 1 + 0.6 * (2 - 0.5) / 0.75**0.5)


def test_clipping_is_the_default(images: Tensor) -> None:
    _, x_0_hat = ddim_step(images, -images, levels(*[(0.01, 0.02)] * 4))
    assert x_0_hat.abs().max() == 1


def test_a_move_ends_in_the_estimate_or_in_its_noise(images: Tensor) -> None:
    x = 0.6 * images + 0.8 * images.flip(0)
    clean = move(x, images, levels(*[(0.36, 1.0)] * 4))
    noise = move(x, images, levels(*[(0.36, 0.0)] * 4))
    torch.testing.assert_close(clean, images)
    torch.testing.assert_close(noise, images.flip(0), rtol=0, atol=1e-6)


def test_a_move_is_undone_by_its_reverse(images: Tensor) -> None:
    x = noise_for_seeds(range(4), images.shape[1:]).double()
    moves = [(0.1, 0.2), (0.5, 0.1), (0.9, 0.999), (0.99, 0.01)]
    there = move(x, images.double(), levels(*moves))
    back = move(there, images.double(), levels(*[(after, before) for before, after in moves]))
    torch.testing.assert_close(back, x, rtol=0, atol=1e-11)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("steps", [20, 100])
@pytest.mark.parametrize("model", ["gaussian", "undertrained"])
def test_sampling_agrees_with_diffusers(
    schedule: Schedule, request: pytest.FixtureRequest, model: str, steps: int, clip: bool
) -> None:
    denoiser: Gaussian | Undertrained = request.getfixturevalue(model)
    reference: Any = DDIMScheduler(
        **BETAS, clip_sample=clip, set_alpha_to_one=True, timestep_spacing="leading", steps_offset=0
    )
    reference.alphas_cumprod = schedule.alpha_bar  # theirs is a float32 product; the formulas are compared
    reference.set_timesteps(steps)
    x_T = noise_for_seeds([1, 2], (3, 8, 8)).double()
    x = x_T
    for t in reference.timesteps:
        eps = denoiser.eps(x, t.expand(2))
        x = reference.step(eps, t, x, use_clipped_model_output=clip).prev_sample
    torch.testing.assert_close(DDIM.sample(denoiser.eps, x_T, schedule, steps, clip=clip), x, rtol=0, atol=1e-9)
    in_float32 = DDIM.sample(denoiser.eps, x_T.float(), schedule, steps, clip=clip)
    torch.testing.assert_close(in_float32.double(), x, rtol=1e-5, atol=1e-5)


def test_steps_upwards_agree_with_diffusers_inverse(schedule: Schedule, gaussian: Gaussian) -> None:
    # Its inversion differs in where the network is asked (at the level moved to), so the step is driven by its grid.
    reference: Any = DDIMInverseScheduler(**BETAS, clip_sample=False, timestep_spacing="leading")
    reference.set_timesteps(100)
    x = noise_for_seeds([4], (3, 4, 4))
    theirs = x
    for t in reference.timesteps[1:]:
        up = levels((float(schedule.alpha_bar[t - 10]), float(schedule.alpha_bar[t])))
        theirs = reference.step(gaussian.eps(theirs, t[None]), t, theirs).prev_sample
        x, _ = ddim_step(x, gaussian.eps(x, t[None]), up, clip=False)
    torch.testing.assert_close(x, theirs, rtol=0, atol=1e-5)


def test_inversion_is_equation_7_written_out(schedule: Schedule, gaussian: Gaussian, images: Tensor) -> None:
    x = images.double()
    kept = schedule.alpha_bar[::50]
    for i, t in enumerate(range(0, 1000, 50)):
        eps = gaussian.eps(x, torch.full((4,), t))
        after = kept[i + 1] if i < 19 else torch.zeros((), dtype=torch.float64)
        f = (x - (1 - kept[i]).sqrt() * eps) / kept[i].sqrt()
        x = after.sqrt() * f + (1 - after).sqrt() * eps
    torch.testing.assert_close(
        DDIM.invert(gaussian.eps, images.double(), schedule, 20, clip=False), x, rtol=0, atol=1e-9
    )


def test_the_error_falls_with_the_first_power_of_the_step(schedule: Schedule, gaussian: Gaussian) -> None:
    errors = []
    x_0 = torch.linspace(-1, 1, 5, dtype=torch.float64).reshape(5, 1)
    for steps in (100, 200):
        end = torch.tensor(inversion_path(schedule, steps)[-1].alpha_bar_from)
        exact = gaussian.flow(x_0, schedule.alpha_bar[0], end)
        # The last step ends at alpha_bar = 0, where x is the eps predicted at the step before.
        t = torch.full((5,), 1000 - 1000 // steps)
        found = DDIM.invert(gaussian.eps, x_0, schedule, steps, clip=False)
        errors.append((found - gaussian.eps(exact, t)).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)
