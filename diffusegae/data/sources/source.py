"""What a source of images is: the part of a config that names it, what ingest reads of it, what renders its truths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from jaxtyping import Integer, UInt8
from pydantic import JsonValue

from diffusegae import storage
from diffusegae.config.base import Config
from diffusegae.data.records import Skipped, SourceImage
from diffusegae.data.splits import Combinations
from diffusegae.schema import AttributeSpec

_UNIT_SEED = 0


@runtime_checkable
class Source(Protocol):
    """What ingest needs: vocabularies before any image is read, and units that any process can read again."""

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Label column to its values."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of what the source holds."""
        ...

    @property
    def num_units(self) -> int:
        """Number of units; each becomes one shard."""
        ...

    def combinations(self, columns: Sequence[str]) -> Combinations:
        """Return the distinct combinations of labels in some columns."""
        ...

    def read(self, unit: int) -> Iterator[SourceImage | Skipped]:
        """Yield the images of a unit, the same ones at every call."""
        ...


@runtime_checkable
class Renderer(Protocol):
    """Renders the true picture of any labels, with a draw of what labels leave open (camera, light, frame)."""

    def render(
        self, labels: Mapping[str, Integer[np.ndarray, " n"]], draws: Sequence[int] | Integer[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Render labels, given by column as indices into the vocabularies; the same draw gives the same picture.

        Draw 0 is the picture of the data set itself, to the bit; every other one is a picture that it lacks.
        """
        ...


@dataclass(frozen=True)
class Opening:
    """What a source is opened with: the size of the stored images, its label columns, rows per unit, its index.

    `bins` says of columns of numbers into how many classes they are cut.
    """

    image_size: int
    columns: tuple[str, ...]
    shard_rows: int
    index_uri: str
    bins: Mapping[str, int] = field(default_factory=dict)


class SourceConfig(Config):
    """A member of `data.source`, told by its `kind`: its settings, and how it opens itself."""

    kind: str
    addresses: ClassVar[tuple[str, ...]] = ()  # fields that hold a path or URI
    own_columns: ClassVar[tuple[str, ...]] = ()  # label columns that the rows get whatever the attributes read

    def absolute(self) -> dict[str, JsonValue]:
        """Return the settings, with addresses that hold in any process: what decides which images there are."""
        settings: dict[str, JsonValue] = self.model_dump(mode="json", exclude={"kind"})
        return settings | {name: storage.resolve(str(settings[name])) for name in self.addresses}

    def columns(self, attributes: Mapping[str, AttributeSpec]) -> tuple[str, ...]:
        """Return the label columns that the rows get: the source's own, else those that the attributes read, each once.

        Rows call them so; what the source itself calls one is `schema.source_column` of it.
        """
        if self.own_columns:
            return self.own_columns
        named = [spec.columns(name) for name, spec in attributes.items()]
        return tuple(dict.fromkeys(column for pair in named for column in pair))

    def label_names(self) -> tuple[str, ...]:
        """Return the names of all that the source could give as labels; SourceError if nothing is there."""
        return self.columns({})

    def state(self) -> str:
        """Return a hash of what the source holds now that costs little, "" where that is not asked or settings say it.

        Raises:
            SourceError: the source is gone, or damaged.
        """
        return ""

    def open(self, opening: Opening) -> Source:
        """Open the source.

        Raises:
            SourceError: the source is missing, damaged, or lacks what the config asks of it.
        """
        raise NotImplementedError

    def renderer(self, image_size: int, columns: Sequence[str]) -> Renderer | None:
        """Open what renders the truth of any labels of some GROUP columns; None where labels don't say all."""
        del image_size, columns
        return None


def plan_units(num_pieces: int, pieces_per_unit: int) -> list[npt.NDArray[np.int64]]:
    """Deal pieces out to units of nearly equal size, each from all over: a function of the two counts alone."""
    num_units = -(-num_pieces // pieces_per_unit)
    order = np.random.default_rng(_UNIT_SEED).permutation(num_pieces)
    return [order[unit::num_units] for unit in range(num_units)]
