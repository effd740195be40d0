"""GROUP planning against Definition 1 by brute force: exact, complete, uniform, and a function of its generator."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffusegae.data import groups
from diffusegae.data.groups import GroupError, GroupIndex, plan_groups
from diffusegae.data.records import MISSING

KINDS = ("independent", "majority", "copied", "nested", "binary", "sparse")


def make_labels(kind: str, num_rows: int, num_attributes: int, seed: int) -> np.ndarray:
    """Draw a table; all kinds but the first make most candidates unfit, each in its own way."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2 if kind == "binary" else 5, (num_rows, num_attributes))
    if kind == "majority":
        labels[generator.random(labels.shape) < 0.8] = 0
    elif kind == "copied":
        copied = generator.random(num_rows) < 0.9
        labels[copied, 1] = labels[copied, 0]
    elif kind == "nested":
        # Most rows have 0 in the first attribute, most of the others 0 in the second, and so on.
        level = generator.geometric(0.6, (num_rows, 1)) - 1
        attribute = np.arange(num_attributes)
        labels = np.where(attribute < level, 1 + labels % 4, np.where(attribute == level, 0, labels))
    elif kind == "sparse":
        labels[generator.random(labels.shape) < 0.4] = MISSING
    return labels


def qualifying(labels: np.ndarray, centre: int, subset: tuple[int, ...]) -> np.ndarray:
    """List the partners of Definition 1 by brute force: the centre itself if it lacks a label of the subset."""
    if (labels[centre, list(subset)] == MISSING).any():
        return np.array([centre])
    wanted = np.isin(np.arange(labels.shape[1]), subset)
    agrees = (labels == labels[centre]) & (labels != MISSING)
    return np.flatnonzero((agrees == wanted).all(axis=1))


def can_be_centre(labels: np.ndarray, centre: int, subsets: tuple[tuple[int, ...], ...]) -> bool:
    """Tell whether a row has the labels of one subset at least, and a partner for each."""
    has_labels = any((labels[centre, list(subset)] != MISSING).all() for subset in subsets)
    return has_labels and all(len(qualifying(labels, centre, subset)) for subset in subsets)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    num_attributes = draw(st.integers(2, 4))
    kind = draw(st.sampled_from(KINDS))
    labels = make_labels(kind, draw(st.integers(1, 80)), num_attributes, draw(st.integers(0, 2**32 - 1)))
    return labels, draw(st.integers(1, num_attributes - 1))


@settings(deadline=None, max_examples=200)
@given(table=tables(), seed=st.integers(0, 2**32 - 1))
def test_plan_is_exact_and_complete(table: tuple[np.ndarray, int], seed: int) -> None:
    labels, shared = table
    centres = np.random.default_rng(seed).integers(0, len(labels), 50)
    plan = plan_groups(labels, centres, shared, np.random.default_rng(seed))

    subsets = tuple(combinations(range(labels.shape[1]), shared))
    candidates = [[qualifying(labels, centre, subset) for subset in subsets] for centre in centres]
    feasible = [can_be_centre(labels, centre, subsets) for centre in centres]
    assert plan.subsets == subsets
    assert plan.centres.tolist() == centres[feasible].tolist()
    assert plan.num_without_partner == len(centres) - sum(feasible)
    assert plan.num_lacking == tuple(
        sum(not len(partners[role]) for partners in candidates) for role in range(len(subsets))
    )
    kept = [partners for partners, is_feasible in zip(candidates, feasible, strict=True) if is_feasible]
    for group, partners in zip(plan.members, kept, strict=True):
        for row, rows in zip(group[1:], partners, strict=True):
            assert row in rows


@settings(deadline=None, max_examples=50)
@given(table=tables(), seed=st.integers(0, 2**32 - 1))
def test_plan_is_a_function_of_its_generator(table: tuple[np.ndarray, int], seed: int) -> None:
    labels, shared = table
    centres = np.arange(len(labels))
    index = GroupIndex(labels, shared)
    first = index.plan(centres, np.random.default_rng(seed))
    again = index.plan(centres, np.random.default_rng(seed))
    alone = plan_groups(labels, centres, shared, np.random.default_rng(seed))
    assert first.members.tolist() == again.members.tolist() == alone.members.tolist()
    assert centres[index.has_group(centres)].tolist() == first.centres.tolist()


def test_another_seed_gives_another_plan() -> None:
    labels = make_labels("independent", 500, 3, seed=0)
    index = GroupIndex(labels, 1)
    plans = [index.plan(np.arange(500), np.random.default_rng(seed)).members.tolist() for seed in (0, 1)]
    assert plans[0] != plans[1]


@pytest.mark.parametrize(("num_attributes", "shared"), [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (4, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_partners_are_uniform_over_all_that_qualify(kind: str, num_attributes: int, shared: int) -> None:
    labels = make_labels(kind, 300, num_attributes, seed=3)
    index = GroupIndex(labels, shared)
    eligible = np.flatnonzero(index.has_group(np.arange(300)))
    # The first such rows carry the frequent values, the last in order of frequency the rare ones.
    num_twins = np.array([(labels == labels[row]).all(axis=1).sum() for row in eligible])
    for centre in eligible[np.argsort(num_twins, kind="stable")[[0, -1]]]:
        plan = index.plan(np.full(6000, centre), np.random.default_rng(11))
        for subset in plan.subsets:
            rows = qualifying(labels, centre, subset)
            counts = np.bincount(plan.partners(*subset), minlength=300)
            assert counts.sum() == counts[rows].sum() == 6000
            assert len(rows) == 1 or stats.chisquare(counts[rows]).pvalue > 1e-5


def test_partners_of_one_centre_are_independent() -> None:
    labels = make_labels("binary", 60, 3, seed=1)
    index = GroupIndex(labels, 1)
    centre = np.flatnonzero(index.has_group(np.arange(60)))[0]
    plan = index.plan(np.full(20_000, centre), np.random.default_rng(5))
    pairs = np.zeros((60, 60))
    np.add.at(pairs, (plan.partners(0), plan.partners(1)), 1)
    pairs = pairs[pairs.any(axis=1)][:, pairs.any(axis=0)]
    assert min(pairs.shape) > 1
    assert stats.chi2_contingency(pairs).pvalue > 1e-5


def test_members_are_named_by_role() -> None:
    labels = make_labels("independent", 400, 3, seed=2)
    centres = np.array([7, 3, 7])
    plan = plan_groups(labels, centres, 2, np.random.default_rng(0))
    assert plan.subsets == ((0, 1), (0, 2), (1, 2))
    assert plan.centres.tolist() == [7, 3, 7]
    agrees = labels[plan.partners(2, 0)] == labels[plan.centres]
    assert agrees.tolist() == [[True, False, True]] * 3


def test_a_centre_without_a_partner_is_counted_and_never_relaxed() -> None:
    # Row 4 shares its second value with nobody, row 3 its first; both attributes of rows 0 to 2 have partners.
    labels = np.array([[0, 0], [0, 1], [1, 0], [2, 0], [0, 9]])
    plan = plan_groups(labels, np.arange(5), 1, np.random.default_rng(0))
    assert plan.centres.tolist() == [0]
    assert plan.num_without_partner == 4
    assert plan.num_lacking == (2, 2)


@pytest.mark.parametrize("shared", [1, 2])
def test_perfectly_correlated_attributes_have_no_groups(shared: int) -> None:
    column = np.random.default_rng(0).integers(0, 4, 200)
    labels = np.stack([column, column, np.random.default_rng(1).integers(0, 4, 200)], axis=1)
    plan = plan_groups(labels, np.arange(200), shared, np.random.default_rng(0))
    assert plan.members.shape == (0, 4)
    assert plan.num_without_partner == 200


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
@pytest.mark.parametrize("kind", ["independent", "nested"])
def test_any_integers_are_labels(kind: str, dtype: type[np.integer]) -> None:
    labels = make_labels(kind, 200, 3, seed=4)
    expected = plan_groups(labels, np.arange(200), 1, np.random.default_rng(0))
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    # Neither range nor sign may matter, only which values are equal.
    for values in ([low, low + 20, high - 40, high - 1, high], [high - 4, high - 3, high - 2, high - 1, high]):
        plan = plan_groups(np.array(values, dtype=dtype)[labels], np.arange(200), 1, np.random.default_rng(0))
        assert plan.members.tolist() == expected.members.tolist()


def test_many_combinations_are_still_exact() -> None:
    # More than 2**16 pairs of values (two radix passes), and values as sparse as file hashes.
    generator = np.random.default_rng(0)
    labels = np.stack([generator.integers(0, high, 150_000) for high in (400, 400, 3)], axis=1)
    labels[:, 0] *= 2**53 // 400
    plan = plan_groups(labels, np.arange(150_000), 2, generator)
    for role, subset in enumerate(plan.subsets, start=1):
        agrees = labels[plan.members[:, role]] == labels[plan.centres]
        assert (agrees == np.isin(np.arange(3), subset)).all()
    pairs = labels[:, 0] // (2**53 // 400) * 400 + labels[:, 1]
    num_triples = np.bincount(np.unique(pairs * 3 + labels[:, 2]) // 3)
    assert plan.num_lacking[0] == (num_triples[pairs] == 1).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_rows_do_not_change_the_plan(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = make_labels(kind, 300, 4, seed=6)
    expected = plan_groups(labels, np.arange(300), 1, np.random.default_rng(0))
    monkeypatch.setattr(groups, "ROWS_PER_BLOCK", 13)
    plan = plan_groups(labels, np.arange(300), 1, np.random.default_rng(0))
    assert plan.members.tolist() == expected.members.tolist()


def test_blocks_of_groups_stay_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUPS_PER_BLOCK", 7)
    labels = make_labels("independent", 300, 3, seed=6)
    plan = plan_groups(labels, np.arange(300), 1, np.random.default_rng(0))
    assert plan.centres.tolist() == list(range(300))
    for attribute in range(3):
        agrees = labels[plan.partners(attribute)] == labels[plan.centres]
        assert (agrees == (np.arange(3) == attribute)).all()


@pytest.mark.parametrize("num_rows", [0, 5])
def test_no_centres_give_an_empty_plan(num_rows: int) -> None:
    labels = make_labels("independent", num_rows, 3, seed=0)
    plan = plan_groups(labels, np.arange(0), 1, np.random.default_rng(0))
    assert plan.members.shape == (0, 4)
    assert plan.num_lacking == (0, 0, 0)


@pytest.mark.parametrize(("num_attributes", "shared"), [(3, 0), (3, 3), (1, 1)])
def test_impossible_number_of_shared_attributes_is_named(num_attributes: int, shared: int) -> None:
    with pytest.raises(GroupError, match=rf"GROUP\(C, {shared}\) over {num_attributes} attribute"):
        GroupIndex(np.zeros((4, num_attributes), dtype=np.int64), shared)


def test_a_centre_that_lacks_a_label_is_its_own_partner_for_it_and_no_other_row_is() -> None:
    # Row 1 lacks the second label: it may be a partner by its first, and a centre; row 4 has no label at all.
    labels = np.array([[0, 0], [0, MISSING], [1, 0], [1, 1], [MISSING, MISSING]])
    plan = plan_groups(labels, np.arange(5), 1, np.random.default_rng(0))
    assert plan.centres.tolist() == [0, 1, 2]  # row 3 alone has its second label
    assert plan.partners(0).tolist() == [1, 0, 3]
    assert plan.partners(1).tolist() == [2, 1, 0]
    assert plan.num_lacking == (0, 1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sparse"])
def test_a_sharing_partner_agrees_in_its_subset_and_is_any_row_that_does(kind: str) -> None:
    labels = make_labels(kind, 60, 3, seed=2)
    centres = np.repeat(np.arange(60), 200)
    plan = GroupIndex(labels, 1, "sharing").plan(centres, np.random.default_rng(0))
    assert plan.num_without_partner == 0
    for attribute in range(3):
        partners = plan.partners(attribute)
        assert (labels[partners, attribute] == labels[centres, attribute]).all()
        for centre in (0, 31):
            agreeing = np.flatnonzero(labels[:, attribute] == labels[centre, attribute])
            counts = np.bincount(partners[centres == centre], minlength=60)
            assert counts.sum() == counts[agreeing].sum()
            if len(agreeing) > 1:
                assert stats.chisquare(counts[agreeing]).pvalue > 1e-4
