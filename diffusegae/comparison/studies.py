"""The ablations in the report: a table per question, a row per variant, marked where it differs from the config."""

from collections.abc import Sequence

from diffusegae.comparison.results import Ablations, Statistic, Study, lead_of, spread_of
from diffusegae.comparison.sections import RECOMBINE, REPLACE
from diffusegae.comparison.tables import Column, show, show_statistic
from diffusegae.metrics import page
from diffusegae.metrics.figures import NOT_MEASURED
from diffusegae.metrics.page import Cell, Row

# What variants are judged by, where it was measured; and PPL at the fewest steps.
KEY_FIGURES: tuple[Column, ...] = (
    Column("probe/mean_diagonal", "parts know their own"),
    Column("probe/mean_excess", "and leak"),
    Column("reconstruct/inferred/ssim", "SSIM inferred x_T"),
    Column("reconstruct/random/ssim", "SSIM random x_T"),
    Column(f"{RECOMBINE}/all_right", "recombined: all right"),
    Column(f"{REPLACE}/swapped_right", "swapped right"),
    Column(f"{REPLACE}/all_kept_right", "every kept right"),
    Column(f"{REPLACE}/lpips", "LPIPS to the true render", "error"),
    Column("reconstruct/random/fd_vgg16", "FD VGG16", "length"),
    Column("part_dci/disentanglement", "DCI D per part"),
)
INTRODUCTION = (
    "Our own method with one thing changed, held against the config itself after stage 2 (the first row). What must be"
    " trained for it is trained with the first seed alone, and taken to vary as much as the config does over its seeds."
    " Green or red: better or worse than the config by more than the spread of both; of one seed no spread is known"
    " and nothing is marked. ±: standard deviation over seeds."
)


def draw_ablations(ablations: Ablations, shortest: int) -> list[str]:
    """Return a table for each question, of the key figures and PPL at `shortest` steps; nothing without ablations."""
    if not ablations:
        return []
    columns = (*KEY_FIGURES, Column(f"ppl/T{shortest}", f"PPL, T = {shortest}", "length"))
    body = [page.heading("Ablations"), page.paragraph(INTRODUCTION)]
    for question, studies in ablations.items():
        body += [page.heading(question, 3), page.block("methods", [_table(studies, columns)])]
    return body


def _table(studies: Sequence[Study], columns: Sequence[Column]) -> str:
    kept = [column for column in columns if any(column.metric in study.figures for study in studies)]
    whole = studies[0]
    rows = [
        Row(
            study.name,
            [
                *(compare(study.figures.get(c.metric), whole.figures.get(c.metric), c) for c in kept),
                Cell(show_statistic(study.seconds, "count")),
                Cell(str(study.seconds.n)),
            ],
        )
        for study in studies
    ]
    labels = [column.label for column in kept]
    return page.table([Cell(text) for text in ("", *labels, "seconds of training", "seeds")], rows)


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
