"""GZS-Net: the value of its loss, that all of it learns, and that edits come to move attributes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.baselines.baseline import Samples
from diffusegae.baselines.gzsnet import GzsNet
from diffusegae.editing.method import Method
from tests.baselines.short_training import measured
from tests.tiny import random_images, smoke_config, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)
Paint = Callable[[Tensor], Tensor]


def make(*overrides: str, image_size: int = 32) -> GzsNet:
    config = smoke_config("baselines.gzsnet.widths=[8,16,16]", "baselines.gzsnet.hidden_width=64", *overrides)
    config = config.model_copy(update={"model": config.model.model_copy(update={"image_size": image_size})})
    torch.manual_seed(0)
    return GzsNet(config, SCHEMA)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def group_codes(groups: int) -> Tensor:
    """Return codes [groups, 4, 24] of which partner j has the centre's part j."""
    codes = torch.rand(groups, 4, 24, generator=generator()) - 0.5
    for j, part in enumerate(SCHEMA.slices):
        codes[:, 1 + j, part] = codes[:, 0, part]
    return codes


class Perfect(nn.Module):
    """Tiles a code's 24 numbers over an image and reads them again, or all of them too bright by `error`."""

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.error = error

    def encode(self, images: Tensor) -> Tensor:
        return images[:, :, ::16, ::8].flatten(1)

    def decode(self, codes: Tensor) -> Tensor:
        tiles = codes.unflatten(1, (3, 2, 4))
        return tiles.repeat_interleave(16, 2).repeat_interleave(8, 3) + self.error


def samples_of(codes: Tensor, paint: Paint) -> Samples:
    images = paint(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    return Samples(images, torch.zeros(*codes.shape[:2], 3, dtype=torch.int64))


def test_a_perfect_autoencoder_of_ideal_groups_has_no_loss() -> None:
    baseline = make("baselines.gzsnet.lambda_unsup=1.0")
    baseline.autoencoder = Perfect()
    loss, terms = measured(baseline, samples_of(group_codes(5), Perfect().decode), generator())
    assert float(loss.detach()) == 0.0
    assert set(terms) == {"reconstruction", "swap", "reassembly", "agreement"}
    assert not any(terms.values())


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_shared_parts_that_differ_cost_what_their_agreement_weighs(weight: float) -> None:
    baseline = make(f"baselines.gzsnet.lambda_agree={weight}")
    baseline.autoencoder = Perfect()
    samples = samples_of(torch.rand(5, 4, 24, generator=generator()), Perfect().decode)  # nothing is shared
    plain = make()
    plain.autoencoder = Perfect()
    loss, terms = measured(baseline, samples, generator())
    assert float(terms["agreement"]) == pytest.approx(3, abs=0.8)  # shared parts differ as much as others
    expected = measured(plain, samples, generator())[0] + weight * terms["agreement"]
    assert float(loss.detach()) == pytest.approx(float(expected))


def test_rounded_codes_are_multiples_of_bounded_size_and_let_gradients_through() -> None:
    baseline = make("baselines.gzsnet.quantise_step=0.5")
    codes = baseline.autoencoder.encode(random_images(6))
    torch.testing.assert_close(codes, (codes / 0.5).round() * 0.5)
    assert float(codes.detach().abs().max()) <= 8**0.5 + 0.25  # a part of 8 at variance 1
    assert codes.detach().unique().numel() > 3
    codes.square().mean().backward()
    assert baseline.autoencoder.encoder[0][0].weight.grad.abs().max() > 0
    assert not torch.equal(make().autoencoder.encode(random_images(6)), codes)  # off by default


@pytest.mark.parametrize(("combine", "unsup"), [(1.0, 0.0), (0.5, 3.0), (0.0, 0.0)])
def test_terms_are_summed_over_a_group_and_weighed(combine: float, unsup: float) -> None:
    baseline = make(f"baselines.gzsnet.lambda_combine={combine}", f"baselines.gzsnet.lambda_unsup={unsup}")
    baseline.autoencoder = Perfect(error=0.5)
    loss, terms = measured(baseline, samples_of(group_codes(5), Perfect().decode), generator())
    assert float(terms["reconstruction"]) == pytest.approx(4 * 0.5)  # four members
    assert float(terms["swap"]) == pytest.approx(7 * 0.5)  # six swaps, and the centre from its three partners
    assert float(terms["reassembly"]) == pytest.approx(0.5)
    assert float(loss.detach()) == pytest.approx(2.0 + combine * 3.5 + unsup * 0.5)


def test_a_group_whose_members_do_not_share_what_they_should_costs_swaps_only() -> None:
    baseline = make()
    baseline.autoencoder = Perfect()
    codes = group_codes(5)
    codes[:, 1, SCHEMA.slices[0]] += 0.6  # the first partner has another `a` than its centre
    _, terms = measured(baseline, samples_of(codes, Perfect().decode), generator())
    assert float(terms["reconstruction"]) == 0.0
    assert float(terms["swap"]) == pytest.approx(3 * 0.6 / 3)  # both sides of the swap and the rebuilt centre


@pytest.mark.parametrize("unsup", [0.0, 1.0])
def test_every_parameter_gets_a_gradient(unsup: float) -> None:
    baseline = make(f"baselines.gzsnet.lambda_unsup={unsup}")
    (goal,) = baseline.goals()
    loss, terms = goal.measure(Samples(random_images(8).unflatten(0, (2, 4)), torch.zeros(2, 4, 3).long()), generator())
    loss.backward()
    assert (goal.name, goal.every, set(goal.trains)) == ("gzs", 1, {"autoencoder"})
    claimed = {id(p) for part in goal.trains.values() for p in part.parameters()}
    assert claimed == {id(p) for p in baseline.parameters()}
    assert not [name for name, p in baseline.named_parameters() if p.grad is None or not p.grad.any()]
    assert not any(term.requires_grad for term in terms.values())


def test_the_generator_alone_decides_what_is_drawn() -> None:
    baseline = make("baselines.gzsnet.lambda_unsup=1.0")
    samples = Samples(random_images(16).unflatten(0, (4, 4)), torch.zeros(4, 4, 3).long())
    losses = [float(measured(baseline, samples, generator(seed))[0].detach()) for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_counts_its_parts_and_hands_out_a_method_in_eval_mode() -> None:
    baseline = make()
    assert baseline.parameter_counts() == {"autoencoder": sum(p.numel() for p in baseline.parameters())}
    method = baseline.train().method()
    assert isinstance(method, Method)
    assert not baseline.training
    assert (method.schema, method.image_size) == (SCHEMA, 32)


def bands(labels: Tensor) -> Tensor:
    """Return images of 16 px with a band for each attribute, of whose four blocks the label's is lit."""
    lit = F.one_hot(labels, 4).float() * 1.6 - 0.8
    return lit.repeat_interleave(4, 2).repeat_interleave(5, 1)[:, None, [0, *range(15)]].repeat(1, 3, 1, 1)


def band_groups(count: int, seed: int) -> Samples:
    """Return GROUP(C, 1) of bands: partner j has the centre's j-th label and no other."""
    draw = generator(seed)
    centres = torch.randint(0, 4, (count, 1, 3), generator=draw)
    partners = (centres + torch.randint(1, 4, (count, 3, 3), generator=draw)) % 4
    partners[:, range(3), range(3)] = centres[:, 0]
    labels = torch.cat([centres, partners], dim=1)
    return Samples(bands(labels.flatten(0, 1)).unflatten(0, (count, 4)), labels)


def test_a_short_training_lowers_the_loss_and_an_edit_comes_to_move_its_attribute() -> None:
    baseline = make("baselines.gzsnet.widths=[8,16]", image_size=16)
    optimizer = torch.optim.Adam(baseline.parameters(), lr=4e-3)
    history = []
    for step in range(100):
        loss, terms = measured(baseline, band_groups(8, step), generator(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append({name: float(term) for name, term in terms.items()})
    assert history[-1]["reconstruction"] < 0.2 * history[0]["reconstruction"]
    assert history[-1]["swap"] < 0.2 * history[0]["swap"]

    source, donor = torch.tensor([[0, 1, 2], [3, 3, 0]]), torch.tensor([[2, 0, 3], [1, 2, 1]])
    wanted = source.clone()
    wanted[:, 1] = donor[:, 1]
    edited = baseline.method().edit(bands(source), {"b": bands(donor)})
    assert (edited - bands(wanted)).abs().mean() < 0.4 * (edited - bands(source)).abs().mean()
