"""What measuring one method gives: its figures, its first pictures, and its codes in the plane."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from diffusegae.metrics.projection import Projection

# Given images, the same for every method of a seed. Besides these and what the method made of them, examples hold
# `ppl_T<steps>`, the length of each pair's path. What a method cannot do is absent.
GIVEN = ("originals", "sources", "donors", "replaced_truths", "givers", "recombined_truths")

_POINTS, _LABELS, _SILHOUETTES = "codes/points", "codes/labels", "codes/silhouettes"

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]


@dataclass(frozen=True)
class Measured:
    """All that was measured of one method; `metrics` are finite.

    `examples` are uint8 pixels of the first rows of the plan: those of GIVEN, and `inferred`, `random`, `replaced`,
    `recombined`, `interpolated`, `interpolated_single`. They are [rows, size, size, 3], but for [rows, attributes, …]
    of `givers`, `replaced`, `replaced_truths`, [rows, frames, …] of `interpolated`, and [attributes, rows, frames, …]
    of `interpolated_single`.
    """

    metrics: Mapping[str, float]
    examples: Arrays
    codes: Projection | None = None

    def save(self, path: Path) -> None:
        """Write the examples and the codes as an `.npz` file."""
        arrays = dict(self.examples)
        if self.codes is not None:
            arrays[_POINTS], arrays[_LABELS] = self.codes.points, self.codes.labels
            arrays[_SILHOUETTES] = np.asarray(self.codes.silhouettes, np.float64)
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path, metrics: Mapping[str, float]) -> "Measured":
        """Read what `save` wrote; the metrics come from the finding beside it."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if _POINTS not in arrays:
            return cls(metrics, arrays)
        points, labels, silhouettes = (arrays.pop(name) for name in (_POINTS, _LABELS, _SILHOUETTES))
        return cls(metrics, arrays, Projection(points, labels, tuple(silhouettes.tolist())))
