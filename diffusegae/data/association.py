"""Association: attributes whose labels go together, so that nothing can tell what belongs to which of them."""

import logging
from itertools import permutations

import numpy as np
from jaxtyping import Integer
from pydantic import BaseModel, ConfigDict, Field

from diffusegae.data.splits import Combinations
from diffusegae.schema import AttributeSchema

TOO_CLOSE = 0.8  # from here on an attribute is said to follow from another
_logger = logging.getLogger(__name__)


class Association(BaseModel):
    """How far the label of one attribute follows from that of another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    given: str = Field(description="Attribute whose label is known.")
    follows: str = Field(description="Attribute that is guessed from it.")
    share: float = Field(description="Share of images of which the guess is right.")
    chance: float = Field(description="Share of images that show the most frequent value, which a blind guess names.")

    @property
    def strength(self) -> float:
        """Goodman and Kruskal's lambda: the share of a blind guess' errors that the known label saves, 0 to 1."""
        return (self.share - self.chance) / (1 - self.chance) if self.chance < 1 else 0.0

    def __str__(self) -> str:
        """Say it in a sentence, and what it means."""
        if self.share == 1:
            return (
                f"{self.follows} follows from {self.given} always: no image shows another pair, so an edit of"
                f" {self.given} may change {self.follows}, and no figure can tell"
            )
        return (
            f"{self.follows} follows from {self.given} in {self.share:.1%} of the images ({self.chance:.0%} by chance):"
            f" few show another pair, so an edit of {self.given} may change {self.follows}"
        )


def find_associations(schema: AttributeSchema, found: Combinations) -> tuple[Association, ...]:
    """Return the pairs of attributes of which one follows from the other, the strongest first, and warn of each."""
    columns = dict(zip(schema.names, schema.columns, strict=True))
    pairs = [
        associate(found, given, columns[given], follows, columns[follows])
        for given, follows in permutations(schema.names, 2)
    ]
    close = sorted((pair for pair in pairs if pair.strength >= TOO_CLOSE), key=lambda pair: -pair.strength)
    for pair in close:
        _logger.warning("%s", pair)
    return tuple(close)


def associate(found: Combinations, given: str, given_column: str, follows: str, follows_column: str) -> Association:
    """Compare the best guess of one label by another with the best blind guess, over the images that have both."""
    columns = [given_column, follows_column]
    kept = found.labelled(columns)
    first, second = (found.labels[column][kept].astype(np.int64) for column in columns)
    counts, size = found.counts[kept], len(found.vocabularies[columns[1]])
    total = max(int(counts.sum()), 1)
    pairs, places = np.unique(first * size + second, return_inverse=True)
    often = np.bincount(places, counts, len(pairs))
    starts = np.flatnonzero(np.diff(pairs // size, prepend=-1))
    best: Integer[np.ndarray, " values"] = np.maximum.reduceat(often, starts) if len(pairs) else often
    blind = np.bincount(second, counts, size).max()
    return Association(given=given, follows=follows, share=float(best.sum()) / total, chance=float(blind) / total)
