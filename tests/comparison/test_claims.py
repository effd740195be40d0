"""Claims: a bound is reached or not, a rival is behind by more than the spread or not; what is missing says so."""

import pytest

from diffusegae.comparison.claims import Answer, Claim, answer, draw_claims, plan_claims
from diffusegae.comparison.results import Statistic, direction_of
from tests.comparison.test_comparison_report import parse

BOUND = Claim("knows", "Table 1", "probe/pose/pose", "share", bound=0.95)
LOW_BOUND = Claim("leaks", "Table 1", "probe/max_excess", "share", bound=0.03)
PATH = Claim("smoother", "Fig. 10", "ppl/T20", "length", rivals=("diffae", "gzsnet"))
NO_WORSE = Claim("as good", "Table 2", "reconstruct/random/ssim", "share", rivals=("diffae",), level_will_do=True)


def of(mean: float, sd: float | None = None) -> Statistic:
    return Statistic(mean=mean, sd=sd, n=1 if sd is None else 3)


def verdict(claim: Claim, ours: Statistic, **others: Statistic) -> str:
    summary = {name: {claim.metric: statistic} for name, statistic in others.items()}
    return answer(claim, {"diffusegae": {claim.metric: ours}, **summary}, "diffusegae").verdict


@pytest.mark.parametrize(
    ("claim", "mean", "expected"),
    [(BOUND, 0.95, "holds"), (BOUND, 0.949, "fails"), (LOW_BOUND, 0.03, "holds"), (LOW_BOUND, 0.031, "fails")],
)
def test_a_bound_must_be_reached_from_its_own_side(claim: Claim, mean: float, expected: str) -> None:
    assert verdict(claim, of(mean)) == expected
    assert verdict(claim, of(mean, sd=1.0)) == expected  # of a bound the mean decides


def test_a_rival_must_be_behind_by_more_than_the_spread_of_both() -> None:
    theirs = of(10.0, sd=0.4)
    assert verdict(PATH, of(9.4, sd=0.3), diffae=theirs) == "holds"  # the spread is .5
    assert verdict(PATH, of(9.6, sd=0.3), diffae=theirs) == "undecided"
    assert verdict(PATH, of(10.4, sd=0.3), diffae=theirs) == "undecided"
    assert verdict(PATH, of(10.6, sd=0.3), diffae=theirs) == "fails"


def test_no_worse_holds_within_the_spread_and_fails_beyond_it() -> None:
    theirs = of(0.96, sd=0.03)
    assert verdict(NO_WORSE, of(0.92, sd=0.04), diffae=theirs) == "holds"  # the spread is .05
    assert verdict(NO_WORSE, of(0.90, sd=0.04), diffae=theirs) == "fails"
    assert verdict(NO_WORSE, of(0.90), diffae=of(0.96)) == "fails"
    assert verdict(NO_WORSE, of(0.96), diffae=of(0.96)) == "holds"


def test_the_best_rival_is_the_one_to_beat() -> None:
    summary = {"diffusegae": {"ppl/T20": of(9.0)}, "diffae": {"ppl/T20": of(10.0)}, "gzsnet": {"ppl/T20": of(8.0)}}
    found = answer(PATH, summary, "diffusegae")
    assert (found.rival, found.theirs, found.verdict) == ("gzsnet", of(8.0), "fails")


def test_methods_that_are_no_rivals_do_not_matter() -> None:
    assert verdict(PATH, of(9.0), diffae=of(10.0), pdae=of(2.0)) == "holds"


@pytest.mark.parametrize("summary", [{"diffusegae": {}}, {"diffusegae": {"ppl/T20": of(9.0)}, "ddim": {}}])
def test_what_was_not_measured_is_neither_held_nor_failed(summary: dict[str, dict[str, Statistic]]) -> None:
    found = answer(PATH, summary, "diffusegae")
    assert found.verdict == "not measured"
    rows = parse("".join(draw_claims([found], {}))).rows
    assert rows[1][-2:] == ["–", "not measured"]


def test_every_planned_claim_has_a_direction_and_one_thing_to_be_held_against() -> None:
    claims = list(plan_claims(("identity", "pose"), (20, 50)))
    assert len({claim.metric for claim in claims}) == len(claims)
    for claim in claims:
        assert direction_of(claim.metric) is not None, claim
        assert (claim.bound is None) == bool(claim.rivals), claim
    assert {"probe/identity/identity", "probe/pose/pose", "ppl/T20", "ppl/T50"} <= {claim.metric for claim in claims}


def test_the_section_counts_what_holds_and_names_what_fails() -> None:
    answers = [
        Answer(BOUND, "holds", of(0.99, 0.01)),
        Answer(PATH, "fails", of(11.0, 0.1), "diffae", of(10.0, 0.2)),
        Answer(NO_WORSE, "not measured"),
    ]
    html = "".join(draw_claims(answers, {"diffae": "Diff-AE"}))
    assert "1 of 2 hold here" in html
    assert "°" not in html
    assert parse(html).rows[1:] == [
        ["knows", "Table 1", "0.990 ± .010", "at least 0.950", "holds"],
        ["smoother", "Fig. 10", "11.00 ± 0.10", "Diff-AE 10.00 ± 0.20", "fails"],
        ["as good", "Table 2", "–", "–", "not measured"],
    ]
    assert html.count('class="better"') == html.count('class="worse"') == 1


def test_of_a_single_seed_a_verdict_has_a_mark_and_no_colour() -> None:
    html = "".join(draw_claims([Answer(BOUND, "holds", of(0.99)), Answer(LOW_BOUND, "fails", of(0.2))], {}))
    assert [row[-1] for row in parse(html).rows] == ["verdict", "holds°", "fails°"]
    assert "of a single seed no spread is known" in html
    assert 'class="better"' not in html
    assert 'class="worse"' not in html


def test_a_rival_of_a_single_seed_is_marked_though_ours_has_several() -> None:
    summary = {"diffusegae": {"ppl/T20": of(9.0, 0.1)}, "diffae": {"ppl/T20": of(10.0)}}
    html = "".join(draw_claims([answer(PATH, summary, "diffusegae")], {}))
    assert parse(html).rows[1][-1] == "holds°"
    assert 'class="better"' not in html
