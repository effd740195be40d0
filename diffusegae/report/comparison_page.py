"""The report of a comparison: one `report.html` that opens without a server and needs no other file."""

from collections.abc import Sequence
from pathlib import Path

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.results import Results, Subjects
from diffusegae.report import html, sections
from diffusegae.report.ablations import Studied, draw_ablations
from diffusegae.report.claims import draw_claims, plan_claims
from diffusegae.report.content import Content
from diffusegae.report.tables import count_values
from diffusegae.schema import AttributeSchema


def write_comparison(
    results: Results,
    subjects: Subjects,
    references: Measured,
    config: PipelineConfig,
    schema: AttributeSchema,
    output: Path,
    *,
    ours: str,
    studied: Studied | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write report.html into the folder; return its path.

    Figures, intervals and pictures are those of `subjects`, row by row in their order; `results` gives the hardware and
    the versions. `studied` is what was measured of the ablations' variants: question → variant → per seed, with the
    config itself first, under the question "".

    Raises:
        ValueError: there is no row `ours`, or two rows were judged on different images.
    """
    if ours not in subjects:
        raise ValueError(f"there is no row {ours!r} to report on, only {list(subjects)}; measure it, or name another")
    content = Content(subjects, references, schema.names, ours)
    steps = config.compare.path_steps
    seeds = len({judged.finding.seed for each in subjects.values() for judged in each})
    about = (
        f"{len(subjects)} rows, {seeds} {'seed' if seeds == 1 else 'seeds'}, on {config.model.image_size} px images"
        f" with the attributes {', '.join(f'{a.name} ({count_values(a)})' for a in schema.attributes)}. All were"
        " judged on the same held-out images by the same attribute classifier."
    )
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    told = (
        f"Budget: {'as long as the config says' if config.compare.budget == 'time' else 'as many images as ours saw'}.",
        f"{results.hardware}. {versions}.",
        "Every figure of every seed is in results.json beside this report.",
    )
    body = [
        *sections.opening(content, f"Comparison: {config.name}", about),
        *draw_claims(list(plan_claims(schema.names, steps)), content),
        *sections.draw_sections(content, steps, output),
        *draw_ablations(studied or {}, schema.names, min(steps)),
        *sections.method(config, [*told, *notes]),
    ]
    return html.write_page(output, f"Comparison: {config.name}", body)
