"""ELEGANT: parts of channels, exchanges between neighbours, masked adversaries, edits as residuals."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from diffusegae.baselines.baseline import Samples
from diffusegae.baselines.elegant import (
    Elegant,
    ElegantMethod,
    TooFewChannelsError,
    UnitChannels,
    adversarial_loss,
    replace_channels,
)
from diffusegae.baselines.halvings import ImageSizeError
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.method import Method
from diffusegae.models.parts import replace_parts
from diffusegae.schema import SchemaError
from tests.baselines.alternation import alternate, gradients, names_below, waves
from tests.tiny import random_images, smoke_config, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)
TINY = ("widths=[8,16,16]", "critic_widths=[8,16]")


def make(*overrides: str) -> Elegant:
    config = smoke_config(*(f"baselines.elegant.{override}" for override in (*TINY, *overrides)))
    torch.manual_seed(0)
    return Elegant(config, SCHEMA)


def method() -> ElegantMethod:
    """Return the method of a model whose residuals are large enough to see."""
    model = make()
    with torch.no_grad():
        for layer in [*model.encoder.modules(), *model.decoder.modules()]:
            if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                layer.weight.mul_(10)
    return model.method()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def identical(count: int) -> Samples:
    """Return different pictures of the same labels."""
    return Samples(random_images(count)[:, None], torch.ones(count, 1, 3, dtype=torch.int64))


def test_unit_channels_have_length_one_before_scale_and_shift() -> None:
    layer, h = UnitChannels(), torch.randn(2, 5, 3, 3)
    torch.testing.assert_close(layer(h).norm(dim=1), torch.ones(2, 3, 3))
    with torch.no_grad():
        layer.scale.fill_(3)
        layer.shift.fill_(-1)
    torch.testing.assert_close((layer(h) + 1).norm(dim=1), torch.full((2, 3, 3), 3.0))


def test_networks_have_the_shapes() -> None:
    model, images = make(), random_images(2)
    features = model.encoder(images)
    assert [tuple(f.shape) for f in features] == [(2, 8, 16, 16), (2, 16, 8, 8), (2, 16, 4, 4)]
    residual = model.decoder(features[-1], features[-1], features[:-1])
    assert residual.shape == images.shape
    assert residual.abs().max() <= 2
    full, half = model.critics(images, torch.zeros(2, 12))
    assert full.shape == half.shape == (2,)


def test_published_sizes_have_the_published_form() -> None:
    with torch.device("meta"):
        config = PipelineConfig.model_validate({"name": "published", "model": {"image_size": 256}})
        model = Elegant(config, SCHEMA)
    assert model.channels == (slice(0, 170), slice(170, 341), slice(341, 512))
    convolutions = [m for m in model.decoder.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    assert [c.in_channels for c in convolutions] == [1024, 512, 256, 128, 64]
    assert [c.out_channels for c in convolutions] == [512, 256, 128, 64, 3]
    assert model.critics.at_full.out.in_features == 512 * 16**2
    assert model.critics.at_half.out.in_features == 512 * 8**2


def test_channels_are_all_given_away_and_parts_differ_by_one_at_most() -> None:
    channels = make().channels
    assert channels == (slice(0, 5), slice(5, 10), slice(10, 16))


def test_what_does_not_fit_is_refused_with_a_remedy() -> None:
    with pytest.raises(ImageSizeError, match=r"elegant\.widths halves the image 6 times.*is 32.*Set at most 5"):
        make("widths=[8,8,8,8,8,8]")
    with pytest.raises(TooFewChannelsError, match=r"widths is 2, but 3 attributes.*expected at least 3"):
        make("widths=[8,2]")


def test_residual_is_added_and_clamped() -> None:
    model, images = make(), random_images(2)
    with torch.no_grad():
        model.decoder.out.weight.zero_()
        model.decoder.out.bias.copy_(torch.tensor([100.0, 0.0, -100.0]))
    features = model.encoder(images)
    changed = model.add_residual(images, features, features[-1])
    assert torch.equal(changed[:, 0], torch.ones(2, 32, 32))
    assert torch.equal(changed[:, 1], images[:, 1])
    assert torch.equal(changed[:, 2], -torch.ones(2, 32, 32))


def test_adversarial_loss_is_the_mean_over_what_counts() -> None:
    logits = torch.tensor([0.0, 2.0, -5.0])
    counted = torch.tensor([True, True, False])
    softplus = [math.log(1 + math.exp(-x)) for x in (0.0, 2.0)]
    assert float(adversarial_loss(logits, True, counted)) == pytest.approx(sum(softplus) / 2)
    assert float(adversarial_loss(logits, False, torch.tensor([False, False, True]))) == pytest.approx(
        math.log(1 + math.exp(-5.0)), rel=1e-4
    )
    assert float(adversarial_loss(logits, True, torch.zeros(3, dtype=torch.bool))) == 0


def test_neighbours_exchange_one_attributes_part_and_label() -> None:
    model, samples = make(), waves(4)
    images, labels = samples.images[:, 0], samples.labels[:, 0]
    features = model.encoder(images)
    seen = set()
    for seed in range(12):
        j = model.draw(samples, seeded(seed))
        seen.add(j)
        exchange = model.exchange(images, labels, features, j)
        for row in range(8):
            own = row % 4
            donor = (own - 1) % 4 if row < 4 else (own + 1) % 4
            expected = labels[own].clone()
            expected[j] = labels[donor, j]
            assert torch.equal(exchange.labels[row], expected)
            assert bool(exchange.changed[row]) == bool(labels[own, j] != labels[donor, j])
            mixed = features[-1][own].clone()
            mixed[model.channels[j]] = features[-1][donor, model.channels[j]]
            picture = model.add_residual(images[own][None], [f[own][None] for f in features], mixed[None])
            torch.testing.assert_close(exchange.images[row], picture[0], atol=1e-5, rtol=1e-5)
    assert seen == {0, 1, 2}


def test_losses_are_the_originals_sums() -> None:
    """Written out with A and B as two batches, as the original has them; here every pair differs in everything."""
    model = make("lambda_reconstruction=4", "half_weight=0.25")
    images, labels = random_images(4), torch.arange(4)[:, None].expand(4, 3).contiguous()
    samples = Samples(images[:, None], labels[:, None])
    A, B, y_A, y_B = images, images.roll(1, 0), labels, labels.roll(1, 0)
    j = 1
    part = model.channels[j]
    y_C, y_D = y_A.clone(), y_B.clone()
    y_C[:, j], y_D[:, j] = y_B[:, j], y_A[:, j]
    with torch.no_grad():
        f_A, f_B = model.encoder(A), model.encoder(B)
        C = model.add_residual(A, f_A, replace_channels(f_A[-1], f_B[-1], part))
        D = model.add_residual(B, f_B, replace_channels(f_B[-1], f_A[-1], part))
        rebuilt = [model.add_residual(x, f, f[-1]) for x, f in ((A, f_A), (B, f_B))]
        d = [model.critics(x, model.one_hots(y)) for x, y in ((A, y_A), (B, y_B), (C, y_C), (D, y_D))]
        true = [[-F.logsigmoid(each[k]).mean() for each in d] for k in (0, 1)]
        false = [[-F.logsigmoid(-each[k]).mean() for each in d] for k in (0, 1)]
        critic = [true[k][0] + true[k][1] + false[k][2] + false[k][3] for k in (0, 1)]
        adversarial = [true[k][2] + true[k][3] for k in (0, 1)]
        reconstruction = F.mse_loss(rebuilt[0], A) + F.mse_loss(rebuilt[1], B)
    loss, _ = model.critic_loss(samples, j)
    torch.testing.assert_close(loss.detach(), (critic[0] + 0.25 * critic[1]) / 4)
    loss, _ = model.generator_loss(samples, j)
    torch.testing.assert_close(loss.detach(), 4 * reconstruction + adversarial[0] + 0.25 * adversarial[1])


def test_pairs_of_one_value_give_no_adversarial_term() -> None:
    model = make()
    loss, _ = model.critic_loss(identical(4), 0)
    assert float(loss.detach()) == 0
    loss, terms = model.generator_loss(identical(4), 0)
    assert float(terms["generator_full"]) == float(terms["generator_half"]) == 0
    torch.testing.assert_close(loss.detach(), 5 * terms["generator_reconstruction"])
    assert terms["generator_reconstruction"] > 0


def test_a_pair_that_shares_the_value_does_not_change_the_critics_loss() -> None:
    """Pictures 0, 1, 2 of values 0, 1, 1: of the pairs (0, 1), (1, 2), (2, 0) the middle one does not count."""
    model, images = make(), random_images(3)
    labels = torch.tensor([0, 1, 1])[:, None].expand(3, 3).contiguous()
    exchange = model.exchange(images, labels, model.encoder(images), 0)
    assert exchange.changed.tolist() == [True, True, False, True, False, True]
    loss, terms = model.critic_loss(Samples(images[:, None], labels[:, None]), 0)
    with torch.no_grad():
        true = model.critics(images, model.one_hots(labels))[0]
        fake = model.critics(exchange.images, model.one_hots(exchange.labels))[0]
        # picture 0 is in two pairs that count, the others in one each
        trues = -F.logsigmoid(true[[0, 0, 1, 2]]).mean()
        fakes = -F.logsigmoid(-fake[exchange.changed]).mean()
    torch.testing.assert_close(terms["critic_full"], 2 * trues + 2 * fakes)
    assert torch.isfinite(loss)


def test_the_critics_reach_the_encoder_through_the_fakes() -> None:
    model = make("lambda_reconstruction=0")
    found = gradients(model, model.goals()[1], waves(4))
    assert all(found[name].any() for name in names_below(model, ["encoder"]))


def test_the_critics_look_at_the_values() -> None:
    model, images = make(), random_images(2)
    one, other = torch.zeros(2, 12), torch.zeros(2, 12)
    other[:, 5] = 1
    for a, b in zip(model.critics(images, one), model.critics(images, other), strict=True):
        assert not torch.equal(a, b)


def test_training_brings_reconstruction_and_the_critics_on() -> None:
    history = alternate(make(), waves(16), steps=20, rate=2e-3)
    assert history[-1]["generator_reconstruction"] < 0.5 * history[0]["generator_reconstruction"]
    assert history[-1]["critic_full"] < 0.9 * history[0]["critic_full"]


def test_a_copy_is_a_model_of_its_own() -> None:
    model = make()
    twin = copy.deepcopy(model)
    assert twin.channels == model.channels
    assert twin.goals()[0].trains["critics"] is twin.critics


def test_method_satisfies_the_protocol() -> None:
    editing, images = method(), random_images(2)
    assert isinstance(editing, Method)
    assert editing.image_size == 32
    assert editing.parts == (slice(3072, 3152), slice(3152, 3232), slice(3232, 3328))
    codes = editing.encode(images)
    assert codes.shape == (2, 3328)
    with torch.no_grad():
        deepest = editing.model.encoder(images)[-1]
    for channels, part in zip(editing.model.channels, editing.parts, strict=True):
        torch.testing.assert_close(codes[:, part], deepest[:, channels].flatten(1))
    for result in (editing.decode(codes, [0, 1]), editing.edit(images, {"b": random_images(2, seed=1)})):
        assert result.shape == images.shape
        assert result.abs().max() <= 1
    with pytest.raises(SchemaError, match="unknown attribute 'z'"):
        editing.edit(images, {"z": images})


def test_edit_decodes_the_code_with_the_donors_part_and_changes_the_picture() -> None:
    editing, source, donor = method(), random_images(3), random_images(3, seed=1)
    codes = replace_parts(editing.encode(source), editing.encode(donor), [editing.parts[1]])
    edited = editing.edit(source, {"b": donor})
    assert torch.equal(edited, editing.decode(codes, [0, 1, 2]))
    assert (edited - editing.reconstruct(source)).abs().max() > 1e-3
    assert torch.equal(editing.reconstruct(source), editing.decode(editing.encode(source), [7, 8, 9]))
    torch.testing.assert_close(editing.edit(source, {"b": source}), editing.reconstruct(source))


def test_method_edits_as_training_exchanges() -> None:
    editing, samples = method(), waves(3)
    images, labels = samples.images[:, 0], samples.labels[:, 0]
    j = 1
    with torch.no_grad():
        exchange = editing.model.exchange(images, labels, editing.model.encoder(images), j)
    edited = editing.edit(images, {SCHEMA.names[j]: images.roll(1, 0)})
    torch.testing.assert_close(edited, exchange.images[:3], atol=1e-5, rtol=1e-5)


def test_recombination_edits_the_first_donor() -> None:
    editing = method()
    a, b, c = (random_images(2, seed=seed) for seed in range(3))
    assert torch.equal(editing.recombine({"a": a, "b": b, "c": c}, [0, 1]), editing.edit(a, {"b": b, "c": c}))


def test_interpolation_goes_from_reconstruction_to_edit() -> None:
    editing, source, donor = method(), random_images(2), random_images(2, seed=1)
    frames = editing.interpolate(source, donor, ["a", "c"], 3)
    assert len(frames) == 3
    torch.testing.assert_close(frames[0], editing.reconstruct(source))
    torch.testing.assert_close(frames[2], editing.edit(source, {"a": donor, "c": donor}), atol=1e-5, rtol=1e-5)
    assert not torch.equal(frames[1], frames[0])


def test_results_do_not_depend_on_the_batch() -> None:
    editing, source, donor = method(), random_images(4), random_images(4, seed=1)
    together = editing.edit(source, {"a": donor})
    alone = torch.cat([editing.edit(source[i : i + 1], {"a": donor[i : i + 1]}) for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
