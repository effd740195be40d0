"""Claims: held by the interval in each stratum, undecided where it straddles, the paper's figures for orientation."""

import numpy as np
import pytest

from diffusegae.evaluation.measured import Items, Measured
from diffusegae.metrics.table import quantity_of
from diffusegae.report.claims import Answer, Claim, answer, draw_claims, plan_claims
from diffusegae.report.content import Content, at
from tests.report.conftest import NAMES, Subjects, judge, make_references, parse

BOUND = Claim("knows", "Table 1", "codes/own/pose", bound=0.95)
LOW_BOUND = Claim("leaks", "Table 1", "codes/leak_max", bound=0.03)
NEAREST = Claim("nearest", "Fig. 6", "replace/lpips", rivals=("diffae", "gzsnet"))
SEEN, SIZE = "seen_pairs", 400


def row(measure: str, figure: str, values: np.ndarray) -> Measured:
    return Measured({measure: Items(np.zeros(len(values), np.int64), np.arange(len(values)), {figure: values})})


def content_of(**rows: list[Measured]) -> Content:
    subjects = {name: [judge(name, name, m, seed) for seed, m in enumerate(each)] for name, each in rows.items()}
    return Content(subjects, make_references(), NAMES, "ours")


def shares(right: float) -> np.ndarray:
    """Return right and wrong items in random order, so many right."""
    values = (np.arange(SIZE) < round(right * SIZE)).astype(np.float64)
    return np.random.default_rng(0).permutation(values)


@pytest.mark.parametrize(("right", "expected"), [(1.0, "holds"), (0.99, "holds"), (0.955, "undecided"), (0.9, "fails")])
def test_a_bound_is_held_by_the_whole_interval(right: float, expected: str) -> None:
    assert answer(BOUND, content_of(ours=[row("codes", "own/pose", shares(right))]), SEEN).verdict == expected


@pytest.mark.parametrize(("leak", "expected"), [(0.0, "holds"), (0.03, "undecided"), (0.1, "fails")])
def test_a_leak_must_stay_below_its_bound(leak: float, expected: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, SIZE)
    codes = row("codes", "leak/pose/ground", leak + noise - noise.mean())
    codes = Measured(codes.items, {"codes/seen_pairs/leak_max": leak})
    assert answer(LOW_BOUND, content_of(ours=[codes]), SEEN).verdict == expected


@pytest.mark.parametrize(("lead", "expected"), [(0.01, "holds"), (0.0, "undecided"), (-0.01, "fails")])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_rival_is_held_item_by_item(lead: float, expected: str, seeds: int) -> None:
    hard = np.random.default_rng(0).uniform(0, 1, SIZE)  # images differ far more than the methods do
    noise = [np.random.default_rng(seed + 1).normal(0, 0.01, SIZE) for seed in range(seeds)]
    ours = [row("replace", "lpips", hard - lead + each - each.mean()) for each in noise]
    theirs = [row("replace", "lpips", hard)] * seeds
    assert answer(NEAREST, content_of(ours=ours, diffae=theirs), SEEN).verdict == expected


def test_seeds_that_disagree_decide_nothing() -> None:
    hard = np.random.default_rng(0).uniform(0, 1, SIZE)
    ours = [row("replace", "lpips", hard - lead) for lead in (0.05, -0.03, 0.01)]
    theirs = [row("replace", "lpips", hard)] * 3
    assert answer(NEAREST, content_of(ours=ours[:1], diffae=theirs[:1]), SEEN).verdict == "holds"
    assert answer(NEAREST, content_of(ours=ours, diffae=theirs), SEEN).verdict == "undecided"


def test_the_best_rival_is_the_one_to_beat_and_others_do_not_matter() -> None:
    flat = np.full(SIZE, 0.5)
    rows = {"ours": flat, "diffae": flat + 0.1, "gzsnet": flat - 0.1, "pdae": flat - 0.4}
    found = answer(NEAREST, content_of(**{k: [row("replace", "lpips", v)] for k, v in rows.items()}), SEEN)
    assert (found.rival, found.verdict) == ("gzsnet", "fails")
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(0.1)


def test_what_was_not_measured_is_neither_held_nor_failed() -> None:
    ours = [row("replace", "lpips", np.full(SIZE, 0.5))]
    assert answer(NEAREST, content_of(ours=ours), SEEN).verdict == "not measured"
    assert answer(BOUND, content_of(ours=ours), SEEN) == Answer("not measured")
    assert answer(NEAREST, content_of(ours=ours, diffae=ours), "unseen_pair") == Answer("not measured")


def test_the_papers_figures_are_for_orientation_and_zero_shot_has_no_bound() -> None:
    content = content_of(ours=[row("reconstruct", "ssim", np.full(SIZE, 0.5))])
    assert answer(Claim("", "", "reconstruct/ssim"), content, SEEN).verdict == "for orientation"
    replaced = content_of(ours=[row("replace", "kept", np.full(SIZE, 0.5))])
    assert answer(Claim("", "", "replace/kept"), replaced, SEEN).verdict == "no bound"


def test_every_planned_claim_has_a_direction_and_at_most_one_thing_to_be_held_against() -> None:
    claims = list(plan_claims(("identity", "pose"), (20, 50)))
    assert len({claim.figure for claim in claims}) == len(claims)
    for claim in claims:
        assert quantity_of(at(claim.figure, SEEN)).better is not None, claim
        assert claim.bound is None or not claim.rivals, claim
    assert {"codes/own/identity", "codes/mlp_leak_max", "path/ppl/T50"} <= {claim.figure for claim in claims}


def test_the_section_counts_verdicts_and_has_a_column_for_each_stratum(subjects: Subjects) -> None:
    content = Content(subjects, make_references(), NAMES, "diffusegae")
    sentence = Claim("Inferred", "Table 2", "reconstruct/ssim")
    low = Claim("Too much", "nowhere", "codes/own/pose", bound=0.999)
    page = "".join(draw_claims([BOUND, low, NEAREST, sentence], content))
    rows = {row[0].split("|")[0]: row[1:] for row in parse(page).rows}
    assert rows[""] == ["seen pairs", "unseen pair", "unseen instance"]
    assert "Of 9 verdicts 6 hold, 3 fail and 0 are undecided" in page
    assert "Intervals are over images only, of one seed" in page
    assert [cell.split("|")[0] for cell in rows["Too much"]] == ["fails"] * 3
    assert [cell.split("|")[0] for cell in rows["Inferred"]] == ["for orientation"] * 3
    assert rows["nearest"][0].split("|")[2].startswith("Diff-AE: −0.08")
    assert page.count('class="worse"') == 3
