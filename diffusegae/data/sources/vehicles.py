"""Rendered vehicles: the embedded set, without a download."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Integer, UInt8
from pydantic import Field

from diffusegae.data.records import Skipped, SourceImage
from diffusegae.data.sources.source import Opening, SourceConfig, plan_units
from diffusegae.data.splits import Combinations
from diffusegae.data.vehicles import Look, VehicleWorld

VEHICLE_COLUMNS = ("category", "instance", "background", "pose")


class VehiclesConfig(SourceConfig):
    """The embedded toy vehicles: any combination can be rendered, so the truth of every edit is known."""

    kind: Literal["vehicles"] = "vehicles"
    look: Look = Field(
        "toy", description="toy, or hard: patterned bodies on clutter, lights from anywhere, a camera that tilts."
    )
    num_kinds: int = Field(10, description="Kinds of vehicle, up to 20.")
    num_instances: int = Field(2, description="Instances per kind.")
    num_backgrounds: int = Field(111, description="Background textures.")
    num_poses: int = Field(6, description="Turntable angles.")
    seed: int = Field(0, description="Seed of instances and textures.")
    jitter: float = Field(1.0, ge=0, description="Scale of the small camera and light jitter per instance and pose.")
    own_columns: ClassVar[tuple[str, ...]] = VEHICLE_COLUMNS

    def world(self, image_size: int) -> VehicleWorld:
        """Return the world in pictures of a size."""
        return VehicleWorld(size=image_size, **self.model_dump(exclude={"kind"}))

    def open(self, opening: Opening) -> "VehicleSource":
        """Open the source; nothing can be missing."""
        return VehicleSource(self.world(opening.image_size), opening.shard_rows)

    def renderer(self, image_size: int, columns: Sequence[str]) -> "VehicleRenderer | None":
        """Open what renders any vehicle; None without jitter to draw anew, or where labels don't say all that shows."""
        instance = "category" if self.num_instances == 1 and "instance" not in columns else "instance"
        if self.jitter == 0 or not set(columns) >= {instance, "background", "pose"}:
            return None
        return VehicleRenderer(self.world(image_size), instance)


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
class VehicleRenderer:
    """Renders vehicles by their labels, each with a camera and light of its own draw."""

    world: VehicleWorld
    instance_column: str

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
            pixels[row] = world.render(kind, own, int(background[row]), int(pose[row]), int(number[row]))
        return pixels
