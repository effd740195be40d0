"""Coloured solids: closed triangle meshes with a normal per corner, and the few primitives every toy is built from.

Coordinates: x forward, y left, z up; the ground is z = 0. Every solid is closed and its triangles wind outwards, so a
rasteriser may drop the faces that look away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Colour = tuple[float, float, float]

# A station of a block: x, half width at the bottom, half width at the top, z of the bottom, z of the top.
BlockStation = tuple[float, float, float, float, float]
# A station of a tube: position along its axis, the two radii across it, and the lift of its centre.
TubeStation = tuple[float, float, float, float]

_DEGENERATE = 1e-12


@dataclass(frozen=True)
class Mesh:
    """Hold triangles: corners and normals [triangles, 3, 3], colours [triangles, 3] in [0, 1]."""

    corners: Array
    normals: Array
    colours: Array

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Mesh":
        """Shift every corner."""
        return Mesh(self.corners + np.array([x, y, z]), self.normals, self.colours)

    def rotated(self, angle: float, axis: int) -> "Mesh":
        """Turn by `angle` radians about coordinate axis 0, 1 or 2 through the origin."""
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[second, first], turn[first, second] = np.sin(angle), -np.sin(angle)
        return Mesh(self.corners @ turn.T, self.normals @ turn.T, self.colours)


def join(meshes: Iterable[Mesh]) -> Mesh:
    """Put several meshes into one."""
    parts = list(meshes)
    return Mesh(
        np.concatenate([part.corners for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.colours for part in parts]),
    )


def block(stations: Sequence[BlockStation], colour: Colour, chamfer: float = 0.03) -> Mesh:
    """Loft a flat-sided body through cross-sections along x, its upper edges cut by `chamfer`."""
    x, low, high, bottom, top = np.array(stations, dtype=np.float64).T
    cut = np.minimum(chamfer, 0.45 * np.minimum(high, np.maximum(top - bottom, 0.0)))
    y = np.stack([-low, low, high, high - cut, cut - high, -high], axis=1)
    z = np.stack([bottom, bottom, top - cut, top, top, top - cut], axis=1)
    return _loft(np.stack([np.broadcast_to(x[:, None], y.shape), y, z], axis=-1), colour, smooth=False)


def prism(
    x: tuple[float, float],
    half_widths: tuple[float, float],
    z: tuple[float, float],
    colour: Colour,
    chamfer: float = 0.03,
) -> Mesh:
    """Fill a straight block along x with half widths (bottom, top), its upper edges cut by `chamfer`."""
    return block([(x[0], *half_widths, *z), (x[1], *half_widths, *z)], colour, chamfer)


def slab(x: tuple[float, float], half_width: float, z: tuple[float, float], colour: Colour) -> Mesh:
    """Fill an axis-aligned box that reaches `half_width` to either side."""
    return prism(x, (half_width, half_width), z, colour, chamfer=0.0)


def box(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], colour: Colour) -> Mesh:
    """Fill the axis-aligned box between three pairs of bounds."""
    half, middle = (y[1] - y[0]) / 2, (y[0] + y[1]) / 2
    return slab(x, half, z, colour).moved(y=middle)


def tube(stations: Sequence[TubeStation], colour: Colour, axis: int = 0, segments: int = 14) -> Mesh:
    """Loft a round, smoothly shaded body through ellipses along coordinate axis 0, 1 or 2.

    The two radii go along the other two coordinates in ascending order; the lift goes along the last of them.
    """
    along, first, second, lift = np.array(stations, dtype=np.float64).T
    angle = (np.arange(segments) + 0.5) * (2 * np.pi / segments)
    rings = np.empty((len(stations), segments, 3))
    others = [other for other in range(3) if other != axis]
    rings[..., axis] = along[:, None]
    rings[..., others[0]] = first[:, None] * np.cos(angle)
    rings[..., others[1]] = second[:, None] * np.sin(angle) + lift[:, None]
    return _loft(rings, colour, smooth=True)


def cylinder(
    centre: tuple[float, float, float], radius: float, length: float, colour: Colour, axis: int, segments: int = 14
) -> Mesh:
    """Fill a round cylinder about `centre` along coordinate axis 0, 1 or 2."""
    half = length / 2
    return tube([(-half, radius, radius, 0.0), (half, radius, radius, 0.0)], colour, axis, segments).moved(*centre)


def ellipsoid(
    centre: tuple[float, float, float], radii: tuple[float, float, float], colour: Colour, segments: int = 14
) -> Mesh:
    """Fill an ellipsoid about `centre`."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 9)
    stations = [(np.sin(a) * radii[0], np.cos(a) * radii[1], np.cos(a) * radii[2], 0.0) for a in latitude]
    return tube(stations, colour, 0, segments).moved(*centre)


def _loft(rings: Array, colour: Colour, smooth: bool) -> Mesh:
    """Skin rings [stations, points, 3] of convex outlines and close both ends."""
    following = np.roll(rings, -1, axis=1)
    a, b, c, d = rings[:-1], following[:-1], following[1:], rings[1:]
    quads = np.stack([np.stack([a, b, c], axis=2), np.stack([a, c, d], axis=2)], axis=2)
    sides = quads.reshape(-1, 3, 3)
    caps = np.concatenate([_fan(rings[0])[:, ::-1], _fan(rings[-1])])
    corners = np.concatenate([sides, caps])
    inside_out = _volume(corners) < 0
    flat = _face_normals(corners)
    normals = np.repeat(flat[:, None], 3, axis=1)
    if smooth:
        normals[: len(sides)] = _smooth_normals(rings, flat[: len(sides)])
    if inside_out:
        corners, normals, flat = corners[:, ::-1], -normals[:, ::-1], -flat
    solid = np.linalg.norm(flat, axis=1) > 0.5
    corners, normals = corners[solid], normals[solid]
    return Mesh(corners, normals, np.tile(np.array(colour, dtype=np.float64), (len(corners), 1)))


def _fan(ring: Array) -> Array:
    centre = np.broadcast_to(ring.mean(axis=0), ring.shape)
    return np.stack([centre, ring, np.roll(ring, -1, axis=0)], axis=1)


def _volume(corners: Array) -> float:
    centred = corners - corners.mean(axis=(0, 1))
    return float(np.einsum("ti,ti->", centred[:, 0], np.cross(centred[:, 1], centred[:, 2])))


def _face_normals(corners: Array) -> Array:
    """Return unit normals, and zeros for triangles without area."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > _DEGENERATE, normals / np.maximum(length, _DEGENERATE), 0.0)


def _smooth_normals(rings: Array, flat: Array) -> Array:
    """Average the side normals around every ring point and hand them to the triangles' corners."""
    stations, points, _ = rings.shape
    panel = flat.reshape(stations - 1, points, 2, 3).sum(axis=2)
    around = panel + np.roll(panel, 1, axis=1)
    vertex = np.zeros_like(rings)
    vertex[:-1] += around
    vertex[1:] += around
    vertex /= np.maximum(np.linalg.norm(vertex, axis=-1, keepdims=True), _DEGENERATE)
    following = np.roll(vertex, -1, axis=1)
    a, b, c, d = vertex[:-1], following[:-1], following[1:], vertex[1:]
    return np.stack([np.stack([a, b, c], axis=2), np.stack([a, c, d], axis=2)], axis=2).reshape(-1, 3, 3)
