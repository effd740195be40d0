"""The report of an evaluation: one `report.html` that opens without a server, and a summary for the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from diffusegae.config.compare import OURS
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.splits import STRATA
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.results import Subjects
from diffusegae.metrics.uncertainty import Interval
from diffusegae.report import html, sections
from diffusegae.report.charts import line_chart
from diffusegae.report.content import WORDS, Content, at
from diffusegae.report.tables import count_values, kind_of, label_of, show, show_interval, text_table
from diffusegae.schema import AttributeSchema

CLOSING = ("codes/leak", "codes/mlp_leak", "replace/lpips", "replace/swapped", "replace/kept", "recombine/all_right",
           "reconstruct_random/mse")  # fmt: skip

Curves = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]  # stage → metric → (samples seen, value)


def write_evaluation(
    subjects: Subjects,
    references: Measured,
    config: PipelineConfig,
    schema: AttributeSchema,
    output: Path,
    *,
    curves: Curves,
    notes: Sequence[str] = (),
) -> Path:
    """Write report.html of the last row, beside the others, into the folder; return its path.

    Raises:
        ValueError: two rows were judged on different images.
    """
    content = _content(subjects, references, schema)
    attributes = ", ".join(f"{a.name} ({a.width} of z_dis, {count_values(a)})" for a in schema.attributes)
    title, about = f"DiffuseGAE: {config.name}", f"{config.model.image_size} px images, attributes {attributes}."
    body = [
        *sections.opening(content, title, about),
        *sections.draw_sections(content, config.compare.path_steps, output),
        *_training(curves),
        *sections.method(config, notes),
    ]
    return html.write_page(output, title, body)


def summary_text(subjects: Subjects, references: Measured, schema: AttributeSchema) -> str:
    """Return the last row's probe matrix of seen pairs, and its closing figures by stratum, as plain text."""
    content = _content(subjects, references, schema)
    title, own = content.titles[content.ours], content.summary[content.ours]
    lines = [f"probe matrix of {title}, {WORDS[STRATA[0]]}: held-out accuracy (line: part of z_dis, column: attribute)"]
    lines += text_table(("", *schema.names), _matrix(content, schema.names))
    strata = [stratum for stratum in content.strata if any(at(figure, stratum) in own for figure in CLOSING)]
    rows = []
    for figure in CLOSING:
        found, style = [content.interval(content.ours, at(figure, s)) for s in strata], kind_of(figure).style
        if any(found):
            rows.append((label_of(figure), [show_interval(interval, style) for interval in found]))
    read = "truths/all_right"  # no edit can be read better than what it is held against
    rows.append((label_of(read), [show(content.known.get(at(read, s)), kind_of(read).style) for s in strata]))
    return "\n".join([*lines, "", *text_table((f"{title}, with 95% intervals", *(WORDS[s] for s in strata)), rows)])


def _content(subjects: Subjects, references: Measured, schema: AttributeSchema) -> Content:
    if not subjects:
        raise ValueError("no row to report on; measure at least one")
    last = list(subjects)[-1]
    return Content(subjects, references, schema.names, last, {last: OURS})


def _matrix(content: Content, names: Sequence[str]) -> list[tuple[str, list[str]]]:
    place, judge = f"codes/{STRATA[0]}", f"judge/{STRATA[0]}"
    known = content.known | {metric: found.mean for metric, found in content.summary[content.ours].items()}
    rows = {
        f"part {part}": [f"{place}/own/{name}" if part == name else f"{place}/reads/{part}/{name}" for name in names]
        for part in names
    }
    rows["all of z_dis"] = [f"{place}/full/{name}" for name in names]
    rows |= {guess: [f"{judge}/{guess}/{name}" for name in names] for guess in ("chance", "majority")}
    return [(title, [show(known.get(metric), "share") for metric in metrics]) for title, metrics in rows.items()]


def _training(curves: Curves) -> list[str]:
    parts = []
    for stage, metrics in curves.items():
        lines = {name: {x: Interval(y, y, y) for x, y in points} for name, points in metrics.items() if len(points) > 1}
        charts = [line_chart(name, {name: line}, "images seen") for name, line in lines.items()]
        parts += [html.heading(stage, 3), html.block("charts", charts)] if charts else []
    return [html.heading("Training"), *parts] if parts else []
