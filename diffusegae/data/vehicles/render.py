"""The toy-vehicle world: every combination of kind, instance, pose and background as a picture, by a pure function."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from diffusegae.data.vehicles.clutter import clutter
from diffusegae.data.vehicles.scene import Layer, Stray, composite, draw_layer, draw_view
from diffusegae.data.vehicles.shapes import KINDS, build_vehicle
from diffusegae.data.vehicles.skins import Skin
from diffusegae.data.vehicles.solids import Mesh
from diffusegae.data.vehicles.textures import texture, texture_stack

# iLab-20M's six usual rotations, in steps of 45 degrees.
_ILAB_ROTATIONS = (1, 2, 3, 4, 6, 7)
Look = Literal["toy", "hard"]
# In the hard look lights stand anywhere, cameras tilt, and vehicles are off the centre.
_STRAY = {"toy": Stray(), "hard": Stray(7.0, 6.0, 0.09, 0.05, 180.0, 6.0, 25.0)}


@dataclass(frozen=True)
class VehicleWorld:
    """Hold the counts, size, seed and look of a world; rendering depends on nothing else.

    The hard look has patterned bodies, cluttered backgrounds, lights from anywhere and a camera that tilts and shifts.
    Raises ValueError for a count or size out of range.
    """

    num_kinds: int = 10
    num_instances: int = 2
    num_backgrounds: int = 111
    num_poses: int = 6
    size: int = 32
    seed: int = 0
    jitter: float = 1.0
    look: Look = "toy"

    def __post_init__(self) -> None:
        _require("num_kinds", self.num_kinds, 2, len(KINDS))
        _require("num_instances", self.num_instances, 1, 10_000)
        _require("num_backgrounds", self.num_backgrounds, 2, 1000)
        _require("num_poses", self.num_poses, 2, 16)
        _require("size", self.size, 32, 256)
        _require("seed", self.seed, 0, 2**32 - 1)
        _require("jitter", self.jitter, 0.0, 2.0)

    @property
    def num_images(self) -> int:
        """Count all combinations."""
        return self.num_kinds * self.num_instances * self.num_poses * self.num_backgrounds

    def render(self, kind: int, instance: int, background: int, pose: int, draw: int = 0) -> npt.NDArray[np.uint8]:
        """Render one combination as [size, size, 3]; draw 0 equals the same slice of `render_layer`.

        Every other `draw` (0 to 2**32 - 1) shows it by a camera and light of its own, as far off as `jitter` allows.
        """
        chosen = self._backgrounds[background : background + 1]
        return composite(chosen, _foreground(self, kind, instance, pose, draw)).squeeze(axis=0)

    def render_layer(self, kind: int, instance: int, pose: int) -> npt.NDArray[np.uint8]:
        """Render an instance in a pose on every background: [num_backgrounds, size, size, 3]."""
        return composite(self._backgrounds, _foreground(self, kind, instance, pose, 0))

    def layers(self) -> Iterator[tuple[int, int, int]]:
        """Yield every (kind, instance, pose), the pose running fastest."""
        for index in np.ndindex(self.num_kinds, self.num_instances, self.num_poses):
            yield index[0], index[1], index[2]

    def kind_name(self, kind: int) -> str:
        """Name a kind: "car"."""
        return KINDS[kind]

    def instance_name(self, kind: int, instance: int) -> str:
        """Name an instance as iLab does: "car-i0003"."""
        return f"{KINDS[kind]}-i{instance:04d}"

    def background_name(self, background: int) -> str:
        """Name a background: "b0007"."""
        return f"b{background:04d}"

    def pose_name(self, pose: int) -> str:
        """Name a pose: iLab's own rotation with six poses ("r07"), else its number ("r05")."""
        return f"r{_ILAB_ROTATIONS[pose] if self._is_ilab else pose:02d}"

    def pose_degrees(self, pose: int) -> float:
        """Return the turn of a pose: 0 faces the viewer, 90 drives to the right."""
        return 45.0 * _ILAB_ROTATIONS[pose] if self._is_ilab else 360.0 * pose / self.num_poses

    @property
    def _is_ilab(self) -> bool:
        return self.num_poses == len(_ILAB_ROTATIONS)

    @property
    def _backgrounds(self) -> npt.NDArray[np.uint8]:
        return texture_stack(self.num_backgrounds, self.size, self.seed, clutter if self.look == "hard" else texture)


# The caches belong to the process, so a world stays a few numbers when it is sent to another one.
@lru_cache(maxsize=64)
def _mesh(kind: int, instance: int, seed: int) -> Mesh:
    return build_vehicle(kind, instance, seed)


@lru_cache(maxsize=128)
def _foreground(world: VehicleWorld, kind: int, instance: int, pose: int, draw: int) -> Layer:
    degrees = world.pose_degrees(pose)
    entropy = [world.seed, 31, kind, instance, round(degrees * 1000)]
    random = np.random.default_rng([*entropy, draw] if draw else entropy)
    view = draw_view(degrees, world.jitter, random, _STRAY[world.look])
    skin = Skin(kind, instance, world.seed) if world.look == "hard" else None
    return draw_layer(_mesh(kind, instance, world.seed), view, world.size, skin)


def _require(name: str, value: int | float, low: int | float, high: int | float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} = {value} is out of range: expected {low} to {high}; change it in the data config")
