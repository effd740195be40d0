"""The GAE: its form, part normalisation, the normaliser of latents."""

import pytest
import torch

from diffusegae.config.model import GaeConfig, ModelConfig
from diffusegae.models.gae import BottleneckBlock, GroupAutoEncoder, MlpBlock, PartNorm, Products, Quantise
from diffusegae.models.normaliser import LatentNormaliser


def make(normalise_parts: bool = False, linear_paths: bool = False) -> GroupAutoEncoder:
    gae = GaeConfig(widths=(32, 48, 48, 48), normalise_parts=normalise_parts, linear_paths=linear_paths)
    return GroupAutoEncoder(ModelConfig(z_sem_width=24, z_dis_width=10, gae=gae), (6, 4)).eval()


def test_has_four_mlp_and_two_bottleneck_blocks_on_each_side_and_ends_with_a_skip() -> None:
    gae = make()
    for side in (gae.encoder, gae.decoder):
        kinds = [type(block) for block in side]
        assert kinds.count(BottleneckBlock) == 2
        assert kinds.count(MlpBlock) == 5  # four, and the square one at the latent's end
    last = gae.decoder[-1]
    assert isinstance(last, MlpBlock)
    assert isinstance(last.skip, torch.nn.Identity)


def test_decoder_mirrors_encoder() -> None:
    gae = make()
    up = [(block.linear.in_features, block.linear.out_features) for block in gae.encoder if isinstance(block, MlpBlock)]
    down = [
        (block.linear.out_features, block.linear.in_features) for block in gae.decoder if isinstance(block, MlpBlock)
    ]
    assert up == down[::-1]


def test_round_trip_has_the_shapes() -> None:
    gae, z = make(), torch.randn(5, 24)
    assert gae.encode(z).shape == (5, 10)
    assert gae(z).shape == (5, 24)


def test_part_norm_normalises_each_part_by_itself() -> None:
    z_dis = make(normalise_parts=True).encode(torch.randn(5, 24))
    for part in z_dis.split((6, 4), dim=1):
        torch.testing.assert_close(part.mean(dim=1), torch.zeros(5), atol=1e-5, rtol=0)
        torch.testing.assert_close(part.var(dim=1, unbiased=False), torch.ones(5), atol=1e-2, rtol=0)


def test_linear_paths_alone_are_a_linear_auto_encoder() -> None:
    gae, z = make(linear_paths=True), torch.randn(5, 24)
    assert gae.linear_in is not None
    assert gae.linear_out is not None
    for block in (gae.encoder[-1], gae.decoder[0]):
        for parameter in block.parameters():
            torch.nn.init.zeros_(parameter)
    z_dis = gae.encode(z)
    torch.testing.assert_close(z_dis, gae.linear_in(z))
    silent = gae.decode(torch.zeros_like(z_dis)) - gae.linear_out.bias  # what the silenced blocks still say
    torch.testing.assert_close(gae.decode(z_dis), silent + gae.linear_out(z_dis))


def test_both_linear_paths_are_trained() -> None:
    gae = make(linear_paths=True)
    gae(torch.randn(5, 24)).square().mean().backward()
    for path in (gae.linear_in, gae.linear_out):
        assert path is not None
        assert path.weight.grad is not None
        assert bool(path.weight.grad.any())


def test_part_norm_hides_a_parts_magnitude_from_the_other() -> None:
    norm, z = PartNorm((3, 2)), torch.randn(4, 5)
    scaled = torch.cat([z[:, :3] * 7, z[:, 3:]], dim=1)
    torch.testing.assert_close(norm(scaled)[:, 3:], norm(z)[:, 3:])


def test_quantised_codes_are_multiples_of_the_step_and_pass_gradients() -> None:
    quantise, z = Quantise(0.25), torch.randn(4, 6, requires_grad=True)
    rounded = quantise(z)
    torch.testing.assert_close(rounded / 0.25, (rounded / 0.25).round(), atol=1e-5, rtol=0)
    assert float((rounded - z).detach().abs().max()) <= 0.125 + 1e-6
    rounded.sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.ones(4, 6))


def test_zscore_is_per_dimension() -> None:
    z = torch.randn(4000, 6) * torch.arange(1.0, 7.0) + 3
    normaliser = LatentNormaliser(6)
    normaliser.fit(z.mean(0), torch.cov(z.T), power=0.0)
    normalised = normaliser.normalise(z)
    torch.testing.assert_close(normalised.std(0), torch.ones(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(normaliser.denormalise(normalised), z, atol=1e-4, rtol=1e-4)


def test_full_power_whitens_and_partial_power_is_between() -> None:
    z = torch.randn(4000, 5) @ torch.randn(5, 5, generator=torch.Generator().manual_seed(1))
    spreads = []
    for power in (0.5, 1.0):
        normaliser = LatentNormaliser(5)
        normaliser.fit(z.mean(0), torch.cov(z.T), power=power)
        normalised = normaliser.normalise(z)
        torch.testing.assert_close(normaliser.denormalise(normalised), z, atol=1e-3, rtol=1e-3)
        spread = normalised.std(0)
        spreads.append(float(spread.max() / spread.min()))
    assert abs(spreads[1] - 1) < 1e-2
    assert spreads[0] > 1.1


@pytest.mark.parametrize("has_skip", [True, False])
def test_the_last_block_passes_its_input_on_only_if_it_has_a_skip(has_skip: bool) -> None:
    gae = GaeConfig(widths=(32, 48, 48, 48), last_skip=has_skip)
    model = GroupAutoEncoder(ModelConfig(z_sem_width=24, z_dis_width=10, gae=gae), (6, 4)).eval()
    last = model.decoder[-1]
    assert isinstance(last, MlpBlock)
    torch.nn.init.zeros_(last.linear.weight)
    z_dis = torch.randn(5, 10)
    before = model.decoder[:-1](z_dis)
    torch.testing.assert_close(model.decode(z_dis), before if has_skip else torch.zeros_like(before))


def products(z_dis_width: int = 10, widths: tuple[int, ...] = (6, 4)) -> GroupAutoEncoder:
    gae = GaeConfig(widths=(32, 48, 48, 48), decoder="products", rank=16)
    return GroupAutoEncoder(ModelConfig(z_sem_width=24, z_dis_width=z_dis_width, gae=gae), widths).eval()


@torch.no_grad()
def test_products_are_linear_in_each_part_and_not_in_two_of_them() -> None:
    gae, (start, end) = products(), torch.randn(2, 5, 10)
    one = start.clone()
    one[:, 6:] = end[:, 6:]
    middle = gae.decode((start + one) / 2)
    torch.testing.assert_close(middle, (gae.decode(start) + gae.decode(one)) / 2, rtol=1e-4, atol=1e-5)
    bent = gae.decode((start + end) / 2) - (gae.decode(start) + gae.decode(end)) / 2
    assert float(bent.abs().mean()) > 0.1 * float((gae.decode(start) - gae.decode(end)).abs().mean())


def test_products_compose_what_no_sum_of_parts_can() -> None:
    """An exclusive or of two parts: the best sum of functions of one part is wrong by 1 everywhere."""
    torch.manual_seed(0)
    codes = torch.eye(2)
    parts = torch.stack([torch.cat([codes[i], codes[j]]) for i in range(2) for j in range(2)])
    target = torch.tensor([1.0, -1.0, -1.0, 1.0])[:, None]
    decoder = Products((2, 2), 4, 1)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(decoder(parts), target).backward()
        optimizer.step()
    torch.testing.assert_close(decoder(parts), target, rtol=0, atol=1e-2)


@pytest.mark.parametrize("widths", [(10,), (3, 3, 2, 2)])
def test_products_take_any_number_of_parts(widths: tuple[int, ...]) -> None:
    gae = products(widths=widths)
    gae(torch.randn(5, 24)).square().mean().backward()
    assert isinstance(gae.decoder, Products)
    assert all(bool(factor.weight.grad.any()) for factor in gae.decoder.factors)
