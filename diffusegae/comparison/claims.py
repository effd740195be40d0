"""The paper's claims, each held against what was measured: the first section of a comparison's report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from diffusegae.comparison import paper
from diffusegae.comparison.results import Statistic, Summary, direction_of, lead_of, rank, spread_of
from diffusegae.comparison.sections import CLOSENESS, REPLACE
from diffusegae.comparison.tables import LEADS, Style, show, show_statistic
from diffusegae.metrics import page
from diffusegae.metrics.figures import NOT_MEASURED
from diffusegae.metrics.page import Cell, Row

Verdict = Literal["holds", "undecided", "fails", "not measured"]

OWN_LEAST, LEAK_MOST = 0.95, 0.03  # "knows its own" and "knows no other", which the paper puts into words only
LEAKING, EDITORS = ("diffae", "pdae", "gzsnet"), ("gzsnet", "stargan", "elegant")


@dataclass(frozen=True)
class Claim:
    """A figure of ours that shall reach a bound, or be better than that of every rival."""

    sentence: str
    source: str  # table or figure of the paper
    metric: str
    style: Style
    bound: float | None = None
    rivals: tuple[str, ...] = ()
    level_will_do: bool = False  # "no worse than"


@dataclass(frozen=True)
class Answer:
    """What was found of a claim."""

    claim: Claim
    verdict: Verdict
    ours: Statistic | None = None
    rival: str = ""  # the best of the rivals
    theirs: Statistic | None = None

    @property
    def is_of_one_seed(self) -> bool:
        """Whether a figure that it rests on is of a single seed, so that no spread is known."""
        return any(statistic is not None and statistic.sd is None for statistic in (self.ours, self.theirs))


def plan_claims(names: Sequence[str], steps: Sequence[int]) -> Iterator[Claim]:
    """Yield the paper's claims, for attributes of these names and paths of so many sampling steps."""
    for name in names:
        yield Claim(f"The part of {name} knows it", "Table 1", f"probe/{name}/{name}", "share", bound=OWN_LEAST)
    yield Claim("No part leaks: largest excess over chance", "Table 1", "probe/max_excess", "share", bound=LEAK_MOST)
    yield Claim("Leaks less than others: mean excess", "Table 1", "probe/mean_excess", "share", rivals=LEAKING)
    theirs = paper.INFERRED["diffusegae"]
    yield Claim("Inferred x_T: SSIM", "Table 2", "reconstruct/inferred/ssim", "share", bound=theirs.ssim)
    yield Claim("Inferred x_T: MSE", "Table 2", "reconstruct/inferred/mse", "error", bound=theirs.mse)
    rival = ("diffae",)
    for key, label, style in CLOSENESS:
        sentence, metric = f"Random x_T, no worse: {label}", f"reconstruct/random/{key}"
        yield Claim(sentence, "Table 2", metric, style, rivals=rival, level_will_do=True)
    for T in steps:
        yield Claim(f"Interpolates more smoothly: PPL, T = {T}", "Fig. 10", f"ppl/T{T}", "length", rivals=rival)
    yield Claim("Edits are nearest to the truth: LPIPS", "Fig. 6", f"{REPLACE}/lpips", "error", rivals=EDITORS)
    yield Claim("Edits keep the rest: every kept right", "Fig. 6", f"{REPLACE}/all_kept_right", "share", rivals=EDITORS)


def answer(claim: Claim, summary: Summary, ours: str) -> Answer:
    """Hold a claim against the figures of all methods.

    A rival's lead or ours within the spread of the seeds (`spread_of`) decides nothing; of a single seed the spread is
    unknown and taken as 0.
    """
    own = summary[ours].get(claim.metric)
    found = {name: s for name in claim.rivals if (s := summary.get(name, {}).get(claim.metric)) is not None}
    if own is None or (claim.bound is None and not found):
        return Answer(claim, "not measured", own)
    if claim.bound is not None:
        return Answer(claim, "holds" if lead_of(claim.metric, own.mean, claim.bound) >= 0 else "fails", own)
    rival = rank(found, claim.metric)[0]
    lead, spread = lead_of(claim.metric, own.mean, found[rival].mean), spread_of(own, found[rival]) or 0.0
    level: Verdict = "holds" if claim.level_will_do else "undecided"
    verdict: Verdict = "holds" if lead > spread else "fails" if lead < -spread else level
    return Answer(claim, verdict, own, rival, found[rival])


def draw_claims(answers: Sequence[Answer], titles: Mapping[str, str]) -> list[str]:
    """Return the section: how many claims hold, and a row for each."""
    measured = [found for found in answers if found.verdict != "not measured"]
    held = sum(found.verdict == "holds" for found in measured)
    header = [Cell(text) for text in ("", "the paper's", "ours", "held against", "verdict")]
    return [
        page.heading("What the paper claims"),
        page.paragraph(
            f"{held} of {len(measured)} hold here. A bound must be reached; a rival, the best of those that the paper"
            " names, must be behind by more than the spread of the seeds, and what lies within it is undecided."
            + (
                f" {LEADS}: of a single seed no spread is known; this verdict is that of one run."
                if any(found.is_of_one_seed for found in measured)
                else ""
            )
        ),
        page.block("methods claims", [page.table(header, [_row(found, titles) for found in answers])]),
    ]


def _row(found: Answer, titles: Mapping[str, str]) -> Row:
    claim = found.claim
    ours = NOT_MEASURED if found.ours is None else show_statistic(found.ours, claim.style)
    if claim.bound is not None:
        side = "at most" if direction_of(claim.metric) == "lower" else "at least"
        against = f"{side} {show(claim.bound, claim.style)}"
    elif found.theirs is not None:
        against = f"{titles.get(found.rival, found.rival)} {show_statistic(found.theirs, claim.style)}"
    else:
        against = NOT_MEASURED
    return Row(claim.sentence, [Cell(claim.source), Cell(ours), Cell(against), _verdict_cell(found)])


def _verdict_cell(found: Answer) -> Cell:
    """Return the verdict, in colour if it is of several seeds."""
    colour = {"holds": "better", "fails": "worse"}.get(found.verdict)
    if colour is None:
        return Cell(found.verdict)
    return Cell(found.verdict + LEADS) if found.is_of_one_seed else Cell(found.verdict, colour)
