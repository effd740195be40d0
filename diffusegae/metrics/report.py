"""The report of an evaluation: one `report.html` that opens without a server, and a summary for the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.metrics import page
from diffusegae.metrics.evaluation import Evaluation
from diffusegae.metrics.figures import (
    Figure,
    compare_recombinations,
    compare_reconstructions,
    compare_replacements,
    show,
)
from diffusegae.metrics.page import Cell, Row
from diffusegae.metrics.probe import ProbeMatrix

REPORT = "report.html"
GUESSES = ("chance", "majority")
# The paper's Table 2, DiffuseGAE with T = 100, 50,000 images of 128 px.
PAPER_RECONSTRUCTIONS = {
    "SSIM inferred x_T": 0.989,
    "LPIPS inferred x_T": 0.012,
    "MSE inferred x_T": 8.56e-5,
    "SSIM random x_T": 0.549,
    "LPIPS random x_T": 0.073,
    "MSE random x_T": 0.011,
}
PAPER = "paper, iLab-20M"

Curves = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]  # stage → metric → (samples seen, value)


def write_report(evaluation: Evaluation, config: PipelineConfig, output: Path, curves: Curves | None = None) -> Path:
    """Write report.html into the folder, with training curves if there are any; return its path."""
    body = [
        *_opening(evaluation, config),
        *_probes(evaluation),
        *_reconstructions(evaluation),
        *_edits(evaluation),
        *_more_pictures(evaluation),
        *_training(curves or {}),
        *_method(evaluation, config),
    ]
    path = output / REPORT
    path.write_text(page.page(f"DiffuseGAE: {config.name}", body), encoding="utf-8")
    return path


def summary_text(evaluation: Evaluation) -> str:
    """Return the last editor's probe matrix and the compared figures as plain text."""
    last, scores = list(evaluation.scores.items())[-1]
    lines = [f"probe matrix of {last}, held-out accuracy (row: part of z_dis, column: attribute)"]
    lines += _text_table(("", *evaluation.names), _matrix_rows(scores.probe, scores.z_sem.tolist()))
    lines.append(_excess(scores.probe))
    sections = {
        "reconstruction": compare_reconstructions(evaluation),
        "recombination, random x_T": compare_recombinations(evaluation),
        "replacement, x_T of the source": compare_replacements(evaluation),
    }
    for title, figures in sections.items():
        columns = [*figures[0].values, *_reference_names(figures)]
        rows = [(figure.label, [_plain_cell(figure, name) for name in columns]) for figure in figures]
        lines += ["", *_text_table((title, *columns), rows)]
    return "\n".join([*lines, "* better"] if len(evaluation.scores) > 1 else lines)


def _opening(evaluation: Evaluation, config: PipelineConfig) -> list[str]:
    last, scores = list(evaluation.scores.items())[-1]
    images, probe = scores.images, scores.probe
    weakest = min(images.recombination.right, key=lambda name: images.recombination.right[name])
    replacement = images.replacement.overall
    tiles = [
        page.tile("each part reads its own attribute", f"≥ {probe.diagonal.min():.3f}", "probe diagonal; best is 1"),
        page.tile("parts leak other attributes", f"{probe.mean_excess:+.3f}", "mean over chance; best is 0"),
        page.tile("reconstruction, inferred x_T", show(images.inferred.closeness.ssim, "share"),
                  f"SSIM; MSE {show(images.inferred.closeness.mse, 'error')}"),
        page.tile("recombined attributes right", f"≥ {images.recombination.right[weakest]:.3f}", f"lowest: {weakest}"),
        page.tile("swapped attribute right", f"{replacement.swapped_right:.3f}", "of single replacements"),
        page.tile("kept attributes right", f"{replacement.kept_right:.3f}", "of single replacements"),
    ]  # fmt: skip
    attributes = ", ".join(f"{name} ({width} of z_dis)" for name, width in _widths(config).items())
    about = f"{config.model.image_size} px images, attributes {attributes}. The figures below are of {last}."
    return [page.heading(f"DiffuseGAE: {config.name}", 1), page.paragraph(about, "soft"), page.block("tiles", tiles)]


def _probes(evaluation: Evaluation) -> list[str]:
    tables = []
    for name, scores in evaluation.scores.items():
        rows = [
            Row(
                title,
                [_probe_cell(value, r == a, title) for a, value in enumerate(values)],
                "guess" if title in GUESSES else "",
            )
            for r, (title, values) in enumerate(_matrix_values(scores.probe, scores.z_sem.tolist()))
        ]
        header = [Cell("read from"), *(Cell(attribute) for attribute in evaluation.names)]
        tables.append(page.table(header, rows, f"{name}. {_excess(scores.probe)}"))
    return [
        page.heading("What each part of z_dis knows (Table 1)"),
        page.paragraph(
            "Held-out accuracy of a linear probe that reads one part of z_dis and guesses one attribute. A part should"
            " know its own attribute (the diagonal, 1) and no other (elsewhere no better than chance)."
        ),
        page.block("pair", tables),
        _picture(evaluation, "tsne"),
    ]


def _reconstructions(evaluation: Evaluation) -> list[str]:
    figures = [
        Figure(figure.label, figure.values, figure.style, {PAPER: PAPER_RECONSTRUCTIONS[figure.label]})
        for figure in compare_reconstructions(evaluation)
    ]
    return [
        page.heading("Reconstruction (Table 2)"),
        page.paragraph(
            "The paper's figures, of other images at 128 px, are there for orientation only. From random x_T the code"
            " alone must bring the image back."
        ),
        _comparison(figures),
        _picture(evaluation, "reconstruction"),
    ]


def _edits(evaluation: Evaluation) -> list[str]:
    return [
        page.heading("Recombination against the true image"),
        page.paragraph(
            "Every attribute comes from another held-out image, x_T is random. The share in which the judge reads the"
            " wanted value, beside images that were only auto-encoded and beside the true images themselves, which are"
            " the most that the judge would grant."
        ),
        _comparison(compare_recombinations(evaluation)),
        _picture(evaluation, "recombination"),
        page.heading("Replacement of one attribute against the true image"),
        page.paragraph("One attribute comes from a donor, x_T from the source, which must otherwise stay what it is."),
        _comparison(compare_replacements(evaluation)),
        _picture(evaluation, "replacement"),
    ]


def _more_pictures(evaluation: Evaluation) -> list[str]:
    return [
        page.heading("Interpolation"),
        page.heading("All attributes (Fig. 8)", 3),
        _picture(evaluation, "interpolation"),
        page.heading("One attribute at a time (Fig. 9)", 3),
        _picture(evaluation, "single-interpolation"),
    ]


def _training(curves: Curves) -> list[str]:
    parts = []
    for stage, metrics in curves.items():
        charts = [page.line_chart(name, points) for name, points in metrics.items() if len(points) > 1]
        if charts:
            parts += [page.heading(stage, 3), page.block("charts", charts)]
    return [page.heading("Training"), *parts] if parts else []


def _method(evaluation: Evaluation, config: PipelineConfig) -> list[str]:
    judge = ", ".join(f"{name} {value:.3f}" for name, value in evaluation.judge_accuracy.items())
    counts = ", ".join(f"{name} {count:,}" for name, count in evaluation.parameters.items() if count)
    images = list(evaluation.scores.values())[-1].images
    counts_of = {
        "recombinations": images.recombination.count,
        "replacements of one attribute": min(score.count for score in images.replacement.by_attribute.values()),
    }
    errors = ", ".join(f"{50 / n**0.5:.1f} points for {n:,} {what}" for what, n in counts_of.items())
    return [
        page.heading("How it was measured"),
        page.bullets(
            [
                f"The judge's own accuracy on held-out true images: {judge}.",
                f"Standard error of a share, at most: {errors}. Bold differs, not always by more than that.",
                *evaluation.notes,
            ]
        ),
        page.heading("Model and config"),
        page.paragraph(f"Parameters: {counts}; {sum(evaluation.parameters.values()):,} in all."),
        page.folded("The whole config", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)),
    ]


def _comparison(figures: Sequence[Figure]) -> str:
    references = _reference_names(figures)
    editors = list(figures[0].values)
    header = [Cell(""), *(Cell(name) for name in editors), *(Cell(name, "reference") for name in references)]
    rows = [
        Row(
            f.label,
            [Cell(show(f.values[name], f.style), "better" if f.better == name else "") for name in editors]
            + [
                Cell(show(f.references[name], f.style) if name in f.references else "", "reference")
                for name in references
            ],
        )
        for f in figures
    ]
    return page.table(header, rows, "The better figure is bold and green." if len(editors) > 1 else "")


def _reference_names(figures: Sequence[Figure]) -> list[str]:
    return list(dict.fromkeys(name for figure in figures for name in figure.references))


def _matrix_values(probe: ProbeMatrix, z_sem: list[float]) -> list[tuple[str, list[float]]]:
    *parts, full, chance, majority = probe.as_rows()
    return [*parts, ("all of z_dis", full[1]), ("all of z_sem", z_sem), chance, majority]


def _matrix_rows(probe: ProbeMatrix, z_sem: list[float]) -> list[tuple[str, list[str]]]:
    return [(title, [f"{value:.3f}" for value in values]) for title, values in _matrix_values(probe, z_sem)]


def _probe_cell(value: float, is_own: bool, title: str) -> Cell:
    return Cell(f"{value:.3f}", "own" if is_own else "", 0.0 if title in GUESSES else 0.5 * value)


def _excess(probe: ProbeMatrix) -> str:
    return f"Off-diagonal excess over chance: mean {probe.mean_excess:+.3f}, largest {probe.max_excess:+.3f}."


def _plain_cell(figure: Figure, name: str) -> str:
    value = figure.values[name] if name in figure.values else figure.references.get(name)
    mark = "*" if figure.better == name else " "
    return show(value, figure.style) + (mark if len(figure.values) > 1 else "")


def _widths(config: PipelineConfig) -> dict[str, int]:
    return {name: spec.width for name, spec in config.data.attributes.items()}


def _picture(evaluation: Evaluation, name: str) -> str:
    found = next(picture for picture in evaluation.pictures if picture.name == name)
    return page.picture(found.png, found.title, found.caption)


def _text_table(header: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Align columns: the first to the left, the others to the right."""
    lines = [list(header), *([title, *cells] for title, cells in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
