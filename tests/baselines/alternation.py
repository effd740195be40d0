"""Adversaries in tests: goals alternating as the loop lets them, and pictures whose waves are their labels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diffusegae.baselines.baseline import Baseline, Goal, Samples


def waves(count: int, size: int = 32, cardinality: int = 4, seed: int = 0) -> Samples:
    """Return pictures of which label j says how many waves cross colour channel j, with some noise.

    Waves, not levels: an InstanceNorm takes the level of an even picture away.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, cardinality, (count, 3), generator=generator)
    across = torch.arange(size) / size
    lines = 0.8 * torch.sin(2 * torch.pi * (labels + 1)[..., None] * across)
    images = lines[:, :, None, :] + 0.1 * torch.randn(count, 3, size, size, generator=generator)
    return Samples(images.clamp(-1, 1)[:, None], labels[:, None])


def alternate(baseline: Baseline, samples: Samples, steps: int, rate: float) -> list[dict[str, float]]:
    """Train as the loop does, one Adam per goal; return every step's terms."""
    goals = baseline.goals()
    optimizers = {goal.name: torch.optim.Adam(claimed(goal), lr=rate, betas=(0.5, 0.999)) for goal in goals}
    generator, history = torch.Generator().manual_seed(0), []
    for step in range(steps):
        history.append({})
        for goal in goals:
            if step % goal.every == 0:
                optimizers[goal.name].zero_grad()
                loss, terms = goal.measure(samples, generator)
                loss.backward()
                optimizers[goal.name].step()
                history[-1] |= {name: float(term) for name, term in terms.items()}
    return history


def claimed(goal: Goal) -> list[nn.Parameter]:
    return [parameter for part in goal.trains.values() for parameter in part.parameters()]


def gradients(baseline: Baseline, goal: Goal, samples: Samples) -> dict[str, Tensor]:
    """Return the gradients that one goal leaves in a baseline without any."""
    baseline.zero_grad(set_to_none=True)
    loss, _ = goal.measure(samples, torch.Generator().manual_seed(0))
    loss.backward()
    return {name: p.grad.clone() for name, p in baseline.named_parameters() if p.grad is not None}


def names_below(baseline: Baseline, parts: Sequence[str]) -> set[str]:
    """Return the names of all parameters of some parts."""
    return {name for name, _ in baseline.named_parameters() if name.split(".")[0] in parts}
