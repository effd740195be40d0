"""The sections that evaluation's and comparison's pages share, as plain data: a text and the figures to show."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

import yaml

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.splits import STRATA
from diffusegae.evaluation.results import statistic_of
from diffusegae.report import html
from diffusegae.report.charts import line_chart
from diffusegae.report.content import WORDS, Content, at
from diffusegae.report.grids import draw_grids
from diffusegae.report.html import Cell, Row
from diffusegae.report.tables import CLOSENESS, MARKS, figure_table, kind_of, label_of, show, show_interval, show_spread

APART = ("dci_disentanglement", "dci_completeness", "mig")
TILES = ("codes/leak", "recombine/all_right", "replace/swapped", "replace/all_kept", "replace/lpips",
         "reconstruct/ssim")  # fmt: skip
COUNTED = ("codes/count", "reconstruct_random/count", "replace/count", "recombine/count")
KINDS = ("truths/rendered", "truths/held_out", "truths/none")
TRUTHS = (
    "Seen pairs: each two values of the image occur together in training. Unseen pair: two of them never do. Unseen"
    " instance: a value that no training image has. No ground truth of an edit has trained a model, a probe or the"
    " classifier: it is rendered for the purpose, or held out."
)
EDITS = {"replace": "replacement", "recombine": "recombination"}
NO_TRUTHS = " There is no ground truth of any {} in this set; it is judged by the attribute classifier alone."
PROBES = (
    "Held-out accuracy of a probe that reads one part of the code and guesses one attribute. A part should know its own"
    " attribute and no other. Leak = accuracy − reference, what the same probe reads from codes that hold the own value"
    " and nothing else: below 1/K where combinations are held out. A decoder is not linear, so a small MLP probes too."
)
DISENTANGLEMENT = (
    "How far each attribute sits in a place of its own: a part counts as one unit; by single dimensions a method"
    " with parts cannot reach 1. Silhouettes of an attribute's values: 1 apart, 0 mixed, below it misplaced."
)
RECONSTRUCTIONS = (
    "Methods without an x_T have the same figures with either. The paper's FID needs Inception's weights; the distance"
    " on VGG16's features is not comparable with it."
)
RECOMBINATIONS = (
    "Every attribute comes from another held-out image, x_T is random. The classifier grants no more than it reads from"
    " true images; no edit beats the floor on average. A copy is much nearer to a training picture than the truth is."
)
REPLACEMENTS = (
    "One attribute comes from a donor that differs in every one, x_T from the source. An unseen instance keeps its own"
    " and is given other values of the others. Sources brought back unedited are what kept attributes can reach."
)
SMOOTHNESS = "How far the sampled picture moves along a straight path between two codes, on LPIPS of VGG16."
PROCEDURE = (
    "The attribute classifier was trained on true training images and, where pictures can be rendered, on as many of"
    " their values in any combination: on no value held out, and on no picture that is held against an edit. Images are"
    " drawn anew for intervals: all items that stand on one together, the same for two rows that are compared.",
    "Not recognisable: of a row's reconstructions (of its replacements, where it has none) fewer are read right than"
    " 0.8 of what the classifier reads right in true images.",
    "Probes, DCI, MIG and silhouettes read the dimensions that a method's parts cover; an undivided code is cut in the"
    " proportion of the attributes' widths, but all that the full code tells is its own.",
)


@dataclass(frozen=True)
class Section:
    """A title, what to know, what draws its tables (empty where nobody measured it), and a kind of `draw_grids`."""

    title: str
    text: str
    parts: Sequence[Callable[[Content], str]]
    pictures: str = ""


def plan_sections(names: Sequence[str], steps: Sequence[int]) -> list[Section]:
    """Return the sections of figures, for attributes of these names and paths of so many sampling steps."""

    def of_each(*figures: str) -> list[str]:
        return [f"{figure}/{name}" for name in names for figure in figures]

    def table(figures: Sequence[str]) -> Callable[[Content], str]:
        return partial(figure_table, figures=figures)

    def near(measure: str) -> Callable[[Content], str]:
        return table([f"{measure}/{key}" for key in CLOSENESS])

    apart = ["codes/dci_informativeness", *(f"codes/{way}{key}" for way in ("part_", "") for key in APART)]
    paths = [f"path/ppl/T{T}" for T in steps]
    single = table(of_each("replace/swapped", "replace/all_kept", "replace/lpips"))
    return [
        Section("What was judged", "", (_judged,)),
        Section("What each part of the code knows (Table 1)", PROBES,
                (table(("codes/leak", "codes/leak_max")), table(("codes/mlp_leak", "codes/mlp_leak_max")),
                 table(of_each("codes/own")), table(of_each("codes/full")), _matrices), "codes"),
        Section("DCI, MIG and silhouettes", DISENTANGLEMENT,
                (table(apart), table(of_each("codes/silhouette_part", "codes/silhouette_full")))),
        Section("Reconstruction (Table 2)", RECONSTRUCTIONS,
                (near("reconstruct"), near("reconstruct_random"),
                 table(("reconstruct/all_right", "reconstruct_random/all_right", "reconstruct_random/fd_vgg16"))),
                "reconstruct"),
        Section("Recombination against the true image", RECOMBINATIONS,
                (table(of_each("recombine/right")), near("recombine"),
                 table(("recombine/all_right", "recombine/copied", "recombine/fd_vgg16"))), "recombine"),
        Section("Replacement of one attribute against the true image", REPLACEMENTS,
                (table(("replace/swapped", "replace/kept", "replace/all_kept")), near("replace"),
                 table(("unedited/all_right", "replace/copied")),
                 lambda content: html.folded("By the attribute that was swapped", single(content))), "replace"),
        Section("Smoothness of interpolation (Fig. 10)", SMOOTHNESS, (table(paths), partial(_path_chart, steps=steps))),
        Section("Interpolation (Figs 8 and 9)", "", (), "interpolate"),
        Section("Budgets", "", (_budgets,)),
    ]  # fmt: skip


def opening(content: Content, title: str, about: str) -> list[str]:
    """Return the title, what the page is about, and the figures of the row that it is about."""
    own, tiles = content.summary[content.ours], []
    for figure in TILES:
        quantity, found = kind_of(figure), {WORDS[s]: own.get(at(figure, s)) for s in content.strata}
        shown = [(word, show(each.mean, quantity.style)) for word, each in found.items() if each]
        if shown:
            note = "; ".join([f"{quantity.better} is better", *(f"{word}: {text}" for word, text in shown[1:])])
            tiles.append(html.tile(label_of(figure), shown[0][1], note))
    absent = [WORDS[stratum] for stratum in STRATA if stratum not in content.strata]
    strata = f"Large figures are of {WORDS[content.strata[0]]}." if content.strata else ""
    strata += f" There are no images of: {', '.join(absent)} (data.holdout asks for them)." if absent else ""
    return [
        html.heading(title, 1),
        html.paragraph(f"{about} The tiles are of {content.titles[content.ours]}. {strata}", "soft"),
        html.block("tiles", tiles),
        html.paragraph(MARKS, "soft"),
    ]


def draw_sections(content: Content, steps: Sequence[int], output: Path) -> list[str]:
    """Return all sections of figures, each with its pictures, which are also written; one without any is left out."""
    drawn, grids = [], draw_grids(content)
    for kind, each in grids.items():
        for number, picture in enumerate(each):
            (output / f"{kind}-{number}.png").write_bytes(picture.png)
    for section in plan_sections(content.names, steps):
        parts = [part(content) for part in section.parts]
        parts += [html.picture(each.title, each.png, each.caption) for each in grids.get(section.pictures, ())]
        if any(parts):
            drawn += [html.heading(section.title), html.paragraph(section.text), *parts]
    return drawn


def method(config: PipelineConfig, lines: Iterable[str]) -> list[str]:
    """Return how it was measured, and the config."""
    compare, text = config.compare, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    pairs = ", ".join(f"{compare.pairs_at(T):,} (T = {T})" for T in compare.path_steps)
    told = (
        f"Methods that sample take {config.sampling.sampler} with T = {config.sampling.steps} where x_T is inferred for"
        f" reconstruction, and {config.evaluate.edit_steps} steps for random x_T and edits; x_T of an item comes from"
        " one seed for all. MSE and SSIM are on [0, 1].",
        f"The Fréchet distance is taken between {compare.num_generated:,} generated and as many true held-out images"
        " (fewer if there are not so many), and biased upwards where that is not several times 512.",
        f"Path length: {pairs} pairs of held-out images, Lerp of the code that the method interpolates, the same x_T at"
        " both ends of a step, step 1e-4, the outermost percent dropped.",
    )
    return [
        html.heading("How it was measured"),
        html.bullets([*told, *PROCEDURE, *lines]),
        html.folded("The whole config", f"<pre>{escape(text)}</pre>"),
    ]


def _judged(content: Content) -> str:
    """Return how much was judged in each stratum, against which ground truth, and how well the classifier reads."""
    figures = [*COUNTED, *KINDS, *(f"judge/accuracy/{name}" for name in content.names)]
    rows = [Row(label_of(figure), [Cell(_amount(content, figure, s)) for s in content.strata]) for figure in figures]
    found = {metric for figures in content.summary.values() for metric in figures}

    def has(figure: str) -> bool:
        return bool(found & {at(figure, stratum) for stratum in content.strata})

    lacking = [what for edit, what in EDITS.items() if has(f"{edit}/count") and not has(f"{edit}/mse")]
    table = html.table([Cell(""), *(Cell(WORDS[stratum]) for stratum in content.strata)], rows)
    return html.paragraph(TRUTHS + "".join(NO_TRUTHS.format(what) for what in lacking)) + table


def _amount(content: Content, figure: str, stratum: str) -> str:
    metric, known = at(figure, stratum), content.known
    found = max((f[metric].mean for f in content.summary.values() if metric in f), default=known.get(metric))
    if figure in KINDS and found is not None:
        return show(found * known[at("truths/count", stratum)], "count")
    return show(found, kind_of(figure).style)


def _matrices(content: Content) -> str:
    """Return what each part of each row's codes tells, the strata after the first folded."""
    coded = [row for row, found in content.summary.items() if any(metric.startswith("codes/") for metric in found)]
    found = {s: [_matrix(content, row, f"codes/{s}") for row in coded] for s in content.strata_of("codes/leak")}
    drawn = [html.folded(f"Part by part: {WORDS[s]}", html.block("pair wide", tables), is_open=s == STRATA[0])
             for s, tables in found.items()]  # fmt: skip
    without = ", ".join(title for row, title in content.titles.items() if row not in coded)
    return "".join([*drawn, html.paragraph(f"No code to probe: {without}.") if drawn and without else ""])


def _matrix(content: Content, row: str, place: str) -> str:
    rows = [Row(f"part {p}", [_reading(content, row, place, p, name) for name in content.names]) for p in content.names]
    width, divided = (content.summary[row].get(f"codes/{STRATA[0]}/{key}") for key in ("width", "is_divided"))
    caption = f"{content.titles[row]}, {show(width.mean if width else None, 'count')} dimensions"
    caption += " (undivided: read the full code)" if divided and divided.mean < 1 else ""
    return html.table([Cell("read from"), *map(Cell, content.names)], rows, caption)


def _reading(content: Content, row: str, place: str, part: str, name: str) -> Cell:
    """Return accuracy, and below it reference and leak, by the linear probe and the MLP."""
    found, is_own = content.summary[row], part == name
    accuracy = found.get(f"{place}/own/{name}" if is_own else f"{place}/reads/{part}/{name}")
    if accuracy is None:
        return Cell(show(None, "share"))
    lines = [show(accuracy.mean, "share")]
    if is_own and (mlp := found.get(f"{place}/mlp_own/{name}")):
        lines.append(f"MLP {show(mlp.mean, 'share')}")
    for kind, label in (("leak", ""), ("mlp_leak", "MLP ")):
        if leak := content.interval(row, f"{place}/{kind}/{part}/{name}"):
            lines += [] if label else [f"reference {show(accuracy.mean - leak.mean, 'share')}"]
            lines.append(label + show_interval(leak, "signed"))
    return Cell("\n".join(lines), "own" if is_own else "", 0.3 * min(1.0, max(0.0, accuracy.mean)))


def _path_chart(content: Content, steps: Sequence[int]) -> str:
    """Return path lengths by sampling steps; empty where none was measured."""
    stratum = next((s for T in steps for s in content.strata_of(f"path/ppl/T{T}")), "")
    lines = {
        title: {float(T): i for T in steps if stratum and (i := content.interval(row, f"path/{stratum}/ppl/T{T}"))}
        for row, title in content.titles.items()
    }
    lines = {title: line for title, line in lines.items() if line}
    title = f"Path length by sampling steps: {WORDS.get(stratum)}"
    return html.block("charts single", [line_chart(title, lines, "sampling steps T", log=True)]) if lines else ""


def _budgets(content: Content) -> str:
    """Return what each row's training took, and what is to be known of it."""
    rows = []
    for row, each in content.subjects.items():
        found = [judged.finding for judged in each]
        spent = [statistic_of(getattr(finding, key) for finding in found) for key in ("seconds", "images")]
        texts = [f"{show(each.mean, 'count')} {show_spread(each, 'count')}".rstrip() for each in spent]
        texts += [f"{found[0].parameters:,}", ", ".join(str(finding.seed) for finding in found)]
        notes = "\n".join(dict.fromkeys(note for finding in found for note in finding.notes))
        rows.append(Row(content.titles[row], [*map(Cell, texts), Cell(notes, "text")]))
    header = ("", "seconds of training", "images seen", "parameters", "seeds")
    return html.table([*map(Cell, header), Cell("notes", "text")], rows)
