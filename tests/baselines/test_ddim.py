"""DDIM: unconditional, its code is all of x_T, and it says what it cannot do."""

import pytest
import torch

from diffusegae.baselines.ddim import Ddim, DdimMethod
from diffusegae.config.model import SamplingConfig
from diffusegae.editing.method import Method, UnsupportedError
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
PRECISE = SamplingConfig(steps=100, sampler="dpm++")


@pytest.fixture(scope="module")
def baseline() -> Ddim:
    return tiny_baseline(Ddim, smoke_config("model.unet.canvas=true"), SCHEMA)


@pytest.fixture(scope="module")
def method(baseline: Ddim) -> DdimMethod:
    return baseline.method()


def test_has_no_canvas_and_one_condition_for_all(baseline: Ddim) -> None:
    assert baseline.unet.canvas is None
    latents, styles = baseline.shared(3), baseline.condition(3).style
    assert torch.equal(latents[0], latents[2])
    # Some processors sum the rows of one matrix product in other orders: 2e-9 of .1 was seen.
    torch.testing.assert_close(styles[0], styles[2], rtol=0, atol=1e-7)
    assert baseline.shared(2).shape == (2, 32)
    assert list(baseline.parameter_counts()) == ["unet", "shared"]
    assert baseline.parameter_counts()["shared"] == 32


def test_every_weight_learns_the_shared_condition_too() -> None:
    torch.manual_seed(0)
    baseline = Ddim(smoke_config(), SCHEMA)
    (goal,) = baseline.goals()
    claimed = {id(p) for part in goal.trains.values() for p in part.parameters()}
    assert claimed == {id(p) for p in baseline.parameters()}
    assert untouched(goal, train_shortly(goal, single_samples(8), steps=5)) == []


def test_a_short_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    baseline, samples = Ddim(smoke_config(), SCHEMA), grey_samples(8)
    before = float(measured(baseline, samples, generator(99))[0].detach())
    train_shortly(baseline.goals()[0], samples, steps=60, learning_rate=3e-3)
    assert float(measured(baseline, samples, generator(99))[0].detach()) < 0.8 * before


def test_satisfies_the_protocol_with_an_undivided_code(method: DdimMethod) -> None:
    assert isinstance(method, Method)
    assert method.parts is None
    assert method.image_size == 32


def test_a_code_is_as_wide_as_a_picture(method: DdimMethod) -> None:
    assert method.encode(random_images(2)).shape == (2, 3 * 32 * 32)


def test_inferred_noise_brings_the_image_back(method: DdimMethod) -> None:
    images, precise = random_images(2), method.with_sampling(PRECISE)
    codes = precise.encode(images)
    # what the code says is all there is: no seed changes it
    assert torch.equal(precise.decode(codes, [0, 1]), precise.decode(codes, [2, 3]))
    error = (precise.reconstruct(images) - images).square().mean()
    from_noise = (precise.reconstruct(images, seeds=[0, 1]) - images).square().mean()
    assert error < 0.02 * from_noise


def test_random_noise_gives_other_pictures_the_same_for_a_seed(method: DdimMethod) -> None:
    pictures = method.reconstruct(random_images(2), seeds=[4, 5])
    assert torch.equal(method.reconstruct(random_images(2, seed=9), seeds=[4, 5]), pictures)
    assert not torch.allclose(pictures[0], pictures[1], atol=1e-2)
    assert float(pictures.abs().max()) <= 1


def test_a_result_does_not_depend_on_its_batch(method: DdimMethod) -> None:
    images = random_images(3)
    together, alone = method.reconstruct(images), method.reconstruct(images[1:2])
    assert float((together[1:2] - alone).abs().max()) < 2 / 255


def test_whole_pictures_are_blended_in_their_noise(method: DdimMethod) -> None:
    source, target = random_images(1), random_images(1, seed=1)
    frames = method.interpolate(source, target, ["c", "a", "b"], frames=3)
    assert len(frames) == 3
    torch.testing.assert_close(frames[0], method.reconstruct(source), atol=1e-3, rtol=0)
    torch.testing.assert_close(frames[2], method.reconstruct(target), atol=1e-3, rtol=0)
    assert not torch.allclose(frames[1], frames[0], atol=1e-2)


def test_refuses_what_needs_attributes(method: DdimMethod) -> None:
    images = random_images(1)
    with pytest.raises(UnsupportedError, match="cannot edit attributes"):
        method.edit(images, {"a": images})
    with pytest.raises(UnsupportedError, match="cannot recombine attributes"):
        method.recombine(dict.fromkeys("abc", images), [0])
    with pytest.raises(UnsupportedError, match="cannot interpolate b by itself"):
        method.interpolate(images, images, ["b"], 2)
