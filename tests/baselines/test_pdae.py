"""PDAE: the published coefficients and what they lead to, a DPM that stays as it is, an estimator that learns."""

import copy

import pytest
import torch
from torch import Tensor

from diffusegae.baselines.baseline import Samples
from diffusegae.baselines.ddim import Ddim
from diffusegae.baselines.pdae import ConvEncoder, Pdae, canvas_sides, loss_weight, shift_coefficient
from diffusegae.diffusion.process import noise_for_seeds
from diffusegae.diffusion.schedule import Schedule, linear_schedule
from diffusegae.editing.method import Method
from diffusegae.models.layers import SelfAttention
from diffusegae.models.unet import Condition
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
WIDTHS = "baselines.pdae.encoder_widths=[8,16,16,16]"


def make(*overrides: str) -> Pdae:
    """Return an untrained PDAE on a DPM that predicts something."""
    config = smoke_config(WIDTHS, *overrides)
    torch.manual_seed(1)
    baseline = Pdae(config, SCHEMA)
    baseline.take_before(tiny_baseline(Ddim, config, SCHEMA).state_dict())
    return baseline


def test_coefficients_are_those_worked_by_hand() -> None:
    schedule = Schedule(torch.tensor([0.9, 0.72, 0.36], dtype=torch.float64))  # alpha_t = 0.9, 0.8, 0.5
    t = torch.tensor([0, 1, 2])
    expected = [0.0, -(0.8**0.5) * 0.1 / 0.28**0.5, -(0.5**0.5) * 0.28 / 0.64**0.5]
    torch.testing.assert_close(shift_coefficient(t, schedule), torch.tensor(expected, dtype=torch.float64))
    # the signal-to-noise ratios are 9, 18/7 and 9/16
    expected = [9**0.1 / 10, (18 / 7) ** 0.1 / (25 / 7), (9 / 16) ** 0.1 / (25 / 16)]
    torch.testing.assert_close(loss_weight(t, schedule), torch.tensor(expected, dtype=torch.float64))


def test_training_and_sampling_shift_by_nearly_the_same_but_at_the_first_timesteps() -> None:
    schedule, t = linear_schedule(), torch.arange(1000)
    ratio = -shift_coefficient(t, schedule) / (1 - schedule.alpha_bar).sqrt()
    assert float(ratio[50:].min()) > 0.95
    assert float(ratio.max()) < 1
    assert float(ratio[1]) == pytest.approx(0.45, abs=0.01)
    assert float(ratio[0]) == 0


def test_the_best_g_is_the_error_of_the_dpm_over_the_coefficient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of black pictures eps is known from x_t, so that the DPM can be made wrong by a known amount."""
    baseline, schedule = make(), linear_schedule()
    samples = Samples(torch.zeros(8, 1, 3, 32, 32), torch.zeros(8, 1, 3, dtype=torch.int64))
    wrong_by = torch.rand(3, 32, 32, generator=generator()) - 0.5
    seen: list[Tensor] = []

    def at_relative_distance(relative: float) -> float:
        def estimate(x_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
            seen.append(t)
            eps = x_t / (1 - schedule.at(t)).sqrt()[:, None, None, None]
            best = -wrong_by / shift_coefficient(t, schedule)[:, None, None, None]
            return (eps + wrong_by).float(), (best * (1 + relative)).float()

        monkeypatch.setattr(baseline, "estimate", estimate)
        return float(measured(baseline, samples, generator())[0])

    assert at_relative_distance(0.0) == pytest.approx(0, abs=1e-9)
    weight = float(loss_weight(seen[0], schedule).mean() * wrong_by.square().mean())
    for relative in (-1.0, -0.3, 0.3):
        assert at_relative_distance(relative) == pytest.approx(relative**2 * weight, rel=1e-3)

    # and in sampling that very G takes the error away
    at_relative_distance(0.0)
    eps, t = torch.randn(2, 3, 32, 32, generator=generator()), torch.tensor([100, 900])
    x_t = ((1 - schedule.at(t)).sqrt()[:, None, None, None] * eps).float()
    corrected = baseline.denoiser(torch.zeros(2, 32))(x_t, t)
    assert float((corrected - eps).abs().max()) < 0.05 * float(wrong_by.abs().max())


@pytest.mark.parametrize("kind", ["v", "eps"])
def test_without_a_gradient_it_samples_as_the_dpm_does(kind: str) -> None:
    baseline = make(f"diffusion.prediction={kind}")
    x_T = noise_for_seeds([3, 4], (3, 32, 32))
    alone = baseline.dpm.method().decode(x_T.flatten(1), [3, 4])
    codes = torch.randn(2, 32)
    assert torch.equal(baseline.method().decode(codes, [3, 4]), alone)  # the estimator starts as zero
    torch.nn.init.normal_(baseline.estimator.head.weight, std=0.1)
    guided = baseline.method().decode(codes, [3, 4])
    assert not torch.allclose(guided, alone, atol=1e-2)


def test_the_loss_of_a_zero_estimator_is_the_weighted_error_of_the_dpm() -> None:
    baseline, samples = make(), single_samples(4)
    loss, terms = measured(baseline, samples, generator())
    assert list(terms) == ["shift"]
    draws = generator()
    t = torch.randint(0, 1000, (4,), generator=draws)
    eps = torch.randn(4, 3, 32, 32, generator=draws)
    alpha_bar = baseline.schedule.at(t)[:, None, None, None]
    x_t = (alpha_bar.sqrt() * samples.images[:, 0] + (1 - alpha_bar).sqrt() * eps).float()
    errors = (eps - baseline.dpm.denoiser()(x_t, t)).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(loss, (loss_weight(t, baseline.schedule) * errors).mean().float())


def test_the_sides_of_the_canvas_are_those_of_the_g_that_leads_to_it() -> None:
    schedule, t = linear_schedule(), torch.tensor([0, 30, 999])
    x_t, eps, x_0 = (torch.randn(3, 3, 8, 8, generator=generator(seed)).double() for seed in range(3))
    given, factor = canvas_sides(x_t, eps, t, schedule)
    alpha_bar = schedule.at(t)[:, None, None, None]
    shifted = eps - (1 - alpha_bar).sqrt() * (given + factor * x_0)
    torch.testing.assert_close(shifted, (x_t - alpha_bar.sqrt() * x_0) / (1 - alpha_bar).sqrt())


def test_an_estimator_that_trusts_its_canvas_samples_it() -> None:
    baseline, codes = make("model.unet.canvas=true"), torch.randn(2, 32)
    assert baseline.dpm.unet.canvas is None
    canvas = baseline.estimator.canvas
    assert canvas is not None
    torch.nn.init.ones_(canvas.weights.bias)
    picture = baseline.estimator.shuffle(baseline.estimator.condition(codes).canvas).clamp(-1, 1)
    torch.testing.assert_close(baseline.method().decode(codes, [3, 4]), picture, atol=1e-3, rtol=0)


def test_the_canvas_learns_the_picture_by_its_own_weight() -> None:
    baseline, samples = make("model.unet.canvas=true", "baselines.pdae.lambda_canvas=3"), single_samples(4)
    loss, terms = measured(baseline, samples, generator())
    assert list(terms) == ["shift", "canvas"]
    torch.testing.assert_close(loss.detach(), terms["shift"] + 3 * terms["canvas"])
    images = samples.images[:, 0]
    canvas = baseline.estimator.condition(baseline.encoder(images)).canvas
    assert canvas is not None
    torch.testing.assert_close(terms["canvas"], (baseline.estimator.shuffle(canvas) - images).square().mean().detach())
    (goal,) = baseline.goals()
    assert untouched(goal, train_shortly(goal, samples, steps=5)) == []
    assert float(measured(baseline, samples, generator())[1]["canvas"]) < float(terms["canvas"])


def test_all_but_the_dpm_learns_and_the_dpm_stays() -> None:
    baseline = make()
    before = copy.deepcopy(baseline.dpm.state_dict())
    (goal,) = baseline.goals()
    assert set(goal.trains) == {"encoder", "estimator"}
    assert baseline.frozen == (baseline.dpm,)
    baseline.train()
    assert untouched(goal, train_shortly(goal, single_samples(8), steps=5)) == []
    for name, weight in baseline.dpm.state_dict().items():
        assert torch.equal(weight, before[name]), name
    assert all(p.grad is None for p in baseline.dpm.parameters())
    claimed = [p for part in goal.trains.values() for p in part.parameters()]
    assert len(claimed) + len(list(baseline.dpm.parameters())) == len(list(baseline.parameters()))


def test_the_dpm_drops_nothing_out_while_the_rest_trains() -> None:
    baseline = make("model.unet.dropout=0.5").train()
    assert baseline.estimator.training
    assert not any(module.training for module in baseline.dpm.modules())
    x_t, t, condition = random_images(2), torch.tensor([5, 500]), Condition(torch.zeros(2, 16), None)
    first, second = (baseline.estimate(x_t, t, condition)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad


def test_a_short_training_makes_the_prediction_better_than_the_dpms() -> None:
    baseline = make()
    samples = grey_samples(8)
    before = float(measured(baseline, samples, generator(99))[0].detach())
    train_shortly(baseline.goals()[0], samples, steps=80, learning_rate=3e-3)
    assert float(measured(baseline, samples, generator(99))[0].detach()) < 0.8 * before


@pytest.mark.parametrize(
    ("image_size", "features", "attentions"), [(128, 4096, 1), (64, 4096, 1), (32, 4096, 1), (16, 2048, 0)]
)
def test_the_encoder_goes_down_to_4_pixels(image_size: int, features: int, attentions: int) -> None:
    encoder = ConvEncoder(image_size, (64, 128, 256, 256, 256), 12)
    assert encoder.head.in_features == features
    found = [module for module in encoder.features if isinstance(module, SelfAttention)]
    assert len(found) == attentions
    assert all(attention.num_heads == 4 for attention in found)
    assert encoder(torch.zeros(1, 3, image_size, image_size)).shape == (1, 12)


def test_its_method_edits_with_the_encoder_and_any_shape_of_unet() -> None:
    baseline = make("model.unet.canvas=true", "model.unet.positions=true", "model.pixel_unshuffle=2")
    method = baseline.method()
    assert isinstance(method, Method)
    images = random_images(3)
    codes = method.encode(images)
    assert codes.shape == (3, 32)
    torch.nn.init.normal_(baseline.estimator.head.weight, std=0.1)
    alone = method.decode(codes[1:2], [6])
    assert float((method.decode(codes, [5, 6, 7])[1:2] - alone).abs().max()) < 2 / 255
