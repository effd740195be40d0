"""Association: attributes whose labels go together, so that nothing can tell what belongs to which of them."""

import logging
from collections.abc import Mapping
from itertools import combinations

from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import coo_array

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
    pairs = associate(found, dict(zip(schema.names, schema.columns, strict=True)))
    close = sorted((pair for pair in pairs if pair.strength >= TOO_CLOSE), key=lambda pair: -pair.strength)
    for pair in close:
        _logger.warning("%s", pair)
    return tuple(close)


def associate(found: Combinations, columns: Mapping[str, str]) -> list[Association]:
    """Compare, for every two attributes, given with their columns, the best guess of one by the other with a blind one.

    Only images that have both labels count.
    """
    pairs: list[Association] = []
    for first, second in combinations(columns, 2):
        kept = found.labelled([columns[first], columns[second]])
        labels = [found.labels[columns[name]][kept] for name in (first, second)]
        sizes = [len(found.vocabularies[columns[name]]) for name in (first, second)]
        table = coo_array((found.counts[kept], labels), shape=sizes).tocsr()
        total = max(int(table.sum()), 1)
        for axis, (given, follows) in ((1, (first, second)), (0, (second, first))):
            share, chance = table.max(axis=axis).sum() / total, table.sum(axis=1 - axis).max() / total
            pairs.append(Association(given=given, follows=follows, share=float(share), chance=float(chance)))
    return pairs
