"""Baselines whose every layer matters, and a few steps of Adam on a goal of theirs."""

from typing import TypeVar

import torch

from diffusegae.baselines.baseline import Baseline, Goal, Samples, Terms
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.schema import AttributeSchema
from tests.tiny import random_images

AnyBaseline = TypeVar("AnyBaseline", bound=Baseline)


def tiny_baseline(kind: type[AnyBaseline], config: PipelineConfig, schema: AttributeSchema) -> AnyBaseline:
    """Return a baseline whose zero-initialised layers are not zero."""
    torch.manual_seed(0)
    baseline = kind(config, schema)
    with torch.no_grad():
        for parameter in baseline.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return baseline.eval()


def generator(seed: int = 0) -> torch.Generator:
    """Return a generator of a seed."""
    return torch.Generator().manual_seed(seed)


def single_samples(count: int, attributes: int = 3) -> Samples:
    """Return samples of one member each, all of the first value."""
    return Samples(random_images(count)[:, None], torch.zeros(count, 1, attributes, dtype=torch.int64))


def grey_samples(count: int, attributes: int = 3) -> Samples:
    """Return samples of one evenly grey member each, from black to white: easy to learn."""
    images = torch.linspace(-1, 1, count)[:, None, None, None, None].expand(count, 1, 3, 32, 32)
    return Samples(images, torch.zeros(count, 1, attributes, dtype=torch.int64))


def measured(baseline: Baseline, samples: Samples, drawn_by: torch.Generator) -> Terms:
    """Return the loss of a baseline with a single goal, and its terms."""
    (goal,) = baseline.goals()
    return goal.measure(samples, drawn_by)


def train_shortly(goal: Goal, samples: Samples, steps: int, learning_rate: float = 1e-3) -> torch.optim.Adam:
    """Minimise a goal for some steps and return the optimizer."""
    parameters = [p for part in goal.trains.values() for p in part.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    for step in range(steps):
        optimizer.zero_grad()
        loss, _ = goal.measure(samples, generator(step))
        loss.backward()
        optimizer.step()
    return optimizer


def untouched(goal: Goal, optimizer: torch.optim.Adam) -> list[str]:
    """Return the parameters that a goal claims and no gradient has reached."""
    return [
        f"{part}.{name}"
        for part, module in goal.trains.items()
        for name, p in module.named_parameters()
        if p not in optimizer.state or not optimizer.state[p]["exp_avg_sq"].any()
    ]
