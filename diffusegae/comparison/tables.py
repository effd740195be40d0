"""Tables of the comparison: a row per method, figures as mean ± spread, the paper's beside them, the best marked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from diffusegae.comparison.results import Statistic, Summary, best_of
from diffusegae.metrics import figures, page
from diffusegae.metrics.figures import NOT_MEASURED
from diffusegae.metrics.page import Cell, Row

Style = Literal["share", "error", "length", "count"]

LEADS = "°"
MARKS = (
    "Bold and green: ahead of the next method by more than the spread of the seeds. °: the best mean, but not by more,"
    " or of a single seed, whose spread is unknown. ±: standard deviation over seeds. –: not measured, or the method"
    " cannot do it."
)
STYLE = """
.methods table { border-collapse: separate; border-spacing: 0; font-size: .88rem; }
.methods th, .methods td { padding: .3rem .5rem; }
.methods thead th { white-space: normal; max-width: 8rem; line-height: 1.25; }
.methods th:first-child { position: sticky; left: 0; background: var(--ground); padding-left: 0; }
.matrix table { font-size: .8rem; }
.matrix th, .matrix td { padding: .3rem .3rem; }
.matrix thead th { font-size: .78rem; }
"""


@dataclass(frozen=True)
class Column:
    """A figure of every method, and the paper's where it gives one."""

    metric: str
    label: str
    style: Style = "share"
    paper: Mapping[str, float] = field(default_factory=dict)  # method → figure
    paper_label: str = "paper"


@dataclass(frozen=True)
class Reference:
    """A row below the methods that says what figures should be held against: metric → value."""

    title: str
    values: Mapping[str, float]


def method_table(
    summary: Summary,
    titles: Mapping[str, str],
    columns: Sequence[Column],
    caption: str = "",
    references: Iterable[Reference] = (),
) -> str:
    """Return a table with one row per method of `titles`; columns that no method has are left out."""
    kept = [c for c in columns if c.paper or any(c.metric in summary[name] for name in titles)]
    among = {name: summary[name] for name in titles}
    header = [Cell("")]
    rows: dict[str, list[Cell]] = {name: [] for name in titles}
    below: list[tuple[Reference, list[Cell]]] = [(reference, []) for reference in references]
    for column in kept:
        header.append(Cell(column.label))
        for name, cells in rows.items():
            cells.append(statistic_cell(among, name, column.metric, column.style))
        for reference, cells in below:
            value = reference.values.get(column.metric)
            cells.append(Cell("" if value is None else show(value, column.style)))
        if column.paper:
            header.append(Cell(column.paper_label, "reference"))
            for name, cells in rows.items():
                value = column.paper.get(name)
                cells.append(Cell("" if value is None else show_paper(value), "reference"))
            for _, cells in below:
                cells.append(Cell("", "reference"))
    body = [Row(titles[name], cells) for name, cells in rows.items()]
    body += [Row(reference.title, cells, "guess") for reference, cells in below if reference.values]
    return page.block("methods", [page.table(header, body, caption)])


def statistic_cell(summary: Summary, name: str, metric: str, style: Style) -> Cell:
    """Return a method's figure, marked if it is the best of the summary's methods."""
    statistic = summary[name].get(metric)
    if statistic is None:
        return Cell(NOT_MEASURED)
    best = best_of(summary, metric)
    text = show_statistic(statistic, style)
    if best is None or best.name != name:
        return Cell(text)
    return Cell(text, "better") if best.exceeds_spread else Cell(text + LEADS)


def show(value: float, style: Style) -> str:
    """Write a figure: shares to three places, small errors in powers of ten, lengths and distances to one or two."""
    if style == "count":
        return f"{value:,.0f}"
    if style == "length":
        return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.2f}"
    return figures.show(value, style)


def show_paper(value: float) -> str:
    """Write a figure of the paper with no more digits than it gives."""
    return figures.show(value, "error") if abs(value) < 0.001 else f"{value:g}"


def show_statistic(statistic: Statistic, style: Style) -> str:
    """Write mean ± spread; a single seed has none."""
    return f"{show(statistic.mean, style)} {show_spread(statistic, style)}".rstrip()


def show_spread(statistic: Statistic, style: Style) -> str:
    """Write the spread alone, of lengths with as many places as their mean; empty where there is none."""
    if statistic.sd is None or (style == "count" and statistic.sd == 0):
        return ""
    if style == "length":
        text = f"{statistic.sd:,.1f}" if abs(statistic.mean) >= 100 else f"{statistic.sd:.2f}"
    else:
        text = show(statistic.sd, style)
    return "± " + (text.removeprefix("0") if text.startswith("0.") and style != "length" else text)
