"""The measures: what is done with a method and some rows of the plan, and the figures of every picture that it makes.

Inferred x_T takes the config's own sampling; random x_T, edits and interpolations take `evaluate.edit_steps`. What
a method cannot do (UnsupportedError) or what lacks its weights is absent.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float, Integer

from diffusegae.editing.method import Images
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.codes import measure_attributes, measure_probes
from diffusegae.evaluation.context import Context
from diffusegae.evaluation.examples import FEATURES, keep_rows
from diffusegae.evaluation.measured import Items, Measured
from diffusegae.metrics.edits import closeness, copied, read_right, reading_figures, replacement_figures
from diffusegae.pixels import to_pixels

FRAMES = 7  # of an interpolation


def measure_inferred(bench: Bench, rows: slice) -> Measured:
    """Bring images back with all that can be inferred of them, x_T too."""
    images = bench.context.images(bench.context.plan.reconstructed[rows])
    return _reconstruction(bench, rows, images, bench.full.reconstruct(images), "reconstruct", "inferred")


def measure_random(bench: Bench, rows: slice) -> Measured:
    """Bring images back from their codes and random x_T."""
    own = bench.context.plan.reconstructed[rows]
    images = bench.context.images(own)
    back = bench.quick.reconstruct(images, bench.context.seeds(own))
    return _reconstruction(bench, rows, images, back, "reconstruct_random", "random")


def measure_replacements(bench: Bench, rows: slice) -> Measured:
    """Replace each attribute of sources by its donor's, inverting a source once; also bring the sources back."""
    context, plan, names = bench.context, bench.context.plan, bench.context.schema.names
    sources, edits = context.images(plan.sources[rows]), plan.replacements(rows)
    unedited, *edited = bench.quick.edit_each(sources, context.images(plan.donors[rows]), names)
    results = torch.stack(edited, dim=1).flatten(0, 1)  # source by source, like the plan's edits
    right = read_right(context.judge, results, context.wanted(plan.edit_labels[edits]), context.known)
    swapped = np.tile(np.arange(len(names)), len(sources))
    figures = replacement_figures(
        _near(results, context.truth(edits), context, looks_for_copies=True), right, swapped, names
    )
    units = np.arange(rows.start, rows.stop)
    back = _shown(unedited, sources, context.wanted(context.labels(plan.sources[rows])), context)
    items = {
        "replace": Items(plan.edit_strata[edits], units.repeat(len(names)), figures),
        "unedited": Items(plan.source_strata[rows], units, back),
    }
    pixels = to_pixels(results)
    replaced = pixels.reshape(len(sources), len(names), *pixels.shape[1:])
    return Measured(items, examples=keep_rows({"replaced": replaced}, plan.source_strata, rows, context))


def measure_recombinations(bench: Bench, rows: slice) -> Measured:
    """Take every attribute from another picture, with random x_T."""
    context, plan, edits = bench.context, bench.context.plan, bench.context.plan.recombinations(rows)
    results = _recombine(bench, plan.givers[rows])
    figures = _shown(
        results, context.truth(edits), context.wanted(plan.edit_labels[edits]), context, looks_for_copies=True
    )
    items = {"recombine": Items(plan.edit_strata[edits], np.arange(rows.start, rows.stop), figures)}
    examples = keep_rows({"recombined": to_pixels(results)}, plan.recombined_strata, rows, context)
    return Measured(items, examples=examples)


def measure_interpolations(bench: Bench, rows: slice) -> Measured:
    """Go from sources to donors in all attributes at once."""
    return Measured(examples={"seen_pairs/interpolated": _interpolate(bench, rows, bench.context.schema.names)})


def measure_single_interpolations(bench: Bench, rows: slice) -> Measured:
    """Go from sources to donors in one attribute at a time."""
    paths = [_interpolate(bench, rows, (name,)) for name in bench.context.schema.names]
    return Measured(examples={"seen_pairs/interpolated_single": np.stack(paths)})


def generate_random(bench: Bench, rows: slice) -> Measured:
    """Take the features of images brought back from random x_T, for a Fréchet distance."""
    own = bench.context.generated_rows[rows]
    back = bench.quick.reconstruct(bench.context.images(own), bench.context.seeds(own))
    return _features(back, bench.context, "reconstruct_random", rows)


def generate_recombined(bench: Bench, rows: slice) -> Measured:
    """Take the features of recombinations, for a Fréchet distance."""
    return _features(_recombine(bench, bench.context.generated_givers[rows]), bench.context, "recombine", rows)


MEASURES: Mapping[str, Callable[[Bench, slice], Measured]] = {
    "probes": measure_probes,
    "attributes": measure_attributes,
    "inferred": measure_inferred,
    "random": measure_random,
    "replace": measure_replacements,
    "recombine": measure_recombinations,
    "interpolate": measure_interpolations,
    "interpolate_single": measure_single_interpolations,
    "generate_random": generate_random,
    "generate_recombined": generate_recombined,
}


def _reconstruction(bench: Bench, rows: slice, images: Images, back: Images, measure: str, example: str) -> Measured:
    context, plan = bench.context, bench.context.plan
    figures = _shown(back, images, context.wanted(context.labels(plan.reconstructed[rows])), context)
    items = {measure: Items(plan.reconstructed_strata[rows], plan.reconstructed[rows], figures)}
    return Measured(items, examples=keep_rows({example: to_pixels(back)}, plan.reconstructed_strata, rows, context))


def _shown(
    results: Images,
    truth: Images,
    wanted: Integer[np.ndarray, "n m"],
    context: Context,
    *,
    looks_for_copies: bool = False,
) -> dict[str, Float[np.ndarray, " n"]]:
    """Return how near results are to the truth, and which wanted values the judge reads from them."""
    right = read_right(context.judge, results, wanted, context.known)
    near = _near(results, truth, context, looks_for_copies=looks_for_copies)
    return near | reading_figures(right, context.schema.names)


def _near(
    results: Images, truth: Images, context: Context, *, looks_for_copies: bool
) -> dict[str, Float[np.ndarray, " n"]]:
    figures = closeness(results, truth, context.perceptual)
    return figures | ({"copied": copied(results, truth, context.training_pictures)} if looks_for_copies else {})


def _recombine(bench: Bench, givers: Integer[np.ndarray, "n m"]) -> Images:
    context = bench.context
    donors = {name: context.images(givers[:, a]) for a, name in enumerate(context.schema.names)}
    return bench.quick.recombine(donors, context.seeds(givers[:, 0]))


def _interpolate(bench: Bench, rows: slice, names: tuple[str, ...]) -> np.ndarray:
    plan, context = bench.context.plan, bench.context
    source, target = (context.images(each[rows]) for each in (plan.sources, plan.donors))
    return to_pixels(bench.quick.interpolate(source, target, names, FRAMES))


def _features(images: Images, context: Context, measure: str, rows: slice) -> Measured:
    return Measured(examples={f"{FEATURES}/{measure}@{rows.start}": context.features(images)})
