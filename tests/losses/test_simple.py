"""L_simple against what can be worked out by hand."""

import pytest
import torch

from diffusegae.diffusion.schedule import linear_schedule
from diffusegae.losses.simple import draw_noise, eps_error, simple_loss


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_simple_loss_of_the_truth_is_zero_and_eps_error_agrees(kind: str) -> None:
    schedule, x_0 = linear_schedule(), torch.rand(6, 3, 8, 8) * 2 - 1
    noisy = draw_noise(x_0, schedule, kind, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    alpha_bar = schedule.alpha_bar[noisy.t].float()[:, None, None, None]
    truth = noisy.eps if kind == "eps" else alpha_bar.sqrt() * noisy.eps - (1 - alpha_bar).sqrt() * x_0
    assert float(simple_loss(truth, noisy)) < 1e-10
    assert float(eps_error(truth, noisy, schedule, kind)) < 1e-6  # type: ignore[arg-type]
    assert float(simple_loss(truth + 1, noisy)) == pytest.approx(1.0, rel=1e-4)
