"""Closed forms that the tests of the diffusion package share."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from diffusegae.diffusion.schedule import Schedule, linear_schedule


@dataclass(frozen=True)
class Gaussian:
    """Data ~ N(mean, std^2) in every pixel: the optimal denoiser and the flow of the ODE are known."""

    schedule: Schedule
    mean: float = 0.2
    std: float = 0.5

    def scale(self, alpha_bar: Tensor) -> Tensor:
        """Standard deviation of x_t."""
        return (alpha_bar * self.std**2 + 1 - alpha_bar).sqrt()

    def eps(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[eps | x_t]."""
        alpha_bar = self.schedule.at(t).reshape(-1, *[1] * (x_t.ndim - 1)).to(x_t.dtype)
        return (1 - alpha_bar).sqrt() * (x_t - alpha_bar.sqrt() * self.mean) / self.scale(alpha_bar) ** 2

    def flow(self, x: Tensor, alpha_bar_from: Tensor, alpha_bar_to: Tensor) -> Tensor:
        """Exact solution of the probability-flow ODE: the quantile of x stays the same."""
        quantile = (x - alpha_bar_from.sqrt() * self.mean) / self.scale(alpha_bar_from)
        return alpha_bar_to.sqrt() * self.mean + self.scale(alpha_bar_to) * quantile


@dataclass(frozen=True)
class Undertrained:
    """A denoiser of [-1, 1] images with errors as large as an early network's: smooth, biased, mixing neighbours."""

    schedule: Schedule

    def eps(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha_bar = self.schedule.at(t).reshape(-1, 1, 1, 1).to(x_t.dtype)
        error = 0.3 * torch.sin(2 * x_t.roll(1, dims=-1) + 1) + 0.2 * torch.tanh(x_t.roll(1, dims=-2))
        return (1 - alpha_bar).sqrt() * (x_t + error)


@pytest.fixture(scope="session")
def schedule() -> Schedule:
    return linear_schedule()


@pytest.fixture(scope="session")
def gaussian(schedule: Schedule) -> Gaussian:
    return Gaussian(schedule)


@pytest.fixture(scope="session")
def undertrained(schedule: Schedule) -> Undertrained:
    return Undertrained(schedule)


@pytest.fixture
def images() -> Tensor:
    """Four smooth images that reach both ends of the range."""
    line = torch.linspace(-1, 1, 8)
    angles = torch.arange(4).reshape(4, 1, 1, 1) + torch.arange(3).reshape(3, 1, 1)
    return torch.sin(angles + 2 * line[:, None] + 3 * line).clamp(-0.9, 0.9) / 0.9
