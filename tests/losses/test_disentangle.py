"""L_dis against what can be worked out by hand."""

import pytest
import torch

from diffusegae.losses.disentangle import (
    disentanglement_loss,
    draw_donors,
    draw_groups,
    draw_sources,
    draw_ways,
    own_partners,
    part_ratios,
    path_bend,
    shared_part_distance,
)
from diffusegae.models.parts import GroupLayout, reassemble_centre, swap_with_centre

PARTS = (slice(0, 2), slice(2, 3), slice(3, 6))
ONE = GroupLayout(PARTS, ((0,), (1,), (2,)))
TWO = GroupLayout(PARTS, ((0, 1), (0, 2), (1, 2)))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def ideal_groups(layout: GroupLayout, groups: int = 5) -> torch.Tensor:
    """Return GROUPs of codes in which a partner's shared parts equal the centre's: perfect disentanglement."""
    codes = torch.randn(groups, layout.num_members, 6, generator=generator())
    for i, subset in enumerate(layout.subsets):
        for j in subset:
            codes[:, 1 + i, PARTS[j]] = codes[:, 0, PARTS[j]]
    return codes


@pytest.mark.parametrize("layout", [ONE, TWO])
def test_swapping_shared_parts_of_ideal_codes_changes_nothing(layout: GroupLayout) -> None:
    codes = ideal_groups(layout)
    centres, partners = swap_with_centre(codes, layout)
    torch.testing.assert_close(partners, codes[:, 1:])
    torch.testing.assert_close(centres, codes[:, :1].expand_as(centres))


@pytest.mark.parametrize("layout", [ONE, TWO])
def test_reassembly_of_ideal_codes_is_the_centre_and_never_reads_it(layout: GroupLayout) -> None:
    codes = ideal_groups(layout)
    centre = codes[:, 0].clone()
    codes[:, 0] = float("nan")
    torch.testing.assert_close(reassemble_centre(codes, layout, draw_sources(5, layout, generator())), centre)


def test_donors_of_a_group_are_different_members_of_that_group() -> None:
    donors = draw_donors(50, ONE, "group", generator())
    assert (donors // 4 == torch.arange(50)[:, None]).all()
    assert all(len(set(row.tolist())) == 3 for row in donors)
    assert len({tuple((row % 4).tolist()) for row in donors}) > 10


def test_donors_of_a_batch_come_from_anywhere() -> None:
    donors = draw_donors(50, ONE, "batch", generator())
    assert donors.min() >= 0
    assert donors.max() < 200
    assert (donors // 4 != torch.arange(50)[:, None]).any()


def test_perfect_codec_on_ideal_codes_has_no_loss() -> None:
    codes = ideal_groups(ONE)
    draws = draw_groups(5, ONE, "batch", generator())
    terms = disentanglement_loss(lambda z: z, lambda z: z, codes, ONE, draws)
    assert float(terms.total(1.0, 0.5, 2.0)) == 0.0


def test_terms_are_summed_over_the_group_and_averaged_over_elements() -> None:
    codes = ideal_groups(ONE)
    draws = draw_groups(5, ONE, "batch", generator())
    terms = disentanglement_loss(lambda z: z, lambda z: z + 0.5, codes, ONE, draws)
    assert float(terms.reconstruction) == pytest.approx(4 * 0.5)  # centre and three partners
    assert float(terms.swap) == pytest.approx(7 * 0.5)  # both sides of three swaps, and the reassembled centre
    assert float(terms.reassembly) == pytest.approx(0.5)
    assert float(terms.total(2.0, 3.0)) == pytest.approx(2.0 + 2 * 3.5 + 3 * 0.5)


def test_agreement_is_the_distance_of_shared_parts_over_that_of_unshared_ones() -> None:
    codes = torch.zeros(5, 4, 6)
    codes[:, 1:, PARTS[0]] = torch.tensor([0.0, 2.0, 2.0])[:, None]  # the first partner shares it: as it should be
    codes[:, 1:, PARTS[1]] = torch.tensor([2.0, 0.5, 2.0])[:, None]  # the second should share it
    codes[:, 1:, PARTS[2]] = torch.tensor([1.0, 3.0, 2.0])[:, None]  # the third shares it no more than the others
    own = torch.zeros(5, 3, dtype=torch.bool)
    found = shared_part_distance(codes, ONE, own)
    assert float(found) == pytest.approx(0.0 + 0.25 + 1.0)
    torch.testing.assert_close(shared_part_distance(codes * 0.01, ONE, own), found)


def test_a_centre_that_is_its_own_partner_changes_no_agreement_and_adds_its_own_reconstruction() -> None:
    codes = torch.randn(6, 4, 6, generator=generator())
    codes[:2, 2] = codes[:2, 0]  # two centres lack the second attribute
    own = own_partners(codes)
    assert own.tolist() == [[False, row < 2, False] for row in range(6)]
    distances = (codes[:, 1:] - codes[:, :1]).abs()
    for j, part in enumerate(PARTS):
        means = [distances[~own[:, i], i, part].mean() for i in range(3)]
        others = torch.stack([means[i] for i in range(3) if i != j]).mean()
        torch.testing.assert_close(part_ratios(codes, ONE, own)[j], means[j] / others)
    ideal = ideal_groups(ONE)
    ideal[:2, 2] = ideal[:2, 0]
    terms = disentanglement_loss(lambda z: z, lambda z: z + 0.5, ideal, ONE, draw_groups(5, ONE, "batch", generator()))
    assert float(terms.swap) == pytest.approx(7 * 0.5)  # as if all had partners: nothing is asked that can't be given


def test_ways_through_an_affine_decoder_are_straight_and_through_a_square_bent_by_what_can_be_worked_out() -> None:
    codes = torch.randn(6, 3, generator=generator())
    matrix = torch.randn(3, 5, generator=generator())
    affine = path_bend(lambda z: z @ matrix + 1, codes, codes @ matrix + 1, draw_ways(6, 100, generator()))
    torch.testing.assert_close(affine, torch.zeros(()), atol=1e-6, rtol=0)
    # From 0 to 1 a square's mean velocity over the tenth after a is 2 a + .1, the chord's is 1. The square of the
    # difference has mean .27 over a in [0, .9]; half of the ways between two rows lead nowhere.
    line = torch.tensor([[0.0], [1.0]])
    bend = path_bend(torch.square, line, line.square(), draw_ways(2, 40_000, generator()))
    assert float(bend) == pytest.approx(0.135, rel=0.03)


def test_bend_is_computed_on_demand_alone_and_moves_only_what_it_weighs() -> None:
    codes = ideal_groups(ONE)
    arguments = (torch.tanh, torch.square, codes, ONE, draw_groups(5, ONE, "batch", generator()))
    without = disentanglement_loss(*arguments)
    with_bend = disentanglement_loss(*arguments, with_bend=True)
    assert without.bend is None
    assert "bend" not in without.named()
    assert with_bend.bend is not None
    assert with_bend.bend > 0
    assert with_bend.named().keys() == {"reconstruction", "swap", "reassembly", "agreement", "bend"}
    torch.testing.assert_close(with_bend.total(1, 1, 1, 3) - without.total(1, 1, 1, 3), 3 * with_bend.bend)


def test_gradient_stops_at_a_detached_target() -> None:
    z = torch.randn(5, 4, 6, requires_grad=True)
    draws = draw_groups(5, ONE, "batch", generator())
    zero = torch.zeros(5, 4, 6)
    terms = disentanglement_loss(lambda v: v.detach(), lambda v: v, z, ONE, draws, zero)
    assert not terms.total(1.0, 1.0).requires_grad
