"""Example pictures: the first rows of each stratum, kept by the pieces that make them and put together at the end."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Integer, Shaped, UInt8

from diffusegae.data.splits import STRATA
from diffusegae.evaluation.context import Context

# The same for every method; what a method made of them stands beside these.
GIVEN = ("originals", "sources", "donors", "replaced_truths", "givers", "recombined_truths")
FEATURES = "features"  # of generated pictures, which only the end of the measuring needs

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]


def shown_rows(strata: Integer[np.ndarray, " n"], number: int, stratum: int) -> Integer[np.ndarray, " shown"]:
    """Return the first rows of a stratum, at most `number`."""
    return np.flatnonzero(strata == stratum)[:number]


def keep_rows(
    pixels: Arrays, strata: Integer[np.ndarray, " n"], rows: slice, context: Context
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Return those rows of a piece's pictures that are shown, as `<stratum>/<name>@<row>`."""
    kept: dict[str, Shaped[np.ndarray, "..."]] = {}
    number = context.config.evaluate.num_pictures
    for stratum, title in enumerate(STRATA):
        for row in shown_rows(strata, number, stratum).tolist():
            if rows.start <= row < rows.stop:
                kept |= {f"{title}/{name}@{row}": each[row - rows.start] for name, each in pixels.items()}
    return kept


def join_rows(examples: Arrays) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Return what pieces kept as `<stratum>/<name>`, rows in order; features are laid end to end."""
    found: dict[str, dict[int, np.ndarray]] = {}
    whole = {name: array for name, array in examples.items() if "@" not in name}
    for name, array in examples.items():
        title, at, row = name.rpartition("@")
        if at:
            found.setdefault(title, {})[int(row)] = array
    for title, parts in found.items():
        ordered = [parts[row] for row in sorted(parts)]
        whole[title] = np.concatenate(ordered) if title.startswith(f"{FEATURES}/") else np.stack(ordered)
    return whole


def given_examples(context: Context) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Return the given pictures of every stratum: what methods were shown and what should have come out."""
    plan, take, number = context.plan, context.lookup.take, context.config.evaluate.num_pictures
    m, examples = plan.num_attributes, dict[str, Shaped[np.ndarray, "..."]]()
    for stratum, title in enumerate(STRATA):
        originals = shown_rows(plan.reconstructed_strata, number, stratum)
        replaced = shown_rows(plan.source_strata, number, stratum)
        recombined = shown_rows(plan.recombined_strata, number, stratum)
        edits = (replaced[:, None] * m + np.arange(m)).ravel()
        pictures = {
            "originals": take(plan.reconstructed[originals]),
            "sources": take(plan.sources[replaced]),
            "donors": take(plan.donors[replaced]),
            "replaced_truths": _by_row(context.truth_pixels(edits), m),
            "givers": _by_row(take(plan.givers[recombined].ravel()), m),
            "recombined_truths": context.truth_pixels(len(plan.sources) * m + recombined),
        }
        examples |= {f"{title}/{name}": pixels for name, pixels in pictures.items() if len(pixels)}
    return examples


def _by_row(pixels: UInt8[np.ndarray, "n size size 3"], m: int) -> UInt8[np.ndarray, "rows m size size 3"]:
    return pixels.reshape(-1, m, *pixels.shape[1:])
