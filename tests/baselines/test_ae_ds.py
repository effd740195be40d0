"""AE+DS: the value of its loss, that heads read their own parts only, and that they learn the labels."""

import math

import pytest
import torch
from torch import Tensor, nn

from diffusegae.baselines.ae_ds import AeDs, batch_agreement
from diffusegae.baselines.baseline import Samples
from diffusegae.editing.method import Method
from tests.baselines.short_training import measured
from tests.tiny import random_images, smoke_config, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)


def make(*overrides: str) -> AeDs:
    config = smoke_config("baselines.ae_ds.widths=[8,16,16]", "baselines.ae_ds.hidden_width=64", *overrides)
    torch.manual_seed(0)
    return AeDs(config, SCHEMA)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def random_samples(count: int) -> Samples:
    labels = torch.randint(0, 4, (count, 1, 3), generator=generator())
    return Samples(random_images(count)[:, None], labels)


def test_agreement_is_none_where_values_are_points_and_one_where_parts_are_blind() -> None:
    labels = torch.randint(0, 4, (40, 3), generator=generator())
    ideal = torch.cat([torch.eye(4)[labels[:, j]].repeat(1, 2) for j in range(3)], dim=1)
    assert float(batch_agreement(ideal, labels, SCHEMA.slices)) == 0
    blind = torch.rand(400, 24, generator=generator())
    many = torch.randint(0, 4, (400, 3), generator=generator())
    assert float(batch_agreement(blind, many, SCHEMA.slices)) == pytest.approx(3, abs=0.05)
    blind[:, 8:16] = torch.eye(4)[many[:, 1]].repeat(1, 2)
    assert float(batch_agreement(blind, many, SCHEMA.slices)) == pytest.approx(2, abs=0.05)


def test_agreement_of_known_distances_counts_no_picture_as_its_own_pair() -> None:
    codes, labels = torch.tensor([0.0, 1.0, 3.0])[:, None], torch.tensor([0, 0, 1])[:, None]
    assert float(batch_agreement(codes, labels, [slice(0, 1)])) == pytest.approx(1 / 2.5)


@pytest.mark.parametrize("values", [(0, 1, 2, 3), (2, 2, 2, 2)])
def test_a_batch_in_which_no_pair_or_every_pair_agrees_costs_nothing(values: tuple[int, ...]) -> None:
    codes = torch.rand(4, 24, generator=generator()).requires_grad_()
    labels = torch.tensor(values)[:, None].expand(4, 3)
    loss = batch_agreement(codes, labels, SCHEMA.slices)
    loss.backward()
    assert float(loss.detach()) == 0
    assert codes.grad is not None
    assert not codes.grad.any()


def test_agreement_is_weighed_and_codes_are_rounded_where_the_config_says_so() -> None:
    samples = random_samples(8)
    loss, terms = measured(make(), samples, generator())
    assert "agreement" not in terms
    baseline = make("baselines.ae_ds.lambda_agree=2.0")
    more, terms = measured(baseline, samples, generator())
    assert float((more - loss).detach()) == pytest.approx(2 * float(terms["agreement"]), rel=1e-4)
    codes = make("baselines.ae_ds.quantise_step=1.0").autoencoder.encode(samples.images[:, 0])
    assert torch.equal(codes, codes.round())


class Echo(nn.Module):
    """Has a fixed code for every image, and hands back the images that it saw last."""

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.codes, self.seen = codes, torch.empty(0)

    def encode(self, images: Tensor) -> Tensor:
        self.seen = images
        return self.codes

    def decode(self, codes: Tensor) -> Tensor:
        return self.seen + 0.25


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_loss_of_known_answers(weight: float) -> None:
    """Heads that say nothing cost ln 4 each; the reconstruction is 0.25 too bright."""
    baseline, samples = make(f"baselines.ae_ds.lambda_labels={weight}"), random_samples(5)
    baseline.autoencoder = Echo(torch.zeros(5, 24))
    for parameter in baseline.heads.parameters():
        nn.init.zeros_(parameter)
    loss, terms = measured(baseline, samples, generator())
    assert float(terms["reconstruction"]) == pytest.approx(0.25)
    assert float(terms["labels"]) == pytest.approx(3 * math.log(4))
    assert float(loss.detach()) == pytest.approx(0.25 + weight * 3 * math.log(4))


def test_right_answers_cost_nothing_and_are_counted() -> None:
    baseline, samples = make(), random_samples(8)
    labels = samples.labels[:, 0].clone()
    codes = torch.zeros(8, 24)
    for j in range(3):
        codes[torch.arange(8), 8 * j + labels[:, j]] = 100.0  # each part begins with its label's one-hot
    codes[:4, 16:20] = codes[:4, 16:20].roll(1, dims=1)  # half of the third attribute is wrong
    baseline.autoencoder = Echo(codes)
    baseline.heads = nn.ModuleList([FirstFour(), FirstFour(), FirstFour()])
    _, terms = measured(baseline, samples, generator())
    assert [float(terms[f"accuracy/{name}"]) for name in SCHEMA.names] == [1.0, 1.0, 0.5]
    assert float(terms["labels"]) == pytest.approx(0.5 * 100)


class FirstFour(nn.Module):
    """Takes a part's first four numbers for the logits."""

    def forward(self, part: Tensor) -> Tensor:
        return part[:, :4]


def test_heads_are_the_published_ones_and_linear() -> None:
    baseline = make()
    sizes = [[(layer.in_features, layer.out_features) for layer in head] for head in baseline.heads]
    assert sizes == [[(8, 16), (16, 8), (8, 4)]] * 3
    a, b = torch.randn(2, 5, 24, generator=generator())
    for of_a, of_b, of_both in zip(*map(baseline.classify, (a, b, (a + b) / 2)), strict=True):
        torch.testing.assert_close(of_both, (of_a + of_b) / 2, atol=1e-5, rtol=0)


def test_a_head_reads_its_own_part_and_no_other() -> None:
    baseline, codes = make(), torch.randn(5, 24, generator=generator())
    changed = codes.clone()
    changed[:, SCHEMA.slice_of("b")] += 1
    same = [torch.equal(x, y) for x, y in zip(baseline.classify(codes), baseline.classify(changed), strict=True)]
    assert same == [True, False, True]


def test_cardinalities_come_from_the_schema() -> None:
    config = smoke_config("baselines.ae_ds.widths=[4,4]", "baselines.ae_ds.hidden_width=8")
    baseline = AeDs(config, tiny_schema(3, 5, cardinality=7))
    assert [tuple(logits.shape) for logits in baseline.classify(torch.zeros(2, 8))] == [(2, 7), (2, 7)]


def test_every_parameter_gets_a_gradient() -> None:
    baseline = make()
    (goal,) = baseline.goals()
    loss, terms = goal.measure(random_samples(4), generator())
    loss.backward()
    assert (goal.name, goal.every, set(goal.trains)) == ("ae_ds", 1, {"autoencoder", "heads"})
    claimed = {id(p) for part in goal.trains.values() for p in part.parameters()}
    assert claimed == {id(p) for p in baseline.parameters()}
    assert not [name for name, p in baseline.named_parameters() if p.grad is None or not p.grad.any()]
    assert set(terms) == {"reconstruction", "labels", "accuracy/a", "accuracy/b", "accuracy/c"}
    assert not any(term.requires_grad for term in terms.values())


def test_counts_its_parts_and_hands_out_a_method_in_eval_mode() -> None:
    baseline = make()
    counts = baseline.parameter_counts()
    assert set(counts) == {"autoencoder", "heads"}
    assert counts["heads"] == 3 * (8 * 16 + 16 + 16 * 8 + 8 + 8 * 4 + 4)
    assert sum(counts.values()) == sum(p.numel() for p in baseline.parameters())
    method = baseline.train().method()
    assert isinstance(method, Method)
    assert not baseline.training
    assert method.parts == SCHEMA.slices


def test_a_short_training_lowers_the_loss_and_teaches_the_heads_the_labels() -> None:
    """Sixteen pictures of three stripes, each of its attribute's colour."""
    baseline = make()
    labels = torch.stack([torch.arange(16) % 4, torch.arange(16) // 4, torch.arange(16) * 3 // 4 % 4], dim=1)
    colours = torch.rand(3, 4, 3, generator=generator()) * 2 - 1
    stripes = torch.stack([colours[j, labels[:, j]] for j in range(3)], dim=2)
    images = stripes.repeat_interleave(11, 2)[:, :, :32, None].repeat(1, 1, 1, 32)
    samples = Samples(images[:, None], labels[:, None])
    optimizer = torch.optim.Adam(baseline.parameters(), lr=2e-3)
    history = []
    for _ in range(100):
        loss, terms = measured(baseline, samples, generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append({name: float(term) for name, term in terms.items()})
    first, last = history[0], history[-1]
    assert last["reconstruction"] < 0.5 * first["reconstruction"]
    assert last["labels"] < 0.1 * first["labels"]
    assert first["accuracy/a"] < 1
    assert [last[f"accuracy/{name}"] for name in SCHEMA.names] == [1.0, 1.0, 1.0]
