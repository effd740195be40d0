"""Worlds in which all values combine: the labels of a combination by its number, what it is called, how it is drawn."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8


class CombinedWorld(ABC):
    """Everything that values of some columns can show together, in any combination.

    Labels of `n` pictures are indices into the values of the columns, [n, columns], in the order of `vocabularies`.
    """

    @property
    @abstractmethod
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Label column to its values."""

    @abstractmethod
    def render(
        self, labels: Integer[np.ndarray, "n columns"], draws: Sequence[int] | Integer[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Render combinations; the same draw gives the same picture, and another one another picture of the same."""

    @property
    def num_combinations(self) -> int:
        """Number of combinations of values."""
        return math.prod(map(len, self.vocabularies.values()))

    def labels(self, combinations: Integer[np.ndarray, " n"]) -> Integer[np.ndarray, "n columns"]:
        """Return the labels of combinations by their number."""
        return np.stack(np.unravel_index(combinations, [len(values) for values in self.vocabularies.values()]), axis=1)

    def names(self, labels: Integer[np.ndarray, " columns"]) -> dict[str, str]:
        """Return the values of one combination by column."""
        columns = zip(self.vocabularies.items(), labels.tolist(), strict=True)
        return {name: values[label] for (name, values), label in columns}

    def key(self, labels: Integer[np.ndarray, " columns"]) -> str:
        """Return the key of one combination: its values."""
        return "-".join(self.names(labels).values())
