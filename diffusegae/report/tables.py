"""Tables: a row per method, each figure by stratum with its interval, the paper's beside it, references below."""

import math
from collections.abc import Mapping, Sequence

from diffusegae.data.splits import STRATA
from diffusegae.evaluation.results import Statistic
from diffusegae.metrics.quantity import Quantity, Style
from diffusegae.metrics.table import quantity_of
from diffusegae.metrics.uncertainty import Interval
from diffusegae.report import html, paper
from diffusegae.report.content import WORDS, Content, at, excludes_zero
from diffusegae.report.html import WARNING, Cell, Row
from diffusegae.schema import Attribute

NOT_MEASURED = "–"
MARKS = (
    "Small, in brackets: the 95% interval, by bootstrap over images and, where there are several, over seeds. Bold and"
    " green: ahead of the next row, the interval of the paired difference excludes 0. °: the best mean, not proven to"
    " be. ±: standard deviation over seeds, of figures that are no means over images. Paper: its figure, of iLab-20M at"
    " 128 px, for orientation only. –: not measured, or the method cannot do it."
)
MEASURES: Mapping[str, str] = {
    "codes": "codes: ", "reconstruct": "inferred x_T: ", "reconstruct_random": "random x_T: ", "unedited": "unedited: ",
    "replace": "replaced: ", "recombine": "recombined: ",
}  # fmt: skip
WITH_FLOOR = ("reconstruct_random", "replace", "recombine")  # their pictures are drawn anew
CLOSENESS = ("lpips", "ssim", "mse")


def kind_of(figure: str) -> Quantity:
    """Return the quantity of a figure that has no stratum in its name."""
    return quantity_of(at(figure, ""))


def label_of(figure: str) -> str:
    """Return what tables call a figure: measure, quantity, and the attribute or the like that it is of."""
    measure, _, *detail = figure.split("/")
    return MEASURES.get(measure, "") + ", ".join([kind_of(figure).label, *detail])


def references_of(figure: str) -> dict[str, str]:
    """Return what a figure should be held against: the title of a row → a figure of the references."""
    measure, key, *name = figure.split("/")
    if measure == "codes":
        words = {"chance": "chance", "majority": "always the commonest value"} if key in ("own", "full") else {}
        return {title: f"judge/{guess}/{name[0]}" for guess, title in words.items()}
    if key in CLOSENESS and not name and measure in WITH_FLOOR:
        return {"floor: two draws of one label": f"floor/{key}"}
    found = {"true images": "/".join(["truths", key, *name])} if key in ("right", "all_right") else {}
    return found | ({"chance": f"judge/chance/{name[0]}"} if key == "right" else {})


def figure_table(content: Content, figures: Sequence[str], *, against: str = "") -> str:
    """Return a table with a group of columns per figure, a column per stratum; empty if no row has any figure.

    Figures are held against the row `against` if it is given, else the best are marked.
    """
    groups, header = [Cell("")], [Cell("")]
    lines: dict[str, list[Cell]] = {row: [] for row in content.subjects}
    below: dict[str, list[Cell]] = {title: [] for figure in figures for title in references_of(figure)}
    for figure in figures:
        strata, known = content.strata_of(figure), references_of(figure)
        groups += [Cell(label_of(figure), "group", span=len(strata))] if strata else []
        for stratum in strata:
            place = "first" if stratum == strata[0] else ""
            header.append(Cell(WORDS[stratum], place))
            for row, cells in lines.items():
                cells.append(figure_cell(content, row, figure, stratum, place, against))
            for title, cells in below.items():
                # What is said of the whole set stands at the first stratum.
                metrics = [at(known[title], s) for s in (stratum, STRATA[0]) if title in known]
                value = next((content.known[metric] for metric in metrics if metric in content.known), None)
                cells.append(Cell("" if value is None else show(value, kind_of(figure).style), place))
    rows = [Row(name_row(content, row), cells) for row, cells in lines.items()]
    rows += [Row(title, cells, "guess") for title, cells in below.items() if any(cell.text for cell in cells)]
    return html.block("wide", [html.table(header, rows, groups=groups)]) if len(header) > 1 else ""


def name_row(content: Content, row: str) -> str:
    """Return a row's title; where its pictures are not recognisable, a warning and its notes."""
    if (warning := content.recognised(row)) is None:
        return content.titles[row]
    notes = dict.fromkeys(note for judged in content.subjects[row] for note in judged.finding.notes)
    told = f"{WARNING}not recognisable: {warning[1]} read right in {warning[0]:.0%} of its pictures"
    return "\n".join([content.titles[row], told, *notes])


def figure_cell(content: Content, row: str, figure: str, stratum: str, classes: str = "", against: str = "") -> Cell:
    """Return a row's figure with its interval, marked if it is the best, and the paper's of other images.

    Held against another row: with the paired difference to it, marked if the interval of that excludes 0.
    """
    metric, quantity = at(figure, stratum), kind_of(figure)
    statistic, mark = content.summary[row].get(metric), ""
    if statistic is None:
        return Cell(NOT_MEASURED, classes)
    if against:
        lines = [show(statistic.mean, quantity.style)]
        if row != against and (difference := content.difference(row, against, metric)):
            lines += show_difference(difference, quantity.style).split(" ", 1)
            if excludes_zero(difference) and quantity.better is not None:
                mark = "better" if quantity.lead(difference.mean, 0.0) > 0 else "worse"
        return Cell("\n".join(lines), f"{classes} {mark}".strip())
    interval, best = content.interval(row, metric), content.best(metric)
    lines = [show(statistic.mean, quantity.style), show_spread(statistic, quantity.style)]
    lines = show_interval(interval, quantity.style).split(" ", 1) if interval else lines
    if best is not None and best[0] == row:
        mark = "better" if best[1] else ""
        lines[0] += "" if best[1] else "°"
    theirs = paper.FIGURES.get(figure, {}).get(content.published.get(row, row))
    lines.append(f"paper {show_paper(theirs)}" if theirs is not None and stratum == STRATA[0] else "")
    return Cell("\n".join(filter(None, lines)), f"{classes} {mark}".strip())


def show(value: float | None, style: Style) -> str:
    """Write a figure: shares to three places, small errors in powers of ten, lengths and distances to one or two."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    if style == "count":
        return f"{value:,.0f}"
    if style == "length":
        return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.2f}"
    if style == "signed":
        return f"{value:+.3f}".replace("-", "−")
    if style == "share":
        return f"{value:.3f}"
    if abs(value) < 0.001 and value != 0:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.4f}"


def count_values(attribute: Attribute) -> str:
    """Write how many values an attribute has, and how many of them are judged where that are not all."""
    judged = f", the {len(attribute.named):,} most frequent judged" if attribute.named else ""
    return f"{len(attribute.values):,} values{judged}"


def show_paper(value: float) -> str:
    """Write a figure of the paper with no more digits than it gives."""
    return show(value, "error") if abs(value) < 0.001 else f"{value:g}"


def show_interval(interval: Interval | None, style: Style) -> str:
    """Write a figure and the ends of its interval."""
    if interval is None:
        return NOT_MEASURED
    return f"{show(interval.mean, style)} [{show(interval.low, style)}, {show(interval.high, style)}]"


def show_difference(interval: Interval, style: Style) -> str:
    """Write a difference with its sign and its interval."""
    mean, low, high = (
        ("−" if value < 0 else "+") + show(abs(value), "share" if style == "signed" else style)
        for value in (interval.mean, interval.low, interval.high)
    )
    return f"{mean} [{low}, {high}]"


def show_spread(statistic: Statistic, style: Style) -> str:
    """Write the standard deviation over seeds; empty where there is none."""
    return f"± {show(statistic.sd, 'share' if style == 'signed' else style)}" if statistic.sd else ""


def text_table(header: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return lines with aligned columns: the first to the left, the others to the right."""
    lines = [list(header), *([title, *cells] for title, cells in rows)]
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    padded = [[c.rjust(width) for c, width in zip(line[1:], widths, strict=True)] for line in lines]
    return ["  ".join([line[0].ljust(first), *cells]) for line, cells in zip(lines, padded, strict=True)]
