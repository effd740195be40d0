"""The paper's claims, each held against what was measured in each stratum: first in a comparison's report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from diffusegae.config.compare import OURS
from diffusegae.metrics.uncertainty import Interval, Verdict, verdict
from diffusegae.report import html, paper
from diffusegae.report.content import WORDS, Content, at
from diffusegae.report.html import Cell, Row
from diffusegae.report.tables import kind_of, show, show_difference, show_interval, show_paper

Found = Verdict | Literal["for orientation", "no bound", "not measured"]

OWN_LEAST, LEAK_MOST = 0.95, 0.03  # "knows its own" and "knows no other", which the paper puts into words only
LEAKING = ("diffae", "pdae", "gzsnet")
EDITORS = ("diffae", "pdae", "gzsnet", "ae_ds", "stargan", "elegant")  # as published; variants with our losses are ours


@dataclass(frozen=True)
class Claim:
    """A figure of ours that shall reach a bound, or be no worse than that of every rival; with neither it is shown."""

    sentence: str
    source: str  # table or figure of the paper
    figure: str
    bound: float | None = None
    rivals: tuple[str, ...] = ()

    @property
    def theirs(self) -> float | None:
        """Return the paper's figure, of other images."""
        return paper.FIGURES.get(self.figure, {}).get(OURS)


@dataclass(frozen=True)
class Answer:
    """What was found of a claim in one stratum; `difference` is ours less the best rival's."""

    verdict: Found
    own: Interval | None = None
    rival: str = ""
    difference: Interval | None = None


def plan_claims(names: Sequence[str], steps: Sequence[int]) -> Iterator[Claim]:
    """Yield the paper's claims, for attributes of these names and paths of so many sampling steps."""
    for name in names:
        yield Claim(f"The part of {name} knows it", "Table 1", f"codes/own/{name}", bound=OWN_LEAST)
    for kind, probe in (("leak", "linear probe"), ("mlp_leak", "MLP")):
        yield Claim(f"No part leaks: largest leak, {probe}", "Table 1", f"codes/{kind}_max", bound=LEAK_MOST)
    for kind, probe in (("leak", "linear probe"), ("mlp_leak", "MLP")):
        yield Claim(f"Leaks less than others: mean leak, {probe}", "Table 1", f"codes/{kind}", rivals=LEAKING)
    for key in ("ssim", "mse"):
        yield Claim(f"Inferred x_T: {key.upper()}", "Table 2", f"reconstruct/{key}")
    for key in ("ssim", "lpips", "mse"):
        yield Claim(f"Random x_T, no worse: {key.upper()}", "Table 2", f"reconstruct_random/{key}", rivals=("diffae",))
    for T in steps:
        yield Claim(f"Interpolates more smoothly: PPL, T = {T}", "Fig. 10", f"path/ppl/T{T}", rivals=("diffae",))
    yield Claim("Edits are nearest to the truth: LPIPS", "Fig. 6", "replace/lpips", rivals=EDITORS)
    yield Claim("Edits keep the rest: every kept right", "Fig. 6", "replace/all_kept", rivals=EDITORS)
    yield Claim("Zero-shot replacement: swapped right", "Fig. 6", "replace/swapped")
    yield Claim("Zero-shot replacement: kept right", "Fig. 6", "replace/kept")
    yield Claim("Zero-shot recombination: all right", "Fig. 7", "recombine/all_right")


def answer(claim: Claim, content: Content, stratum: str) -> Answer:
    """Hold a claim against the figures of a stratum.

    It holds where the whole 95% interval does, fails where none of it does, and is undecided between: the interval of
    ours against the bound, that of the paired difference to the best rival against 0. Both are over seeds where there
    are several; of one seed over images alone.
    """
    metric, better = at(claim.figure, stratum), kind_of(claim.figure).better
    own = content.interval(content.ours, metric)
    if own is None:
        return Answer("not measured")
    if better is not None and claim.bound is not None:
        return Answer(verdict(own, claim.bound, better), own)
    if better is None or not claim.rivals:
        return Answer("no bound" if claim.theirs is None else "for orientation", own)
    found = {row: content.summary[row][metric].mean for row in claim.rivals
             if row in content.subjects and metric in content.summary[row]}  # fmt: skip
    rival = (max if better == "higher" else min)(found, key=lambda row: found[row], default="")
    difference = content.difference(content.ours, rival, metric) if rival else None
    return Answer(verdict(difference, 0.0, better) if difference else "not measured", own, rival, difference)


def draw_claims(claims: Sequence[Claim], content: Content) -> list[str]:
    """Return the section: how many verdicts hold, and a row for each claim with a column for each stratum."""
    answers = {claim: [answer(claim, content, stratum) for stratum in content.strata] for claim in claims}
    every = [found.verdict for each in answers.values() for found in each]
    holds, fails, undecided = (every.count(word) for word in ("holds", "fails", "undecided"))
    seeds = "and seeds" if len(content.subjects[content.ours]) > 1 else "only, of one seed"
    rows = [
        Row(f"{claim.sentence}\n{_against(claim)}", [_cell(claim, found, content.titles) for found in each])
        for claim, each in answers.items()
    ]
    text = (
        f"Of {holds + fails + undecided} verdicts {holds} hold, {fails} fail and {undecided} are undecided. A claim"
        " holds where the whole 95% interval is on its side, fails where none of it is. In brackets: the interval of"
        f" ours; below it ours less the best rival's, item by item. Intervals are over images {seeds}. The paper's"
        " figures are of other images, for orientation; what has no bound has no verdict."
    )
    table = html.table([Cell(""), *(Cell(WORDS[stratum]) for stratum in content.strata)], rows)
    return [html.heading("What the paper claims"), html.paragraph(text), html.block("wide", [table])]


def _against(claim: Claim) -> str:
    quantity = kind_of(claim.figure)
    least, lower = ("at most", "higher") if quantity.better == "lower" else ("at least", "lower")
    words = [claim.source]
    words += [] if claim.bound is None else [f"{least} {show(claim.bound, quantity.style)}"]
    words += [f"no {lower} than the best rival"] if claim.rivals else []
    words += [] if claim.theirs is None else [f"the paper has {show_paper(claim.theirs)}"]
    return ", ".join(words)


def _cell(claim: Claim, found: Answer, titles: Mapping[str, str]) -> Cell:
    style = kind_of(claim.figure).style
    lines = [found.verdict if found.own and found.verdict != "no bound" else "", show_interval(found.own, style)]
    if found.difference is not None:
        lines.append(f"{titles[found.rival]}: {show_difference(found.difference, style)}")
    return Cell("\n".join(filter(None, lines)), {"holds": "better", "fails": "worse"}.get(found.verdict, ""))
