"""Perceptual path length against closed forms.

The linear and curved generators paint what their formula says, so that each length is known.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusegae.metrics.smoothness import (
    PathGenerator,
    PathSettings,
    draw_pairs,
    draw_places,
    measure_lengths,
    trim,
)

SIZE, WIDTH = 4, 6
SETTINGS = PathSettings(seed=3, batch_size=4)


def squared(images: Tensor, others: Tensor) -> Tensor:
    return (images - others).square().sum(dim=(1, 2, 3))


def codes(count: int, seed: int) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MATRIX = torch.randn(WIDTH, 3 * SIZE**2, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
STARTS, ENDS = codes(10, 0), codes(10, 1)


@dataclass
class Painter:
    """Paints a function of the code, the noise and the steps, and remembers what it was asked for."""

    paint: Callable[[Tensor, Tensor, int], Tensor]
    image_size: int = SIZE
    asked: list[tuple[Tensor, Tensor, int]] = field(default_factory=list)

    def generate(self, codes: Tensor, x_T: Tensor, steps: int) -> Tensor:
        self.asked.append((codes, x_T, steps))
        return self.paint(codes, x_T, steps)


def linear(codes: Tensor, x_T: Tensor, steps: int) -> Tensor:
    return (codes @ MATRIX).view(-1, 3, SIZE, SIZE)


def noisy(codes: Tensor, x_T: Tensor, steps: int) -> Tensor:
    return linear(codes, x_T, steps).tanh() * x_T.double()


def lengths_of(
    generator: PathGenerator, starts: Tensor = STARTS, ends: Tensor = ENDS, settings: PathSettings = SETTINGS
) -> np.ndarray:
    return measure_lengths(generator, starts, ends, squared, settings, 20)


@pytest.mark.parametrize("settings", [SETTINGS, PathSettings(seed=4), PathSettings(seed=3, epsilon=0.01)])
def test_a_linear_generator_has_the_squared_length_of_its_path_wherever_it_is_measured(settings: PathSettings) -> None:
    expected = ((ENDS - STARTS) @ MATRIX).square().sum(dim=1).numpy()
    assert lengths_of(Painter(linear), settings=settings) == pytest.approx(expected, rel=1e-6)
    assert lengths_of(Painter(linear), STARTS, STARTS + 2 * (ENDS - STARTS), settings) == pytest.approx(
        4 * expected, rel=1e-6
    )


def test_a_curved_generator_is_measured_at_the_places_drawn() -> None:
    def square(codes: Tensor, x_T: Tensor, steps: int) -> Tensor:
        return codes.square().view(-1, 1, 1, 1).expand(-1, 3, 1, 1)

    starts, ends = torch.zeros(50, 1, dtype=torch.float64), torch.ones(50, 1, dtype=torch.float64)
    steps = 3 * (2 * draw_places(50, seed=3) + SETTINGS.epsilon) ** 2  # ((a + e)^2 - a^2) / e, in 3 channels
    assert lengths_of(Painter(square, image_size=1), starts, ends) == pytest.approx(steps, rel=1e-6)


def test_a_generator_that_ignores_its_code_is_perfectly_smooth() -> None:
    assert lengths_of(Painter(lambda codes, x_T, steps: x_T)).tolist() == [0.0] * len(STARTS)


def test_both_ends_of_a_step_share_their_noise_and_every_pair_has_its_own() -> None:
    painter = Painter(linear)
    for steps in (20, 50):
        measure_lengths(painter, STARTS, ENDS, squared, PathSettings(seed=3), steps)
    (here, first, _), (further, second, _), (again, other_T, _), _ = painter.asked
    assert not torch.equal(here, further)
    assert torch.equal(here, again)
    assert torch.equal(first, second)
    assert torch.equal(first, other_T)
    assert len({tuple(noise.flatten().tolist()) for noise in first}) == len(STARTS)
    assert first.mean().abs() < 0.2
    assert first.std() == pytest.approx(1, abs=0.1)


def test_another_seed_gives_every_pair_other_noise() -> None:
    """A seed above bit 32 gave none: torch's CPU generator does not look there."""
    painter = Painter(linear)
    for seed in (3, 4):
        measure_lengths(painter, STARTS, ENDS, squared, PathSettings(seed=seed), 20)
    first = painter.asked[0][1]
    assert not torch.isclose(painter.asked[-1][1], first).all(dim=(1, 2, 3)).any()


def test_lengths_are_a_function_of_the_seed_and_not_of_the_batch() -> None:
    expected = lengths_of(Painter(noisy))
    assert np.array_equal(lengths_of(Painter(noisy)), expected)
    for batch_size in (1, 3, 64):
        settings = PathSettings(seed=3, batch_size=batch_size)
        assert lengths_of(Painter(noisy), settings=settings) == pytest.approx(expected, rel=1e-5)
    assert lengths_of(Painter(noisy), STARTS[:7], ENDS[:7]) == pytest.approx(expected[:7], rel=1e-5)
    other = lengths_of(Painter(noisy), settings=PathSettings(seed=4))
    assert np.abs(other / expected - 1).min() > 1e-3


def test_places_are_uniform_and_a_function_of_the_seed() -> None:
    places = draw_places(4000, seed=1)
    assert np.array_equal(places[:10], draw_places(10, seed=1))
    assert np.histogram(places, bins=4, range=(0, 1))[0] == pytest.approx(1000, abs=120)
    assert not np.array_equal(places[:10], draw_places(10, seed=2))


def test_pairs_are_of_different_images_all_equally_likely_and_a_function_of_the_seed() -> None:
    pairs = draw_pairs(3, 6000, seed=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    assert found.tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    assert counts == pytest.approx(1000, abs=120)
    assert np.array_equal(pairs[:10], draw_pairs(3, 10, seed=1))
    assert not np.array_equal(pairs, draw_pairs(3, 6000, seed=2))


def test_places_do_not_follow_from_which_images_were_drawn() -> None:
    first, second = draw_pairs(1000, 4000, seed=1).T
    drawn = np.stack([draw_places(4000, seed=1), first, second, (second - first) % 1000])
    assert np.abs(np.corrcoef(drawn)[0, 1:]).max() < 0.06


def test_the_generator_is_told_the_steps() -> None:
    painter = Painter(lambda codes, x_T, steps: steps * linear(codes, x_T, steps))
    lengths = measure_lengths(painter, STARTS, ENDS, squared, SETTINGS, 50)
    assert lengths == pytest.approx(2500 * lengths_of(Painter(linear)), rel=1e-6)


@pytest.mark.parametrize(("count", "dropped"), [(100, 0), (201, 2), (1000, 9)])
def test_outliers_are_trimmed_at_both_ends(count: int, dropped: int) -> None:
    lengths = np.random.default_rng(0).lognormal(size=count)
    trimmed = trim(lengths)
    assert np.isnan(trimmed).sum() == 2 * dropped
    assert np.nanmean(trimmed) == pytest.approx(np.sort(lengths)[dropped : count - dropped].mean())
    assert np.array_equal(trimmed[~np.isnan(trimmed)], lengths[~np.isnan(trimmed)])


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="Encode more images"):
        draw_pairs(1, 10, seed=0)
