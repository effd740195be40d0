"""The gallery: which of the judged images go into the pictures, and all pictures in the order of the report."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Integer, UInt8

from diffusegae.data.lookup import MISSING
from diffusegae.editing.editor import Editor
from diffusegae.metrics.judging import Judging
from diffusegae.metrics.pictures import (
    Picture,
    draw_interpolation,
    draw_recombinations,
    draw_reconstructions,
    draw_replacements,
    draw_single_interpolations,
)
from diffusegae.metrics.scores import Examples

NO_IMAGE = 200  # grey level where the data set has no true image


def draw_pictures(editor: Editor, judging: Judging, examples: Mapping[str, Examples]) -> list[Picture]:
    """Draw pictures of the last editor's examples, with the others' beside them where random x_T makes them differ."""
    plan, names = judging.plan, judging.schema.names
    shown = judging.config.evaluate.num_pictures
    last = list(examples.values())[-1]
    sources, donors = (take_pixels(judging, rows[:shown]) for rows in (plan.sources, plan.donors))
    few = max(2, shown // 2)
    quick = editor.with_sampling(judging.edit_sampling)
    return [
        draw_recombinations(
            take_pixels(judging, plan.givers[:shown]),
            {name: example.recombined for name, example in examples.items()},
            take_pixels(judging, plan.recombined_truths[:shown]),
            names,
        ),
        draw_replacements(sources, donors, last.replaced, take_pixels(judging, plan.replaced_truths[:shown]), names),
        draw_reconstructions(
            take_pixels(judging, plan.reconstructed[:shown]),
            last.inferred,
            {name: example.random for name, example in examples.items()},
        ),
        draw_interpolation(quick, sources[:few], donors[:few]),
        draw_single_interpolations(quick, sources[: max(2, few // 2)], donors[: max(2, few // 2)]),
    ]


def take_pixels(judging: Judging, rows: Integer[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape size size 3"]:
    """Return stored pixels for rows of any arrangement, grey where there is no such image."""
    pixels = judging.lookup.take(rows.clip(min=0).ravel())
    pixels[rows.ravel() == MISSING] = NO_IMAGE
    return pixels.reshape(*rows.shape, *pixels.shape[1:])
