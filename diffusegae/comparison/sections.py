"""The sections of the report that hold figures: the paper's tables and Fig. 10, edits, budgets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from diffusegae.comparison import paper
from diffusegae.comparison.chart import Point, draw_lines
from diffusegae.comparison.measured import Measured
from diffusegae.comparison.results import Results, statistic_of
from diffusegae.comparison.tables import (
    Column,
    Reference,
    Style,
    method_table,
    show,
    show_paper,
    show_statistic,
    statistic_cell,
)
from diffusegae.metrics import page
from diffusegae.metrics.figures import NOT_MEASURED
from diffusegae.metrics.page import Cell, Row

REPLACE, RECOMBINE = "counterfactual/replace", "counterfactual/recombine"
CLOSENESS: tuple[tuple[str, str, Style], ...] = (
    ("ssim", "SSIM", "share"),
    ("lpips", "LPIPS", "error"),
    ("mse", "MSE", "error"),
)


@dataclass(frozen=True)
class Content:
    """What the sections speak of: the methods by their titles, in order, and the attributes."""

    results: Results
    titles: Mapping[str, str]
    names: tuple[str, ...]
    ours: str  # the method that the others are held against

    def references(self, prefix: str) -> dict[str, float]:
        """Return reference figures, the same for every method, whose names begin with a prefix, without it."""
        statistics = self.results.summary[self.ours]
        return {key.removeprefix(prefix): s.mean for key, s in statistics.items() if key.startswith(prefix)}

    def table(self, columns: Sequence[Column], caption: str = "", references: Iterable[Reference] = ()) -> str:
        """Return a table of the methods."""
        return method_table(self.results.summary, self.titles, columns, caption, references)


def probes(content: Content) -> list[str]:
    """Return Table 1: what each part of a code says of each attribute."""
    names, summary = content.names, content.results.summary
    columns = [
        Column("probe/mean_diagonal", "parts know their own, mean"),
        Column("probe/mean_excess", "leak over chance, mean"),
        Column("probe/max_excess", "largest leak"),
        *(Column(f"probe/full/{name}", f"{name} from the whole code") for name in names),
        Column("code/width", "dimensions", "count"),
    ]
    chance = {f"probe/full/{name}": value for name, value in content.references("chance/").items()}
    measured = [name for name in content.titles if "probe/is_divided" in summary[name]]
    without = [title for name, title in content.titles.items() if name not in measured]
    sentence = f" No code to probe: {', '.join(without)}." if without else ""
    return [
        page.heading("What each part of the code knows (Table 1)"),
        page.paragraph(
            "Held-out accuracy of a linear probe that reads one part of the code and guesses one attribute. A part"
            " should know its own attribute (the diagonal, 1) and no other (elsewhere no better than chance). A code"
            " without parts is cut in the proportion of the parts' widths, but only"
            f" what the full code tells is its own. The paper's columns are {', '.join(paper.ATTRIBUTES)} of iLab-20M."
            + sentence
        ),
        content.table(columns, references=[Reference("chance", chance)]),
        page.block("pair", [_matrix(content, name) for name in measured]),
    ]


def _matrix(content: Content, method: str) -> str:
    names, summary = content.names, content.results.summary
    theirs = paper.TABLE_1.get(method) if len(names) == len(paper.ATTRIBUTES) else None
    header = [Cell("read from"), *(Cell(name) for name in names)]
    header += [Cell("paper", "reference")] * (len(names) if theirs else 0)
    rows = []
    for r, part in enumerate(names):
        cells = [_matrix_cell(content, method, f"probe/{part}/{name}") for name in names]
        cells += [Cell(show_paper(value), "reference") for value in theirs[r]] if theirs else []
        rows.append(Row(f"part {part}", cells))
    whole = [_matrix_cell(content, method, f"probe/full/{name}") for name in names]
    rows.append(Row("full code", whole + [Cell("", "reference")] * (len(paper.ATTRIBUTES) if theirs else 0)))
    for title in ("chance", "majority"):
        values = content.references(f"{title}/")
        cells = [Cell(show(values[name], "share")) for name in names]
        guesses = paper.CHANCE if title == "chance" else (None,) * len(paper.CHANCE)
        cells += [Cell("" if g is None else f"{g:.3f}", "reference") for g in guesses] if theirs else []
        rows.append(Row(title, cells, "guess"))
    how = "" if summary[method]["probe/is_divided"].mean == 1 else " (undivided: read the full code)"
    return page.block("methods matrix", [page.table(header, rows, content.titles[method] + how)])


def _matrix_cell(content: Content, method: str, metric: str) -> Cell:
    among = {name: content.results.summary[name] for name in content.titles}
    cell = statistic_cell(among, method, metric, "share")
    statistic = among[method].get(metric)
    return cell if statistic is None else replace(cell, tint=0.5 * max(0.0, min(1.0, statistic.mean)))


def reconstructions(content: Content) -> list[str]:
    """Return Table 2 with inferred and with random x_T."""
    truths = content.references("judge/truths/")
    tables = []
    for how, theirs, what in (
        ("inferred", paper.INFERRED, "With all that can be inferred of an image, x_T too."),
        ("random", paper.RANDOM, "From the code alone, x_T is random."),
    ):
        prefix = f"reconstruct/{how}"
        columns = [
            Column(f"{prefix}/{key}", label, style, {name: getattr(row, key) for name, row in theirs.items()})
            for key, label, style in CLOSENESS
        ]
        columns += [
            Column(f"{prefix}/fd_vgg16", "FD VGG16", "length"),
            Column(f"{prefix}/fid", "FID (not measured)", "length", {name: row.fid for name, row in theirs.items()}),
            Column(f"{prefix}/all_right", "judge: all attributes right"),
        ]
        judged = {f"{prefix}/all_right": truths["all_right"]} if truths else {}
        tables.append(content.table(columns, what, [Reference("true images", judged)]))
    return [
        page.heading("Reconstruction (Table 2)"),
        page.paragraph(
            "The paper's figures, of other images at 128 px, stand beside ours for orientation only. Methods without"
            " an x_T have the same figures in both tables. FID needs Inception's weights, which are not available"
            " here: not measured. FD VGG16 is the Fréchet distance on VGG16's features, not comparable with FID."
        ),
        *tables,
    ]


def recombinations(content: Content) -> list[str]:
    """Return what the judge reads from recombinations, and how near they are to the true images."""
    truths = {f"{RECOMBINE}/{key}": value for key, value in content.references("judge/truths/").items()}
    chance = {f"{RECOMBINE}/{name}/right": value for name, value in content.references("chance/").items()}
    columns = [
        *(Column(f"{RECOMBINE}/{name}/right", f"{name} right") for name in content.names),
        Column(f"{RECOMBINE}/all_right", "all right"),
        Column("recombine/fd_vgg16", "FD VGG16", "length"),
        *_closeness(RECOMBINE),
    ]
    return [
        page.heading("Recombination against the true image"),
        page.paragraph(
            "Every attribute comes from another held-out image, x_T is random. The share in which the judge reads the"
            " wanted value, and the distance to the image that should have come out. What the judge reads from the"
            " true images themselves is the most that it would grant. The paper gives pictures only (Fig. 7)."
        ),
        content.table(columns, "", [Reference("true images", truths), Reference("chance", chance)]),
    ]


def replacements(content: Content) -> list[str]:
    """Return what the judge reads from replacements of one attribute, of all and attribute by attribute."""
    columns = [
        Column(f"{REPLACE}/swapped_right", "swapped right"),
        Column(f"{REPLACE}/kept_right", "kept right"),
        Column(f"{REPLACE}/all_kept_right", "every kept right"),
        *_closeness(REPLACE),
    ]
    single = [
        Column(f"{REPLACE}/{name}/{quantity}", f"{name}: {label}")
        for name in content.names
        for quantity, label in (("swapped_right", "right"), ("all_kept_right", "others kept"))
    ]
    return [
        page.heading("Replacement of one attribute against the true image"),
        page.paragraph(
            "One attribute comes from a donor that differs in every one, the source must otherwise stay what it is."
            " The paper gives pictures only (Fig. 6)."
        ),
        content.table(columns, "All replacements."),
        content.table(single, "By the attribute that was swapped."),
    ]


def _closeness(prefix: str) -> list[Column]:
    return [Column(f"{prefix}/{key}", f"{label} to the truth", style) for key, label, style in CLOSENESS]


def disentanglement(content: Content) -> list[str]:
    """Return DCI, MIG and SAP, per dimension and per part."""
    columns = [
        Column("dci/informativeness", "DCI I"),
        *(
            Column(f"{prefix}{key}", f"{label}{where}")
            for prefix, where in (("part_", " per part"), ("", " per dimension"))
            for key, label in (
                ("dci/disentanglement", "DCI D"),
                ("dci/completeness", "DCI C"),
                ("mig/mean_gap", "MIG"),
                ("sap/mean_gap", "SAP"),
            )
        ),
    ]
    return [
        page.heading("DCI, MIG and SAP"),
        page.paragraph(
            "The field's measures of how far each attribute sits in a place of its own. Per part a whole part counts as"
            " one unit, which is what methods with parts aim at; per dimension they cannot reach 1. Not in the paper."
        ),
        content.table(columns),
    ]


def silhouettes(content: Content) -> str:
    """Return how well the values of each attribute separate, in its own part and in the whole code."""
    columns = [
        Column(f"silhouette/{where}/{name}", f"{name}, {label}")
        for name in content.names
        for where, label in (("part", "its part"), ("full", "whole code"))
    ]
    sentence = "Silhouette of each attribute's values: 1 apart, 0 mixed, below it misplaced."
    return page.paragraph(sentence, "soft") + content.table(columns)


def smoothness(content: Content, steps: Sequence[int], measured: Mapping[str, Measured]) -> list[str]:
    """Return Fig. 10: path lengths by sampling steps, as a table, a chart, and pair by pair."""
    summary = content.results.summary
    columns = [
        Column(f"ppl/T{T}", f"T = {T}", "length", {name: row[T] for name, row in paper.PATH_LENGTH.items() if T in row})
        for T in steps
    ]
    series = {
        title: [Point(T, s.mean, s.sd or 0.0) for T in steps if (s := summary[name].get(f"ppl/T{T}"))]
        for name, title in content.titles.items()
    }
    drawn = {title: line for title, line in series.items() if line}
    return [
        page.heading("Smoothness of interpolation (Fig. 10)"),
        page.paragraph(
            "Perceptual path length: how far the picture moves along a straight path between two codes; lower is"
            " smoother. Measured where the pictures are sampled from a code, as the paper does, on LPIPS of VGG16."
        ),
        content.table(columns),
        *([draw_lines("Perceptual path length by sampling steps", drawn, "sampling steps T")] if drawn else []),
        *_paired(content, steps, measured),
    ]


def _paired(content: Content, steps: Sequence[int], measured: Mapping[str, Measured]) -> list[str]:
    """Return in how many pairs of images our path is shorter than each other method's."""
    own = measured[content.ours].examples if content.ours in measured else {}
    rows, counts = [], list[int]()
    for name, title in content.titles.items():
        theirs = measured[name].examples if name in measured and name != content.ours else {}
        shares = [_share_shorter(own.get(f"ppl_T{T}"), theirs.get(f"ppl_T{T}")) for T in steps]
        if any(share is not None for share in shares):
            counts = [len(own[f"ppl_T{T}"]) for T in steps if f"ppl_T{T}" in own]
            rows.append(Row(title, [Cell(NOT_MEASURED if share is None else f"{share:.0%}") for share in shares]))
    if not rows:
        return []
    errors = ", ".join(f"{50 / count**0.5:.1f}" for count in counts)
    return [
        page.paragraph(
            f"Share of the pairs of images on which the path of {content.titles[content.ours]} is shorter than that"
            f" of another method, of one seed; standard error at most {errors} points. PPL is a mean, this is not:"
            " where pictures mostly stand still and now and then jump, most paths are shorter and their mean is longer."
        ),
        page.block("methods", [page.table([Cell("than"), *(Cell(f"T = {T}") for T in steps)], rows)]),
    ]


def _share_shorter(own: np.ndarray | None, theirs: np.ndarray | None) -> float | None:
    if own is None or theirs is None or len(own) != len(theirs):
        return None
    return float(np.mean(own < theirs))


def budgets(content: Content) -> list[str]:
    """Return what each method's training took."""
    rows = []
    for name, title in content.titles.items():
        found = [finding for finding in content.results.findings if finding.name == name]
        seconds, images = (statistic_of(getattr(f, key) for f in found) for key in ("seconds", "images"))
        texts = [show_statistic(seconds, "count"), show_statistic(images, "count"), f"{found[0].parameters:,}"]
        seeds = ", ".join(str(finding.seed) for finding in found)
        rows.append(Row(title, [Cell(text) for text in (*texts, f"{len(found)} ({seeds})")]))
    header = [Cell(text) for text in ("", "seconds of training", "images seen", "parameters", "seeds")]
    return [page.heading("Budgets"), page.block("methods", [page.table(header, rows)])]
