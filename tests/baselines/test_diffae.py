"""Diff-AE: its networks are the published ones beside ours, its loss is L_simple, and all of it learns."""

import pytest
import torch

from diffusegae.baselines.baseline import Samples
from diffusegae.baselines.diffae import DiffAe
from diffusegae.editing.method import Method
from diffusegae.losses.simple import denoising_loss, draw_noise
from diffusegae.models.half_unet import HalfUNetEncoder
from diffusegae.models.layers import AdaGN
from tests.baselines.short_training import (
    generator,
    grey_samples,
    measured,
    single_samples,
    tiny_baseline,
    train_shortly,
    untouched,
)
from tests.tiny import random_images, smoke_config, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)


def test_z_scales_only_and_all_else_is_as_for_ours() -> None:
    baseline = DiffAe(smoke_config("model.unet.canvas=true", "model.unet.z_gain=3.0"), SCHEMA)
    assert isinstance(baseline.encoder, HalfUNetEncoder)
    norms = [module for module in baseline.unet.modules() if isinstance(module, AdaGN)]
    assert norms
    assert not any(norm.z_shift for norm in norms)
    assert baseline.unet.canvas is not None
    assert baseline.unet.z_gain == 3.0
    assert list(baseline.parameter_counts()) == ["encoder", "unet"]


def test_its_loss_is_l_simple_with_its_own_weight_of_the_canvas() -> None:
    config = smoke_config("model.unet.canvas=true", "baselines.diffae.lambda_canvas=2.5")
    baseline = tiny_baseline(DiffAe, config, SCHEMA)
    samples = single_samples(4)
    loss, terms = measured(baseline, samples, generator())
    noisy = draw_noise(samples.images[:, 0], baseline.schedule, "v", generator())
    z_sem = baseline.encoder(samples.images[:, 0])
    expected, _ = denoising_loss(baseline.unet, samples.images[:, 0], noisy, z_sem, 2.5)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(loss.detach(), terms["simple"] + 2.5 * terms["canvas"])


def test_members_of_a_sample_are_images_like_any_other() -> None:
    baseline = tiny_baseline(DiffAe, smoke_config(), SCHEMA)
    images = random_images(6)
    grouped = Samples(images.unflatten(0, (2, 3)), torch.zeros(2, 3, 3, dtype=torch.int64))
    single = Samples(images[:, None], torch.zeros(6, 1, 3, dtype=torch.int64))
    torch.testing.assert_close(measured(baseline, grouped, generator())[0], measured(baseline, single, generator())[0])


@pytest.mark.parametrize("overrides", [[], ["model.unet.canvas=true", "baselines.diffae.lambda_canvas=1.0"]])
def test_every_weight_learns(overrides: list[str]) -> None:
    torch.manual_seed(0)
    baseline = DiffAe(smoke_config(*overrides), SCHEMA)
    (goal,) = baseline.goals()
    claimed = {id(p) for part in goal.trains.values() for p in part.parameters()}
    assert claimed == {id(p) for p in baseline.parameters()}
    assert untouched(goal, train_shortly(goal, single_samples(8), steps=5)) == []


def test_a_short_training_halves_the_loss() -> None:
    torch.manual_seed(0)
    baseline = DiffAe(smoke_config(), SCHEMA)
    samples = grey_samples(8)
    before = float(measured(baseline, samples, generator(99))[0].detach())
    train_shortly(baseline.goals()[0], samples, steps=100, learning_rate=3e-3)
    assert float(measured(baseline, samples, generator(99))[0].detach()) < 0.5 * before


def test_its_method_edits_with_the_averaged_weights_as_they_are() -> None:
    baseline = tiny_baseline(DiffAe, smoke_config(), SCHEMA).train()
    method = baseline.method()
    assert isinstance(method, Method)
    assert not baseline.training
    assert all(p.requires_grad for p in baseline.parameters())  # it may go on training
    images = random_images(2)
    torch.testing.assert_close(method.encode(images), baseline.encoder(images))


def test_the_denoiser_predicts_eps() -> None:
    baseline = tiny_baseline(DiffAe, smoke_config(), SCHEMA)
    x_t, t, z_sem = random_images(2), torch.tensor([10, 800]), torch.randn(2, 32)
    alpha_bar = baseline.schedule.at(t).float()[:, None, None, None]
    expected = alpha_bar.sqrt() * baseline.unet(x_t, t, z_sem) + (1 - alpha_bar).sqrt() * x_t
    torch.testing.assert_close(baseline.denoiser(z_sem)(x_t, t), expected)
