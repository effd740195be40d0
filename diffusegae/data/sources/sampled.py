"""Sources that sample a world: distinct combinations of values by seed, each with true pictures of its own draw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Integer, UInt8
from pydantic import Field

from diffusegae.data.combined import CombinedWorld
from diffusegae.data.records import Skipped, SourceError, SourceImage
from diffusegae.data.sources.source import Opening, SourceConfig
from diffusegae.data.splits import Combinations


class SampledConfig(SourceConfig):
    """A world of which some combinations are drawn, no two alike, each value about equally often."""

    num_images: int = Field(12_000, gt=0, description="Images, each of another combination.")
    seed: int = Field(0, ge=0, description="Seed of the combinations and of what the world itself draws.")

    def world(self, image_size: int) -> CombinedWorld:
        """Return the world in pictures of a size; SourceError if it lacks what it is drawn from."""
        raise NotImplementedError

    def open(self, opening: Opening) -> "SampledSource":
        """Open the source; SourceError if the world is not there, or has too few combinations."""
        world = self.world(opening.image_size)
        if self.num_images > world.num_combinations:
            raise SourceError(
                f"data.source.num_images is {self.num_images}, but there are {world.num_combinations} combinations"
                f" of the values used by {self.kind}; ask for fewer images, or for more values"
            )
        return SampledSource(world, self.num_images, self.seed, opening.shard_rows)


@dataclass(frozen=True)
class SampledSource:
    """A sample of a world, no two pictures of one combination; a unit is a share of it."""

    world: CombinedWorld
    num_images: int
    seed: int
    shard_rows: int

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Label column to its values, in the world's own order."""
        return self.world.vocabularies

    @property
    def fingerprint(self) -> str:
        """The sample and its world in words."""
        return repr(self)

    @property
    def num_units(self) -> int:
        """Number of units."""
        return -(-self.num_images // self.shard_rows)

    @cached_property
    def labels(self) -> Integer[np.ndarray, "n columns"]:
        """The labels of all images: distinct combinations, drawn uniformly, so each value is about equally frequent."""
        random = np.random.default_rng(self.seed)
        return self.world.labels(random.choice(self.world.num_combinations, self.num_images, replace=False))

    def combinations(self, columns: Sequence[str]) -> Combinations:
        """Return the combinations of the sample's labels in some columns."""
        order = list(self.vocabularies)
        own = self.labels[:, [order.index(name) for name in columns]]
        distinct, counts = np.unique(own, axis=0, return_counts=True)
        labels = {name: distinct[:, place].astype(np.int32) for place, name in enumerate(columns)}
        return Combinations({name: self.vocabularies[name] for name in columns}, labels, counts)

    def read(self, unit: int) -> Iterator[SourceImage | Skipped]:
        """Render the images of a unit."""
        for row in self.labels[unit :: self.num_units]:
            key = self.world.key(row)
            yield SourceImage(key, key, self.world.names(row), self.world.render(row[None], [0])[0])


@dataclass(frozen=True)
class SampledRenderer:
    """Renders a world by labels, each picture with a draw of its own."""

    world: CombinedWorld

    def render(
        self, labels: Mapping[str, Integer[np.ndarray, " n"]], draws: Sequence[int] | Integer[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Render labels, given by column as indices into the vocabularies; the same draw gives the same picture.

        Draw 0 is the picture of the data set itself, to the bit; every other one is a picture that it lacks. A column
        that is not given shows its first value.
        """
        first = np.zeros(len(draws), np.int64)
        return self.world.render(np.stack([labels.get(name, first) for name in self.world.vocabularies], axis=1), draws)
