"""The ablations in the report: one table, a row per variant, marked where it differs from the config."""

from collections.abc import Sequence

from diffusegae.comparison.results import Ablations, Statistic, Study, lead_of, spread_of
from diffusegae.comparison.sections import RECOMBINE, REPLACE
from diffusegae.comparison.tables import Column, show, show_statistic
from diffusegae.metrics import page
from diffusegae.metrics.figures import NOT_MEASURED
from diffusegae.metrics.page import Cell, Row

# What variants are judged by, where it was measured, beside PPL at the fewest steps.
KEY_FIGURES: tuple[Column, ...] = (
    Column("probe/mean_diagonal", "parts know their own"),
    Column("probe/mean_excess", "and leak"),
    Column("reconstruct/random/ssim", "SSIM, random x_T"),
    Column("reconstruct/random/mse", "MSE, random x_T", "error"),
    Column("reconstruct/random/fd_vgg16", "FD VGG16", "length"),
    Column(f"{RECOMBINE}/all_right", "recombined: all right"),
    Column(f"{REPLACE}/swapped_right", "swapped right"),
    Column(f"{REPLACE}/all_kept_right", "every kept right"),
    Column(f"{REPLACE}/lpips", "LPIPS to the truth", "error"),
)
INTRODUCTION = (
    "Our own method with one thing changed, held against the config itself after stage 2 (the first row). What must be"
    " trained for it is trained with the first seed alone, and taken to vary as much as the config does over its seeds."
    " Green or red: better or worse than the config by more than the spread of both; of one seed no spread is known"
    " and nothing is marked, and no part leaks less than one at chance. ±: standard deviation over seeds."
)
STYLE = """
.ablations { width: min(100vw - 2.2rem, 1560px); margin-left: 50%; transform: translateX(-50%); }
.ablations table { font-size: .82rem; margin: 0 auto; }
.ablations th, .ablations td { padding: .26rem .4rem; }
.ablations thead th { font-size: .78rem; white-space: normal; min-width: 4.6rem; }
.ablations tbody th { padding-left: 1rem; white-space: normal; min-width: 10.5rem; }
.ablations tbody th { position: sticky; left: 0; background: var(--ground); }
.ablations tr.question td { border-bottom: 0; }
.ablations tr.question th { border-bottom: 0; padding: .9rem 0 .1rem; font-weight: 700; }
"""


def draw_ablations(ablations: Ablations, shortest: int) -> list[str]:
    """Return a table of the key figures and PPL at `shortest` steps, by question; nothing without ablations."""
    if not ablations:
        return []
    every = [study for studies in ablations.values() for study in studies]
    columns = [
        column
        for column in (Column(f"ppl/T{shortest}", f"PPL, T = {shortest}", "length"), *KEY_FIGURES)
        if any(column.metric in study.figures for study in every)
    ]
    header = [Cell(text) for text in ("", *(column.label for column in columns), "seconds of training")]
    whole = every[0]
    rows = [_row(whole, whole, columns)]
    for question, studies in ablations.items():
        rows.append(Row(question, [Cell("")] * (len(header) - 1), "question"))
        rows += [_row(study, whole, columns) for study in studies[1:]]
    body = page.block("ablations", [page.table(header, rows)])
    return [page.heading("Ablations"), page.paragraph(INTRODUCTION), body]


def _row(study: Study, whole: Study, columns: Sequence[Column]) -> Row:
    figures = [
        compare(study.figures.get(column.metric), whole.figures.get(column.metric), column) for column in columns
    ]
    return Row(study.name, [*figures, Cell(show_statistic(study.seconds, "count"))])


def compare(varied: Statistic | None, whole: Statistic | None, column: Column) -> Cell:
    """Return a variant's figure, marked if it differs from the config's by more than the spread, and visibly."""
    if varied is None:
        return Cell(NOT_MEASURED)
    text = show_statistic(varied, column.style)
    if whole is None:
        return Cell(text)
    spread = spread_of(whole, varied if varied.sd is not None else whole)
    lead = lead_of(column.metric, varied.mean, whole.mean)
    seen = show(varied.mean, column.style) != show(whole.mean, column.style)
    if spread is None or abs(lead) <= spread or not seen:
        return Cell(text)
    return Cell(text, "better" if lead > 0 else "worse")
