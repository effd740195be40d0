"""The ways of changing one attribute in a code: what each is, and which is right in which world."""

import pytest
import torch
from torch import Tensor

from diffusegae.baselines.ways import FARTHEST, MEANS, AlongDirection, ByMeans, Moves, ways_of
from tests.baselines.short_training import generator

SIZES, WIDTH, COUNT = (3, 4, 2), 24, 1200


def draw_labels(seed: int = 0) -> Tensor:
    return torch.stack([torch.randint(0, size, (COUNT,), generator=generator(seed + j)) for j, size in
                        enumerate(SIZES)], dim=1)  # fmt: skip


def additive(labels: Tensor) -> Tensor:
    """Return codes that are sums of one vector for each value of each attribute."""
    tables = [torch.randn(size, WIDTH, generator=generator(10 + j)) for j, size in enumerate(SIZES)]
    return sum((table[labels[:, j]] for j, table in enumerate(tables)), torch.zeros(()))


def interacting(labels: Tensor) -> Tensor:
    """Return codes in which what the first attribute looks like depends on the second."""
    table = torch.randn(SIZES[0], SIZES[1], WIDTH, generator=generator(20))
    return additive(labels) + table[labels[:, 0], labels[:, 1]]


def moved(moves: Moves, way: AlongDirection | ByMeans, codes: Tensor, labels: Tensor, attribute: int) -> Tensor:
    """Return codes moved to the values of the next code."""
    wanted = labels.roll(1, 0)
    return codes + moves.step(way, codes, codes.roll(1, 0), labels, wanted, attribute)


def truth(labels: Tensor, attribute: int) -> Tensor:
    wanted = labels.clone()
    wanted[:, attribute] = labels.roll(1, 0)[:, attribute]
    return wanted


@pytest.mark.parametrize("attribute", [0, 1, 2])
def test_class_means_change_an_attribute_exactly_where_codes_are_sums(attribute: int) -> None:
    # every combination equally often, so that a mean over one value is a mean over all of the others'
    labels = torch.cartesian_prod(*(torch.arange(size) for size in SIZES))
    codes = additive(labels)
    found = moved(Moves.fit(codes, labels, SIZES), ByMeans(), codes, labels, attribute)
    torch.testing.assert_close(found, additive(truth(labels, attribute)), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("attribute", "other"), [(0, 1), (1, 0)])
def test_joint_means_with_the_right_attribute_are_right_where_two_interact(attribute: int, other: int) -> None:
    labels = torch.cartesian_prod(*(torch.arange(size) for size in SIZES))
    codes = interacting(labels)
    moves, wanted = Moves.fit(codes, labels, SIZES), interacting(truth(labels, attribute))
    joint = moved(moves, ByMeans(other), codes, labels, attribute)
    torch.testing.assert_close(joint, wanted, atol=1e-4, rtol=0)
    for wrong in (ByMeans(), ByMeans(2)):
        assert (moved(moves, wrong, codes, labels, attribute) - wanted).abs().max() > 0.5


def test_without_a_joint_mean_class_means_serve() -> None:
    labels = draw_labels()
    codes = interacting(labels)
    seen = (labels[:, 0] != 1) | (labels[:, 1] != 2)  # no code has these two values together
    moves = Moves.fit(codes[seen], labels[seen], SIZES)
    wanted = torch.tensor([[1, 2, 0]])
    for source in ([0, 2, 0], [0, 1, 0]):
        present = torch.tensor([source])
        steps = [moves.step(way, codes[:1], codes[:1], present, wanted, 0) for way in (ByMeans(1), ByMeans())]
        assert torch.equal(*steps) == (source[1] == 2)


def test_a_value_without_a_code_is_the_mean_of_all() -> None:
    labels = draw_labels()
    labels[:, 0].clamp_(max=1)
    codes = additive(labels)
    torch.testing.assert_close(Moves.fit(codes, labels, SIZES).means[0][2], codes.mean(dim=0))


@pytest.mark.parametrize("way", ways_of(("a", "b", "c"), 0).values())
def test_no_way_moves_what_has_the_donors_value(way: AlongDirection | ByMeans) -> None:
    labels = draw_labels()
    codes = interacting(labels) + 0.1 * torch.randn(COUNT, WIDTH, generator=generator(5))
    found = moved(Moves.fit(codes, labels, SIZES), way, codes, labels, 0)
    agree = labels[:, 0] == labels.roll(1, 0)[:, 0]
    assert torch.equal(found[agree], codes[agree])
    assert not torch.isclose(found[~agree], codes[~agree]).all(dim=1).any()


def test_the_names_say_which_way_is_whose() -> None:
    names = list(ways_of(("kind", "place", "pose"), 1))
    assert names[0] == FARTHEST
    assert "direction, step 0.3 (published)" in names
    assert names[-3:] == [MEANS, "joint means with kind", "joint means with pose"]


def test_tensors_hold_all_of_it() -> None:
    labels = draw_labels()
    codes = interacting(labels)
    moves = Moves.fit(codes, labels, SIZES)
    again = Moves.of_tensors(moves.tensors(), len(SIZES), torch.device("cpu"))
    assert torch.equal(again.read(codes), moves.read(codes))
    for way in ways_of(("a", "b", "c"), 1).values():
        assert torch.equal(moved(again, way, codes, labels, 1), moved(moves, way, codes, labels, 1))
