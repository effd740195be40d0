"""What every sampler must do, whatever its order."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.diffusion import samplers
from diffusegae.diffusion.process import from_prediction, noise_for_seeds
from diffusegae.diffusion.samplers import SAMPLERS, Sampler, SamplerName
from diffusegae.diffusion.schedule import Schedule
from diffusegae.diffusion.trajectory import inversion_path, levels_of, sampling_path
from tests.diffusion.conftest import Gaussian, Undertrained


def test_every_name_has_a_sampler() -> None:
    assert set(SAMPLERS) == set(get_args(SamplerName))


@pytest.mark.parametrize("name", list(SAMPLERS))
@pytest.mark.parametrize("clip", [True, False])
def test_a_config_names_the_sampler_its_steps_and_whether_it_clips(
    name: SamplerName, clip: bool, schedule: Schedule, undertrained: Undertrained, images: Tensor
) -> None:
    config, sampler = SamplingConfig(sampler=name, steps=20, clip=clip), SAMPLERS[name]
    x_T = samplers.invert(undertrained.eps, images, schedule, config)
    assert torch.equal(x_T, sampler.invert(undertrained.eps, images, schedule, 20, clip=clip))
    noise, seen = 2 * noise_for_seeds([0], (3, 4, 4)), list[int]()
    image = samplers.sample(undertrained.eps, noise, schedule, config, lambda index, _: seen.append(index))
    assert torch.equal(image, sampler.sample(undertrained.eps, noise, schedule, 20, clip=clip).clamp(-1, 1))
    assert len(seen) == 20


@pytest.mark.parametrize("name", list(SAMPLERS))
class TestSampler:
    """The contract that ddim and dpm++ share."""

    @pytest.fixture
    def sampler(self, name: SamplerName) -> Sampler:
        return SAMPLERS[name]

    def test_it_reaches_the_distribution_of_the_data(
        self, sampler: Sampler, schedule: Schedule, gaussian: Gaussian
    ) -> None:
        # The map is affine, x_0 = mean + std x_T, so two points determine the distribution.
        x_T = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        at_zero, at_one = sampler.sample(gaussian.eps, x_T, schedule, 250, clip=False).flatten().tolist()
        assert at_zero == pytest.approx(gaussian.mean, abs=2e-3)
        assert at_one - at_zero == pytest.approx(gaussian.std, rel=0.02)

    def test_inversion_reaches_standard_noise(self, sampler: Sampler, schedule: Schedule, gaussian: Gaussian) -> None:
        one_sigma = torch.tensor([[0.2], [0.7]], dtype=torch.float64)
        at_mean, at_sigma = sampler.invert(gaussian.eps, one_sigma, schedule, 250, clip=False).flatten().tolist()
        assert at_mean == pytest.approx(0, abs=0.03)
        assert at_sigma - at_mean == pytest.approx(1, rel=0.05)

    def test_sampling_undoes_inversion_of_a_good_denoiser(
        self, sampler: Sampler, schedule: Schedule, gaussian: Gaussian, images: Tensor
    ) -> None:
        errors = []
        for steps in (20, 50, 100):
            x_T = sampler.invert(gaussian.eps, images, schedule, steps)
            errors.append((sampler.sample(gaussian.eps, x_T, schedule, steps) - images).square().mean().item() / 4)
        assert errors[0] > errors[1] > errors[2]
        assert errors[2] < 6e-4

    def test_clipping_makes_inversion_of_an_undertrained_denoiser_exact(
        self, sampler: Sampler, schedule: Schedule, undertrained: Undertrained, images: Tensor
    ) -> None:
        def error(clip: bool) -> float:
            x_T = sampler.invert(undertrained.eps, images, schedule, 100, clip=clip)
            back = sampler.sample(undertrained.eps, x_T, schedule, 100, clip=clip)
            return (back - images).square().mean().item() / 4

        assert error(clip=True) < 5e-4
        assert error(clip=False) > 50 * error(clip=True)

    def test_clipping_is_on_by_default_and_bounds_the_image(
        self, sampler: Sampler, schedule: Schedule, undertrained: Undertrained
    ) -> None:
        x_T = noise_for_seeds([0], (3, 4, 4)) * 2
        image = sampler.sample(undertrained.eps, x_T, schedule, 20)
        assert image.abs().max() <= 1
        assert torch.equal(image, sampler.sample(undertrained.eps, x_T, schedule, 20, clip=True))
        assert sampler.sample(undertrained.eps, x_T, schedule, 20, clip=False).abs().max() > 1

    def test_an_image_does_not_depend_on_its_batch(
        self, sampler: Sampler, schedule: Schedule, undertrained: Undertrained
    ) -> None:
        together = sampler.sample(undertrained.eps, noise_for_seeds([3, 4], (3, 4, 4)), schedule, 20)
        alone = sampler.sample(undertrained.eps, noise_for_seeds([4], (3, 4, 4)), schedule, 20)
        torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-6)

    def test_progress_is_reported_after_every_step(
        self, sampler: Sampler, schedule: Schedule, gaussian: Gaussian
    ) -> None:
        seen: list[int] = []
        estimates: list[Tensor] = []

        def on_step(index: int, x_0_hat: Tensor) -> None:
            seen.append(index)
            estimates.append(x_0_hat)

        image = sampler.sample(gaussian.eps, noise_for_seeds([0], (3, 4, 4)), schedule, 10, on_step=on_step)
        assert seen == list(range(10))
        torch.testing.assert_close(estimates[-1], image)
        sampler.invert(gaussian.eps, image, schedule, 10, on_step=on_step)
        assert seen[10:] == list(range(10))

    def test_images_at_different_steps_share_one_batch(
        self, sampler: Sampler, schedule: Schedule, undertrained: Undertrained, images: Tensor
    ) -> None:
        # Three requests of different length and direction; each joins when the one before is two steps in.
        x_T = noise_for_seeds([1, 2], (3, 8, 8))
        paths = [sampling_path(schedule, 10), sampling_path(schedule, 5), inversion_path(schedule, 4)]
        states = [x_T[0], x_T[1], images[0]]
        estimates = [torch.zeros_like(state) for state in states]
        position = [0, -2, -4]
        while any(place < len(path) for place, path in zip(position, paths, strict=True)):
            active = [i for i in range(3) if 0 <= position[i] < len(paths[i])]
            x, previous = (torch.stack([of[i] for i in active]) for of in (states, estimates))
            levels = levels_of([paths[i][position[i]] for i in active], x)
            x, x_0_hat = sampler.advance(x, undertrained.eps(x, levels.t), previous, levels, True)
            for row, i in enumerate(active):
                states[i], estimates[i] = x[row], x_0_hat[row]
            position = [place + 1 for place in position]
        torch.testing.assert_close(states[0][None], sampler.sample(undertrained.eps, x_T[:1], schedule, 10))
        torch.testing.assert_close(states[1][None], sampler.sample(undertrained.eps, x_T[1:], schedule, 5))
        torch.testing.assert_close(states[2][None], sampler.invert(undertrained.eps, images[:1], schedule, 4))

    def test_bfloat16_follows_float32(
        self, sampler: Sampler, schedule: Schedule, undertrained: Undertrained, images: Tensor
    ) -> None:
        x_T = noise_for_seeds(range(4), images.shape[1:])
        half = sampler.sample(undertrained.eps, x_T.bfloat16(), schedule, 20)
        assert half.dtype == torch.bfloat16
        full = sampler.sample(undertrained.eps, x_T, schedule, 20)
        assert (half.float() - full).abs().mean() < 0.05
        assert sampler.invert(undertrained.eps, images.bfloat16(), schedule, 20).isfinite().all()

    def test_a_v_network_gives_the_images_of_its_eps_network(
        self, sampler: Sampler, schedule: Schedule, gaussian: Gaussian
    ) -> None:
        def predict_v(x_t: Tensor, t: Tensor) -> Tensor:
            alpha_bar = schedule.at(t).reshape(-1, 1, 1, 1)
            return (gaussian.eps(x_t, t) - (1 - alpha_bar).sqrt() * x_t) / alpha_bar.sqrt()

        x_T = noise_for_seeds([0, 1], (3, 4, 4)).double()
        through_v = sampler.sample(from_prediction(predict_v, schedule, "v"), x_T, schedule, 20)
        torch.testing.assert_close(through_v, sampler.sample(gaussian.eps, x_T, schedule, 20), rtol=0, atol=1e-9)

    def test_gradients_reach_the_noise(self, sampler: Sampler, schedule: Schedule, gaussian: Gaussian) -> None:
        x_T = noise_for_seeds([0], (3, 4, 4)).requires_grad_()
        sampler.sample(gaussian.eps, x_T, schedule, 5, clip=False).sum().backward()
        assert x_T.grad is not None
        assert x_T.grad.abs().min() > 0
