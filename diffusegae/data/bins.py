"""Bins: a column of numbers (an angle, an age, a price) cut at its quantiles into classes of nearly equal counts."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field

from diffusegae.data.records import SourceError
from diffusegae.schema import source_column


class Bins(BaseModel):
    """Where numbers are cut: class k holds what is above edge k - 1 and not above edge k."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edges: tuple[float, ...] = Field(description="Rising.")

    @classmethod
    def fit(cls, numbers: Float[np.ndarray, " n"], count: int) -> "Bins":
        """Cut at the quantiles; fewer classes where many numbers are equal."""
        edges = np.unique(np.quantile(numbers, np.arange(1, count) / count))
        return cls(edges=tuple(edges[edges < numbers.max()].tolist()) if len(numbers) else ())

    @property
    def names(self) -> tuple[str, ...]:
        """The classes in their order."""
        if not self.edges:
            return ("any",)
        texts = [f"{edge:.6g}" for edge in self.edges]
        between = [f"{low} to {high}" for low, high in pairwise(texts)]
        return (f"up to {texts[0]}", *between, f"over {texts[-1]}")

    def of(self, column: str, texts: pa.Array) -> pa.Array:
        """Return the class of each number; none where there is none."""
        numbers = parse_numbers(column, texts)
        places = np.searchsorted(np.array(self.edges), numbers, side="left")
        return pc.if_else(pc.is_null(texts), pa.scalar(None, pa.string()), pa.array(self.names).take(pa.array(places)))


def parse_numbers(column: str, texts: pa.Array) -> Float[np.ndarray, " n"]:
    """Return texts as numbers, NaN for missing ones; SourceError if one is no number."""
    try:
        numbers: Float[np.ndarray, " n"] = pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"column {source_column(column)!r} is to be cut into bins, but holds what is no number ({error}); leave out"
            " data.attributes.<attribute>.bins, or correct it"
        ) from error
    return numbers.astype(np.float64)
