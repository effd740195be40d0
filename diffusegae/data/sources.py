"""Sources: the three places where images come from, behind one protocol of restartable units of work."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from jaxtyping import Integer, UInt8

from diffusegae import storage
from diffusegae.config.data import DataConfig
from diffusegae.data.containers import ContainerKind, Member, container_kind, read_members
from diffusegae.data.folder import list_folder, needed_columns
from diffusegae.data.ilab import LABEL_COLUMNS, list_ilab
from diffusegae.data.index import (
    OFFSET,
    PACKING,
    PATH,
    SIZE,
    Index,
    build_index,
    read_chunk,
    read_combinations,
    read_index,
    read_repeated,
)
from diffusegae.data.records import KEY, Skipped, SourceImage
from diffusegae.data.splits import Combinations
from diffusegae.data.vehicles import VehicleWorld
from diffusegae.images import Encoding, decode_image, encode_image

VEHICLE_COLUMNS = ("category", "instance", "background", "pose")
# A shard takes this many pieces from all over its source, so that a few shards already hold varied labels.
_PIECES_PER_SHARD = 16
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


@dataclass(frozen=True)
class VehicleSource:
    """Rendered vehicles; a unit is some layers, each an instance in a pose on all backgrounds."""

    world: VehicleWorld
    shard_rows: int

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Label column to its values, in the world's own order."""
        world = self.world
        kinds = range(world.num_kinds)
        return {
            "category": tuple(world.kind_name(kind) for kind in kinds),
            "instance": tuple(world.instance_name(k, i) for k in kinds for i in range(world.num_instances)),
            "background": tuple(world.background_name(b) for b in range(world.num_backgrounds)),
            "pose": tuple(world.pose_name(pose) for pose in range(world.num_poses)),
        }

    @property
    def fingerprint(self) -> str:
        """The world itself, in words."""
        return repr(self.world)

    @property
    def num_units(self) -> int:
        """Number of units."""
        return len(self._units)

    @property
    def _units(self) -> list[npt.NDArray[np.int64]]:
        num_layers = self.world.num_images // self.world.num_backgrounds
        return plan_units(num_layers, max(1, self.shard_rows // self.world.num_backgrounds))

    def combinations(self, columns: Sequence[str]) -> Combinations:
        """Return every combination of the world's labels."""
        world, vocabularies = self.world, self.vocabularies
        sizes = (world.num_kinds * world.num_instances, world.num_poses, world.num_backgrounds)
        instance, pose, background = np.unravel_index(np.arange(world.num_images), sizes)
        labels = {"category": instance // world.num_instances, "instance": instance, "background": background,
                  "pose": pose}  # fmt: skip
        return Combinations(
            {name: vocabularies[name] for name in columns},
            {name: labels[name].astype(np.int32) for name in columns},
            np.ones(world.num_images, np.int64),
        )

    def read(self, unit: int) -> Iterator[SourceImage | Skipped]:
        """Render the layers of a unit."""
        layers = list(self.world.layers())
        backgrounds = self.vocabularies["background"]
        for index in self._units[unit]:
            kind, instance, pose = layers[index]
            labels = {
                "category": self.world.kind_name(kind),
                "instance": self.world.instance_name(kind, instance),
                "pose": self.world.pose_name(pose),
            }
            for background, pixels in zip(backgrounds, self.world.render_layer(kind, instance, pose), strict=True):
                key = f"{labels['instance']}-{background}-{labels['pose']}"
                yield SourceImage(key, key, {**labels, "background": background}, pixels)


@dataclass(frozen=True)
class IndexedSource:
    """Files listed by an index: iLab, or a folder with its table; a unit is some chunks of the index."""

    root: str
    kind: ContainerKind
    index_uri: str
    index: Index

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Label column to the values that the names or the table have."""
        return self.index.vocabularies

    @property
    def fingerprint(self) -> str:
        """Hash of all keys."""
        return self.index.fingerprint

    @property
    def num_units(self) -> int:
        """Number of units."""
        return len(self._units)

    @property
    def _units(self) -> list[npt.NDArray[np.int64]]:
        return plan_units(self.index.num_chunks, _PIECES_PER_SHARD)

    def combinations(self, columns: Sequence[str]) -> Combinations:
        """Return the combinations of labels that the index has, one part of it in memory at a time."""
        return read_combinations(self.index_uri, self.index, columns)

    def read(self, unit: int) -> Iterator[SourceImage | Skipped]:
        """Read the chunks of a unit, leaving out what repeats an earlier key."""
        repeated = read_repeated(self.index_uri, self.index)
        for chunk in np.sort(self._units[unit]):
            entries = read_chunk(self.index_uri, self.index, int(chunk)).to_pylist()
            first = int(chunk) * self.index.chunk_rows
            is_repeated = np.isin(np.arange(first, first + len(entries)), repeated)
            for entry, again in zip(entries, is_repeated, strict=True):
                if again:
                    yield Skipped(entry[PATH], "repeated key", f"another file has the key {entry[KEY]!r}")
            yield from self._read_entries(
                [entry for entry, again in zip(entries, is_repeated, strict=True) if not again]
            )

    def _read_entries(self, entries: list[dict[str, str]]) -> Iterator[SourceImage | Skipped]:
        members = [Member(entry[PATH], int(entry[OFFSET]), int(entry[SIZE]), int(entry[PACKING])) for entry in entries]
        for entry, content in zip(entries, read_members(self.root, self.kind, members), strict=True):
            if isinstance(content, Skipped):
                yield content
            else:
                labels = {column: entry[column] for column in self.index.vocabularies}
                yield SourceImage(entry[KEY], entry[PATH], labels, content)


@dataclass(frozen=True)
class Renderer:
    """Renders vehicles by their labels, each with a camera and light of its own draw, as they would be stored."""

    world: VehicleWorld
    instance_column: str
    encoding: Encoding
    quality: int

    def render(
        self, labels: Mapping[str, Integer[np.ndarray, " n"]], draws: Sequence[int] | Integer[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Render labels, given by column as indices into the vocabularies; the same draw gives the same picture.

        Draw 0 is the picture of the data set itself, to the bit; every other one is a picture that it lacks.
        """
        world, number = self.world, np.asarray(draws)
        instance, pose, background = (labels[name] for name in (self.instance_column, "pose", "background"))
        pixels = np.empty((len(number), world.size, world.size, 3), np.uint8)
        for row in np.lexsort((number, pose, instance)):  # what shows one foreground side by side, so it is drawn once
            kind, own = divmod(int(instance[row]), world.num_instances)
            picture = world.render(kind, own, int(background[row]), int(pose[row]), int(number[row]))
            if self.encoding != "png":
                picture = decode_image(encode_image(picture, self.encoding, self.quality))
            pixels[row] = picture
        return pixels


def open_renderer(data: DataConfig, image_size: int) -> Renderer | None:
    """Open what renders the true picture of any GROUP labels.

    None where the source can't: it is finite, has no jitter to draw anew, or the labels don't say all that is shown.
    """
    instance = "category" if data.vehicles.num_instances == 1 else "instance"
    columns = {spec.group_column or spec.column or name for name, spec in data.attributes.items()}
    instance = instance if instance in columns else "instance"
    if data.source != "vehicles" or data.vehicles.jitter == 0 or not columns >= {instance, "background", "pose"}:
        return None
    world = VehicleWorld(size=image_size, **data.vehicles.model_dump())
    return Renderer(world, instance, data.encoding, data.quality)


def plan_units(num_pieces: int, pieces_per_unit: int) -> list[npt.NDArray[np.int64]]:
    """Deal pieces out to units of nearly equal size, each from all over: a function of the two counts alone."""
    num_units = -(-num_pieces // pieces_per_unit)
    order = np.random.default_rng(_UNIT_SEED).permutation(num_pieces)
    return [order[unit::num_units] for unit in range(num_units)]


def label_columns(data: DataConfig) -> tuple[str, ...]:
    """Return the label columns that the rows of this config's source get."""
    return {"vehicles": VEHICLE_COLUMNS, "ilab": LABEL_COLUMNS, "folder": needed_columns(data.attributes)}[data.source]


def open_source(data: DataConfig, image_size: int, index_uri: str) -> Source:
    """Open the source that a config names; files are listed once, into an index at `index_uri`.

    Raises:
        SourceError: the source is missing, damaged, or lacks what the config asks of it.
    """
    if data.source == "vehicles":
        world = VehicleWorld(size=image_size, **data.vehicles.model_dump())
        return VehicleSource(world, data.shard_rows)
    root = storage.resolve(data.ilab.uri if data.source == "ilab" else data.folder.images)
    kind = container_kind(root)
    index = read_index(index_uri)
    if index is None:
        columns = label_columns(data)
        listings = list_ilab(root, kind) if data.source == "ilab" else list_folder(data.folder, columns)
        index = build_index(index_uri, listings, columns, max(1, data.shard_rows // _PIECES_PER_SHARD))
    return IndexedSource(root, kind, index_uri, index)
