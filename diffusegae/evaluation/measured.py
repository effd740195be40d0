"""What measuring one method gives: figures of single pictures, figures of the whole, example pictures, codes.

Figures of single items are kept, so that two methods can be compared picture by picture and any mean has an interval.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Integer, Shaped

from diffusegae.data.splits import STRATA
from diffusegae.metrics.projection import Projection

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]
_POINTS, _LABELS, _SILHOUETTES = "codes/points", "codes/labels", "codes/silhouettes"
_ITEMS, _VALUES = "items", "values"


@dataclass(frozen=True)
class Items:
    """Figures of the items of one measure, a pass of pictures through a method; NaN where one was not measured.

    `figures` are named `<quantity>[/<detail>…]`; `unit` says which items stand on the same image (or pair of images)
    and are drawn together when figures are resampled.
    """

    stratum: Integer[np.ndarray, " items"]  # index into STRATA
    unit: Integer[np.ndarray, " items"]
    figures: Mapping[str, Float[np.ndarray, " items"]]

    def __len__(self) -> int:
        return len(self.stratum)

    @classmethod
    def join(cls, pieces: Sequence["Items"]) -> "Items":
        """Return the items of all pieces; a figure that one of them lacks is NaN there."""
        names = dict.fromkeys(name for piece in pieces for name in piece.figures)
        nothing = [np.full(len(piece), np.nan) for piece in pieces]
        figures = {
            name: np.concatenate([piece.figures.get(name, none) for piece, none in zip(pieces, nothing, strict=True)])
            for name in names
        }
        stratum, unit = (np.concatenate([getattr(piece, key) for piece in pieces]) for key in ("stratum", "unit"))
        return cls(stratum, unit, figures)

    def means(self) -> dict[str, float]:
        """Return `<stratum>/<figure>` and `<stratum>/count` of every stratum with items, without what has no value."""
        found: dict[str, float] = {}
        for number, name in enumerate(STRATA):
            rows = self.stratum == number
            if not rows.any():
                continue
            found[f"{name}/count"] = float(rows.sum())
            for figure, values in self.figures.items():
                known = values[rows][~np.isnan(values[rows])]
                if len(known):
                    found[f"{name}/{figure}"] = float(known.mean())
        return found


@dataclass(frozen=True)
class Measured:
    """All that was measured of one method trained with one seed.

    `items` by measure (`reconstruct`, `reconstruct_random`, `unedited`, `replace`, `recombine`, `codes`, `path`);
    `values` are figures that are no means of items, by their whole names; `examples` are uint8 pixels of the plan's
    first rows, [rows, size, size, 3] of `inferred`, `random`, `recombined`, [rows, attributes, …] of `replaced`,
    [rows, frames, …] of `interpolated`, [attributes, rows, frames, …] of `interpolated_single`, and given
    images (GIVEN of evaluation.examples). What a method cannot do is absent.
    """

    items: Mapping[str, Items] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    examples: Arrays = field(default_factory=dict)
    codes: Projection | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Every finite figure under its name, `<measure>/<stratum>/<quantity>[/<detail>…]`."""
        flat = {
            f"{measure}/{name}": mean for measure, items in self.items.items() for name, mean in items.means().items()
        }
        return {name: float(value) for name, value in (flat | dict(self.values)).items() if math.isfinite(value)}

    @classmethod
    def join(cls, pieces: Sequence["Measured"]) -> "Measured":
        """Return what all pieces found; items of the same measure stand in the order of the pieces."""
        measures = dict.fromkeys(measure for piece in pieces for measure in piece.items)
        items = {name: Items.join([p.items[name] for p in pieces if name in p.items]) for name in measures}
        examples: dict[str, Shaped[np.ndarray, "..."]] = {}
        for piece in pieces:
            examples |= piece.examples
        values = {name: value for piece in pieces for name, value in piece.values.items()}
        return cls(items, values, examples, next((p.codes for p in pieces if p.codes is not None), None))

    def to_bytes(self) -> bytes:
        """Return all of it as an `.npz` file."""
        arrays = dict(self.examples)
        for measure, items in self.items.items():
            arrays |= {f"{_ITEMS}/{measure}//stratum": items.stratum, f"{_ITEMS}/{measure}//unit": items.unit}
            arrays |= {f"{_ITEMS}/{measure}/{name}": values for name, values in items.figures.items()}
        arrays |= {f"{_VALUES}/{name}": np.asarray(value, np.float64) for name, value in self.values.items()}
        if self.codes is not None:
            arrays[_POINTS], arrays[_LABELS] = self.codes.points, self.codes.labels
            arrays[_SILHOUETTES] = np.asarray(self.codes.silhouettes, np.float64)
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Measured":
        """Read what `to_bytes` gave."""
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        kept: dict[str, dict[str, np.ndarray]] = {}
        for name in [name for name in arrays if name.startswith(f"{_ITEMS}/")]:
            measure, figure = name.removeprefix(f"{_ITEMS}/").split("/", 1)
            kept.setdefault(measure, {})[figure] = arrays.pop(name)
        items = {measure: Items(found.pop("/stratum"), found.pop("/unit"), found) for measure, found in kept.items()}
        names = [name for name in arrays if name.startswith(f"{_VALUES}/")]
        values = {name.removeprefix(f"{_VALUES}/"): float(arrays.pop(name)) for name in names}
        codes = None
        if _POINTS in arrays:
            points, labels, silhouettes = (arrays.pop(name) for name in (_POINTS, _LABELS, _SILHOUETTES))
            codes = Projection(points, labels, tuple(silhouettes.tolist()))
        return cls(items, values, arrays, codes)
