"""The end of measuring: pieces put together, and the figures that only the whole has."""

from collections.abc import Sequence

import numpy as np
import torch

from diffusegae.data.splits import STRATA, Stratum
from diffusegae.evaluation.examples import FEATURES, join_rows
from diffusegae.evaluation.measured import Items, Measured
from diffusegae.metrics.distances import fit_gaussian, frechet_distance
from diffusegae.metrics.smoothness import trim

SEEN = STRATA[Stratum.SEEN]


def finish(pieces: Sequence[Measured]) -> Measured:
    """Return what all pieces of a subject found, with the largest leak of each stratum, and paths without outliers."""
    whole = Measured.join(pieces)
    items = dict(whole.items)
    if "path" in items:
        path = items["path"]
        items["path"] = Items(path.stratum, path.unit, {name: _trim(each) for name, each in path.figures.items()})
    values = dict(whole.values)
    if "codes" in items:
        values |= largest_leaks(items["codes"])
    return Measured(items, values, join_rows(whole.examples), whole.codes)


def largest_leaks(codes: Items) -> dict[str, float]:
    """Return the largest mean leak of a foreign attribute in each stratum, by either probe."""
    means, found = codes.means(), {}
    for stratum in STRATA:
        for kind in ("leak", "mlp_leak"):
            leaks = [value for name, value in means.items() if name.startswith(f"{stratum}/{kind}/")]
            if leaks:
                found[f"codes/{stratum}/{kind}_max"] = max(leaks)
    return found


def with_distances(measured: Measured, references: Measured) -> Measured:
    """Return a method's figures with its Fréchet distances to the true images, without the features themselves."""
    examples = {name: array for name, array in measured.examples.items() if not name.startswith(FEATURES)}
    true = references.examples.get(f"{FEATURES}/true")
    values = dict(measured.values)
    for measure in ("reconstruct_random", "recombine"):
        made = measured.examples.get(f"{FEATURES}/{measure}")
        if made is not None and true is not None and len(made) > 1:
            gaussians = (fit_gaussian(torch.from_numpy(features)) for features in (made, true))
            values[f"{measure}/{SEEN}/fd_vgg16"] = max(0.0, frechet_distance(*gaussians))  # rounding may fall below
    return Measured(measured.items, values, examples, measured.codes)


def _trim(lengths: np.ndarray) -> np.ndarray:
    """Drop the outermost lengths of those pairs that were measured at this T."""
    trimmed = lengths.copy()
    known = ~np.isnan(lengths)
    trimmed[known] = trim(lengths[known])
    return trimmed
