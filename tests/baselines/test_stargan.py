"""StarGAN: its networks' shapes, WGAN-GP, two goals that keep apart, edits by label maps."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusegae.baselines.baseline import Samples
from diffusegae.baselines.halvings import ImageSizeError
from diffusegae.baselines.label_maps import LabelledConv2d, one_hots
from diffusegae.baselines.stargan import StarGan, StarGanMethod, class_loss, draw_mixes, draw_order, gradient_penalty
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.method import Method
from diffusegae.models.parts import replace_parts
from diffusegae.schema import AttributeSchema, SchemaError
from tests.baselines.alternation import alternate, gradients, waves
from tests.tiny import random_images, smoke_config, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)
TINY = ("generator_width=8", "num_residuals=1", "critic_width=8", "critic_layers=4", "critics_per_generator=2")


def make(*overrides: str, schema: AttributeSchema = SCHEMA) -> StarGan:
    config = smoke_config(*(f"baselines.stargan.{override}" for override in (*TINY, *overrides)))
    torch.manual_seed(0)
    return StarGan(config, schema)


def method() -> StarGanMethod:
    return make().method()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_one_hots_stand_side_by_side() -> None:
    values = one_hots(torch.tensor([[1, 0], [0, 2]]), (2, 3))
    assert values.tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]


@pytest.mark.parametrize(("side", "stride", "padding"), [(7, 1, 3), (3, 2, 1), (4, 2, 1)])
def test_a_labelled_convolution_is_that_of_images_with_constant_maps_beside(
    side: int, stride: int, padding: int
) -> None:
    torch.manual_seed(0)
    layer = LabelledConv2d(3, 5, 6, side, stride=stride, padding=padding, bias=True)
    images, values = random_images(2, 12).requires_grad_(), torch.randn(2, 5, requires_grad=True)
    maps = torch.cat([images, values[:, :, None, None].expand(-1, -1, 12, 12)], dim=1)
    assert torch.allclose(layer(images, values), layer.conv(maps), atol=1e-5)
    inputs = (layer.conv.weight, images, values)
    ours, whole = (torch.autograd.grad(out.square().sum(), inputs) for out in (layer(images, values), layer.conv(maps)))
    for mine, other in zip(ours, whole, strict=True):
        assert torch.allclose(mine, other, atol=1e-3, rtol=1e-4)


def test_networks_have_the_shapes() -> None:
    model, images = make(), random_images(3)
    scores, logits = model.critic(images)
    assert scores.shape == (3, 1, 2, 2)
    assert logits.shape == (3, 12)
    made = model.generator(images, one_hots(torch.zeros(3, 3, dtype=torch.int64), SCHEMA.cardinalities))
    assert made.shape == images.shape
    assert made.abs().max() <= 1


def test_published_sizes_have_the_published_form() -> None:
    with torch.device("meta"):
        model = StarGan(PipelineConfig(name="published"), SCHEMA)
    residual, critic = model.generator.layers[4], model.critic
    assert model.generator.told.conv.in_channels == 3 + 12
    assert residual.branch[3].out_channels == 256
    assert critic.patches.in_channels == 2048
    assert critic.classes.kernel_size == (2, 2)


@pytest.mark.parametrize("override", ["critic_layers=6", "num_downsamples=5"])
def test_layers_that_do_not_fit_the_image_are_refused_with_a_remedy(override: str) -> None:
    name, _ = override.split("=")
    with pytest.raises(ImageSizeError, match=rf"stargan\.{name} .*image_size is 32.*Set at most [45] there"):
        make(override)


def test_norms_ignore_the_batch_in_training_and_in_eval_mode() -> None:
    model, images = make(), random_images(4)
    values = model.one_hots(torch.zeros(4, 3, dtype=torch.int64))
    training = model.train().generator(images, values)
    torch.testing.assert_close(model.eval().generator(images, values), training)
    torch.testing.assert_close(model.generator(images[1:2], values[1:2]), training[1:2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [0.5, 1.0, 3.0])
def test_penalty_of_a_linear_critic_is_how_far_its_weights_are_from_length_one(length: float) -> None:
    w = torch.randn(3, 8, 8, generator=seeded())
    w = length * w / w.norm()
    penalty = gradient_penalty(
        lambda x: (x * w).sum(dim=(1, 2, 3)), random_images(4, 8), random_images(4, 8, 1), torch.full((4, 1, 1, 1), 0.5)
    )
    torch.testing.assert_close(penalty, torch.tensor((length - 1) ** 2), atol=1e-5, rtol=1e-5)


def test_penalty_is_taken_between_real_and_fake_and_moves_the_critic() -> None:
    # |x|^2 / 2 has the gradient x, at a constant picture of level c the norm c sqrt(n)
    scale = torch.ones((), requires_grad=True)
    real, fake = torch.ones(64, 3, 2, 2), torch.zeros(64, 3, 2, 2)
    mix = torch.rand(64, generator=seeded())
    places = mix.reshape(64, 1, 1, 1)
    penalty = gradient_penalty(lambda x: scale * x.square().sum(dim=(1, 2, 3)) / 2, real, fake, places)
    torch.testing.assert_close(penalty, (mix * 12**0.5 - 1).square().mean())
    penalty.backward()
    expected = (2 * (mix * 12**0.5 - 1) * mix * 12**0.5).mean()
    torch.testing.assert_close(scale.grad, expected)


def test_class_loss_sums_one_cross_entropy_per_attribute() -> None:
    logits, labels = torch.randn(4, 5, generator=seeded()), torch.tensor([[0, 2], [1, 1], [1, 0], [0, 2]])
    own = [
        logits[:, part].log_softmax(1)[torch.arange(4), labels[:, j]] for j, part in enumerate((slice(2), slice(2, 5)))
    ]
    torch.testing.assert_close(class_loss(logits, labels, (2, 3)), -(own[0] + own[1]).mean())
    assert float(class_loss(torch.zeros(4, 5), labels, (2, 3))) == pytest.approx(math.log(2) + math.log(3))


def test_losses_are_the_sum_of_their_weighted_terms() -> None:
    model, samples = make("lambda_penalty=7", "lambda_class=2", "lambda_cycle=5"), waves(6)
    loss, terms = model.critic_loss(samples, draw_mixes(samples, seeded()))
    expected = -terms["critic_distance"] + 7 * terms["critic_penalty"] + 2 * terms["critic_class"]
    torch.testing.assert_close(loss.detach(), expected)
    loss, terms = model.generator_loss(samples, draw_order(samples, seeded()))
    expected = terms["generator_adversarial"] + 2 * terms["generator_class"] + 5 * terms["generator_cycle"]
    torch.testing.assert_close(loss.detach(), expected)


def test_targets_are_labels_of_others_of_the_batch_drawn_by_the_generator() -> None:
    model, samples, asked = make(), waves(8), []
    model.generator.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[1]))
    model.generator_loss(samples, draw_order(samples, seeded()))
    order = torch.randperm(8, generator=seeded())
    own = model.one_hots(samples.labels[:, 0])
    assert torch.equal(asked[0], own[order])
    assert torch.equal(asked[1], own)  # the way back
    model.generator_loss(samples, draw_order(samples, seeded(1)))
    assert not torch.equal(asked[2], asked[0])


def test_the_generator_learns_once_per_so_many_steps_of_the_critic() -> None:
    assert [(goal.name, goal.every) for goal in make("critics_per_generator=3").goals()] == [
        ("critic", 1), ("generator", 3)
    ]  # fmt: skip


def test_the_critic_reaches_the_generator_through_the_fakes() -> None:
    model = make("lambda_cycle=0", "lambda_class=0")
    assert any(g.any() for g in gradients(model, model.goals()[1], waves(4)).values())


def test_critic_learns_values_and_generator_learns_the_way_back() -> None:
    model, samples = make(), waves(16)
    history = alternate(model, samples, steps=45, rate=2e-3)
    assert history[-1]["critic_class"] < 0.5 * history[0]["critic_class"]
    cycles = [terms["generator_cycle"] for terms in history if "generator_cycle" in terms]
    assert sum(cycles[-3:]) / 3 < 0.8 * cycles[0]
    read = model.read_labels(samples.images[:, 0])
    assert (read == samples.labels[:, 0]).float().mean() > 0.8


def test_method_satisfies_the_protocol() -> None:
    editing, images = method(), random_images(2)
    assert isinstance(editing, Method)
    assert editing.image_size == 32
    assert editing.parts == (slice(3072, 3076), slice(3076, 3080), slice(3080, 3084))
    codes = editing.encode(images)
    assert codes.shape == (2, 3084)
    for part in editing.parts:
        assert torch.equal(codes[:, part].sum(dim=1), torch.ones(2))
    for result in (editing.decode(codes, [0, 1]), editing.edit(images, {"b": random_images(2, seed=1)})):
        assert result.shape == images.shape
        assert result.abs().max() <= 1
    with pytest.raises(SchemaError, match="unknown attribute 'z'"):
        editing.edit(images, {"z": images})


def distinct(editing: StarGanMethod, count: int) -> tuple[Tensor, Tensor]:
    """Return sources and donors that the class head gives different values of every attribute."""
    pool = waves(64, seed=3).images[:, 0]
    with torch.no_grad():
        labels = editing.model.read_labels(pool)
    pairs = [(i, k) for i in range(64) for k in range(64) if bool((labels[i] != labels[k]).all())][:count]
    assert len(pairs) == count
    return pool[[i for i, _ in pairs]], pool[[k for _, k in pairs]]


@pytest.fixture(scope="module")
def trained() -> StarGanMethod:
    model = make()
    alternate(model, waves(16), steps=20, rate=2e-3)
    return model.method()


def test_edit_decodes_the_code_with_the_donors_part_and_changes_the_picture(trained: StarGanMethod) -> None:
    editing = trained
    source, donor = distinct(editing, 3)
    codes = replace_parts(editing.encode(source), editing.encode(donor), [editing.parts[1]])
    edited = editing.edit(source, {"b": donor})
    assert torch.equal(edited, editing.decode(codes, [0, 1, 2]))
    assert not torch.equal(edited, editing.reconstruct(source))
    assert torch.equal(editing.reconstruct(source), editing.decode(editing.encode(source), [7, 8, 9]))
    assert torch.equal(editing.edit(source, {}), editing.reconstruct(source))


def test_recombination_edits_the_first_donor(trained: StarGanMethod) -> None:
    editing = trained
    source, donor = distinct(editing, 2)
    expected = editing.edit(source, {"b": donor, "c": donor})
    assert torch.equal(editing.recombine({"a": source, "b": donor, "c": donor}, [0, 1]), expected)


def test_interpolation_goes_from_reconstruction_to_edit(trained: StarGanMethod) -> None:
    editing = trained
    source, donor = distinct(editing, 2)
    frames = editing.interpolate(source, donor, ["a", "c"], 3)
    assert len(frames) == 3
    torch.testing.assert_close(frames[0], editing.reconstruct(source))
    torch.testing.assert_close(frames[2], editing.edit(source, {"a": donor, "c": donor}))
    middle = editing.encode(source).clone()
    for j in (0, 2):
        middle[:, editing.parts[j]] = (middle + editing.encode(donor))[:, editing.parts[j]] / 2
    torch.testing.assert_close(frames[1], editing.decode(middle, [0, 1]))


def test_results_do_not_depend_on_the_batch() -> None:
    editing = method()
    source, donor = random_images(4), random_images(4, seed=1)
    together = editing.edit(source, {"a": donor})
    alone = torch.cat([editing.edit(source[i : i + 1], {"a": donor[i : i + 1]}) for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_generator_is_told_more_than_two_values_and_unequal_numbers_of_them() -> None:
    schema = AttributeSchema(
        attributes=(tiny_schema(8, 8, cardinality=2).attributes[0], tiny_schema(8, 8, cardinality=5).attributes[1])
    )
    model = make(schema=schema)
    samples = Samples(random_images(4)[:, None], torch.tensor([[0, 4], [1, 0], [1, 3], [0, 2]])[:, None])
    loss, _ = model.critic_loss(samples, draw_mixes(samples, seeded()))
    assert torch.isfinite(loss)
    editing = model.method()
    assert editing.parts == (slice(3072, 3074), slice(3074, 3079))
    values = F.one_hot(model.read_labels(random_images(4))[:, 1], 5).float()
    torch.testing.assert_close(editing.encode(random_images(4))[:, editing.parts[1]], values)
