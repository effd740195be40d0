"""The forward process and the conversions, against their definitions, each other and diffusers."""

from typing import Any, get_args

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from diffusegae.diffusion.process import (
    PredictionKind,
    add_noise,
    clip_x_0,
    from_prediction,
    noise_for_seeds,
    per_image,
    predict_eps,
    predict_x_0,
    slerp,
    training_target,
)
from diffusegae.diffusion.schedule import Schedule

KINDS: tuple[PredictionKind, ...] = get_args(PredictionKind)
T = torch.tensor([0, 10, 500, 999])


@pytest.fixture
def eps(images: Tensor) -> Tensor:
    return torch.randn(images.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_the_training_target_converts_back_to_eps_and_x_0(
    images: Tensor, eps: Tensor, schedule: Schedule, kind: PredictionKind
) -> None:
    x_0, eps = images.double(), eps.double()
    x_t = add_noise(x_0, eps, T, schedule)
    target = training_target(x_0, eps, T, schedule, kind)
    torch.testing.assert_close(predict_eps(target, x_t, T, schedule, kind), eps, rtol=0, atol=1e-12)
    torch.testing.assert_close(predict_x_0(target, x_t, T, schedule, kind), x_0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_loses_little_even_where_the_signal_is_weakest(
    images: Tensor, eps: Tensor, schedule: Schedule, kind: PredictionKind
) -> None:
    x_t = add_noise(images, eps, T, schedule)
    target = training_target(images, eps, T, schedule, kind)
    torch.testing.assert_close(predict_x_0(target, x_t, T, schedule, kind), images, rtol=0, atol=2e-4)


def test_noising_and_v_agree_with_diffusers(images: Tensor, eps: Tensor, schedule: Schedule) -> None:
    reference: Any = DDPMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    torch.testing.assert_close(
        add_noise(images, eps, T, schedule), reference.add_noise(images, eps, T), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        training_target(images, eps, T, schedule, "v"), reference.get_velocity(images, eps, T), rtol=0, atol=1e-5
    )


def test_noised_images_have_the_moments_of_q(schedule: Schedule) -> None:
    x_0 = torch.full((1, 200_000), 0.5, dtype=torch.float64)
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x_t = add_noise(x_0, eps, torch.tensor([300]), schedule)
    alpha_bar = schedule.alpha_bar[300].item()
    assert x_t.mean().item() == pytest.approx(0.5 * alpha_bar**0.5, abs=0.01)
    assert x_t.var().item() == pytest.approx(1 - alpha_bar, rel=0.01)


def test_a_v_network_becomes_the_eps_predictor_it_implies(images: Tensor, eps: Tensor, schedule: Schedule) -> None:
    x_0, eps = images.double(), eps.double()
    denoise = from_prediction(lambda x_t, t: training_target(x_0, eps, t, schedule, "v"), schedule, "v")
    torch.testing.assert_close(denoise(add_noise(x_0, eps, T, schedule), T), eps, rtol=0, atol=1e-12)


def test_an_eps_network_passes_through(images: Tensor, eps: Tensor, schedule: Schedule) -> None:
    denoise = from_prediction(lambda x_t, t: eps, schedule, "eps")
    assert torch.equal(denoise(images, T), eps)


def test_clipping_touches_only_what_is_outside() -> None:
    assert clip_x_0(torch.tensor([[-3.0, -1.0, 0.25, 1.5]])).tolist() == [[-1.0, -1.0, 0.25, 1.0]]


def test_coefficients_are_cast_last(images: Tensor, schedule: Schedule) -> None:
    coefficient = per_image(schedule.at(T), images.bfloat16())
    assert coefficient.shape == (4, 1, 1, 1)
    assert coefficient.dtype == torch.float32
    assert per_image(schedule.at(T), images.double()).dtype == torch.float64


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_comes_back_as_bfloat16(images: Tensor, eps: Tensor, schedule: Schedule, kind: PredictionKind) -> None:
    x_0, noise = images.bfloat16(), eps.bfloat16()
    x_t = add_noise(x_0, noise, T, schedule)
    target = training_target(x_0, noise, T, schedule, kind)
    assert {x_t.dtype, target.dtype, predict_eps(target, x_t, T, schedule, kind).dtype} == {torch.bfloat16}
    assert predict_x_0(target, x_t, T, schedule, kind).dtype == torch.bfloat16
    torch.testing.assert_close(x_t.float(), add_noise(images, eps, T, schedule), rtol=0.02, atol=0.02)


def test_gradients_flow_through_the_conversions(images: Tensor, eps: Tensor, schedule: Schedule) -> None:
    prediction = torch.zeros_like(images, requires_grad=True)
    predict_x_0(prediction, eps, T, schedule, "v").sum().backward()
    expected = -(1 - schedule.at(T)).sqrt().float().reshape(4, 1, 1, 1).expand_as(images)
    torch.testing.assert_close(prediction.grad, expected)


class TestNoiseForSeeds:
    """The noise of an image is a function of its seed alone."""

    def test_an_image_does_not_depend_on_its_neighbours(self) -> None:
        together = noise_for_seeds([5, 6, 7], (3, 4, 4))
        assert together.dtype == torch.float32
        for row, seed in enumerate([5, 6, 7]):
            assert torch.equal(together[row], noise_for_seeds([seed], (3, 4, 4))[0])
        assert torch.equal(noise_for_seeds([7, 5], (3, 4, 4)), together[[2, 0]])

    def test_seeds_differ_and_the_global_generator_is_left_alone(self) -> None:
        before = torch.get_rng_state()
        first, second = noise_for_seeds([1, 2], (3, 8, 8))
        assert not torch.equal(first, second)
        assert torch.equal(torch.get_rng_state(), before)

    def test_it_is_standard_normal(self) -> None:
        noise = noise_for_seeds(range(16), (3, 64, 64))
        assert noise.mean().item() == pytest.approx(0, abs=0.01)
        assert noise.std().item() == pytest.approx(1, abs=0.01)


def test_slerp_hits_both_ends_and_keeps_the_norm_of_noise() -> None:
    a, b = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b, atol=1e-5, rtol=1e-5)
    assert float(slerp(a, b, 0.5).std()) == pytest.approx(1.0, abs=0.05)
