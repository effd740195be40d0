"""One vehicle before the camera: pose, light, jitter, and the layer that any background shows through.

The camera looks down on a turntable; at angle 0 the vehicle faces the viewer, and it turns counter-clockwise seen from
above, so at 90 degrees it drives to the right. View axes: x right, y away from the viewer, z up.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from diffusegae.data.vehicles.raster import coverage, front_facing, rasterise
from diffusegae.data.vehicles.samples import average
from diffusegae.data.vehicles.skins import Skin
from diffusegae.data.vehicles.solids import Array, Mesh

ELEVATION_DEGREES = 27.0
_FILL_WIDTH, _FILL_HEIGHT = 0.86, 0.78
_SINK = 0.02
_CAMERA_DISTANCE = 5.0
_LIGHT = (-0.45, -0.55, 1.0)
_AMBIENT, _GLOSS = 0.50, 0.22
_SHADOW, _SHADOW_BLUR = 0.50, 0.022
_RIM, _RIM_WIDTH = 0.55, 0.012
# Small pictures get more samples: what a wheel loses at 32 px nothing brings back, and they cost little.
_MIN_SAMPLED_SIZE = 128
# Backgrounds are covered in chunks that stay in the processor's cache: four to eight times faster than all at once.
_CACHED_VALUES = 1 << 16


@dataclass(frozen=True)
class View:
    """Hold the camera and light of one picture: angles in degrees, shift and zoom as fractions of the frame.

    `roll` tilts the camera to the side; `light_turn` turns the light about the vertical, and it stands 1 +
    sin(`light_lift`) times as high as usual.
    """

    azimuth: float
    elevation: float = ELEVATION_DEGREES
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    light_turn: float = 0.0
    roll: float = 0.0
    light_lift: float = 0.0


@dataclass(frozen=True)
class Stray:
    """Hold how far a view's parts may stray from where they are without jitter, in a view's units."""

    azimuth: float = 3.0
    elevation: float = 1.5
    zoom: float = 0.025
    shift: float = 0.012
    light_turn: float = 10.0
    roll: float = 0.0
    light_lift: float = 0.0


@dataclass(frozen=True)
class Layer:
    """Hold a foreground in 256ths: what it adds to a background and what it keeps of it, both [size, size, 3]."""

    ink: npt.NDArray[np.uint16]
    keep: npt.NDArray[np.uint16]


def draw_view(azimuth: float, jitter: float, random: np.random.Generator, most: Stray = Stray()) -> View:
    """Draw a view near `azimuth`; `jitter` scales how far it may stray (0 = not at all) of `most`."""
    stray = random.uniform(-1.0, 1.0, size=8) * jitter
    return View(
        azimuth=azimuth + most.azimuth * stray[0],
        elevation=ELEVATION_DEGREES + most.elevation * stray[1],
        zoom=1.0 + most.zoom * stray[2],
        shift=(most.shift * stray[3], most.shift * stray[4]),
        light_turn=most.light_turn * stray[5],
        roll=most.roll * stray[6],
        light_lift=most.light_lift * stray[7],
    )


def draw_layer(mesh: Mesh, view: View, size: int, skin: Skin | None = None) -> Layer:
    """Draw a vehicle with its rim and soft ground shadow once, for all backgrounds; its body in a skin if given."""
    samples = max(2, -(-_MIN_SAMPLED_SIZE // size))
    sampled = samples * size
    placed = mesh.rotated(np.radians(view.azimuth - 90.0), axis=2)
    light = _light(view)
    shadow_corners = placed.corners - placed.corners[..., 2:] * (light / light[2])
    screen, nearness, shadow_screen = _project(placed.corners, shadow_corners, view, sampled)
    facing = front_facing(screen)
    fragments = rasterise(screen[facing], nearness[facing], sampled)
    seen = fragments.triangles
    normals = np.einsum("pc,pci->pi", fragments.weights, placed.normals[facing][seen])
    flat = np.zeros((sampled * sampled, 4))
    colours = placed.colours[facing][seen]
    if skin:
        colours = skin.paint(colours, np.einsum("pc,pci->pi", fragments.weights, mesh.corners[facing][seen]))
    flat[fragments.pixels, :3] = _shade(normals, colours, light, view)
    flat[fragments.pixels, 3] = 1.0
    picture = flat.reshape(sampled, sampled, 4)
    small = average(picture, samples)
    shadow = coverage(shadow_screen[front_facing(shadow_screen)], sampled)
    dark = _darken(shadow, picture[..., 3] > 0, samples)
    keep = np.rint((1.0 - small[..., 3]) * (1.0 - dark) * 256.0).astype(np.uint16)
    return Layer(np.rint(small[..., :3] * 255.0 * 256.0).astype(np.uint16), np.repeat(keep[..., None], 3, axis=-1))


def composite(backgrounds: npt.NDArray[np.uint8], layer: Layer) -> npt.NDArray[np.uint8]:
    """Lay one foreground over backgrounds [count, size, size, 3]; exact where nothing covers them."""
    pictures = np.empty_like(backgrounds)
    count = max(1, _CACHED_VALUES // layer.ink.size)
    ink = layer.ink + np.uint16(128)
    for start in range(0, len(backgrounds), count):
        wide = np.multiply(backgrounds[start : start + count], layer.keep, dtype=np.uint16)
        wide += ink
        wide >>= 8
        pictures[start : start + count] = wide
    return pictures


def _light(view: View) -> Array:
    turn = np.radians(view.light_turn)
    x, y, z = np.array(_LIGHT) * (1.0, 1.0, 1.0 + np.sin(np.radians(view.light_lift)))
    light = np.array([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn), z])
    return np.asarray(light / np.linalg.norm(light))


def _project(corners: Array, shadow: Array, view: View, size: int) -> tuple[Array, Array, Array]:
    """Project to pixels so that the vehicle fills the frame; return its screen, nearness, and the shadow's screen."""
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    screen, nearness = _perspective(corners - centre, radius, view)
    left_top, right_bottom = screen.min(axis=(0, 1)), screen.max(axis=(0, 1))
    extent = right_bottom - left_top
    scale = view.zoom * size * min(_FILL_WIDTH / extent[0], _FILL_HEIGHT / extent[1])
    offset = size * (np.array([0.5, 0.5 + _SINK]) + view.shift) - scale * (left_top + right_bottom) / 2
    shadow_screen, _ = _perspective(shadow - centre, radius, view)
    return screen * scale + offset, nearness, shadow_screen * scale + offset


def _perspective(points: Array, radius: float, view: View) -> tuple[Array, Array]:
    """Return screen x and y (downwards) in world units at the turntable's centre, and one over relative depth."""
    sine, cosine = np.sin(np.radians(view.elevation)), np.cos(np.radians(view.elevation))
    towards = points[..., 2] * sine - points[..., 1] * cosine
    nearness = 1.0 / (1.0 - towards / (_CAMERA_DISTANCE * radius))
    up = points[..., 2] * cosine + points[..., 1] * sine
    across, down = points[..., 0] * nearness, -up * nearness
    sine, cosine = np.sin(np.radians(view.roll)), np.cos(np.radians(view.roll))
    return np.stack([cosine * across - sine * down, sine * across + cosine * down], axis=-1), nearness


def _shade(normals: Array, colours: Array, light: Array, view: View) -> Array:
    """Shade seen points: sky-weighted ambient, Lambert, and a small plastic highlight."""
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    elevation = np.radians(view.elevation)
    halfway = light + np.array([0.0, -np.cos(elevation), np.sin(elevation)])
    halfway /= np.linalg.norm(halfway)
    lambert = np.maximum(normals @ light, 0.0)
    ambient = _AMBIENT * (0.85 + 0.15 * normals[:, 2])
    gloss = _GLOSS * np.maximum(normals @ halfway, 0.0) ** 24
    lit = colours * (ambient + 0.62 * lambert)[:, None] + gloss[:, None]
    return np.asarray(np.clip(lit, 0.0, 1.0))


def _darken(shadow: npt.NDArray[np.bool_], vehicle: npt.NDArray[np.bool_], samples: int) -> Array:
    """Return how much darker the ground gets [size, size]: the soft shadow, and a thin rim around the vehicle."""
    sampled = vehicle.shape[0]
    rim = _dilate(vehicle, max(1, round(_RIM_WIDTH * sampled)))
    small = average(np.stack([shadow, rim], axis=-1).astype(np.float64), samples)
    soft = _blur(small[..., 0], max(1, round(_SHADOW_BLUR * sampled / samples)))
    return np.maximum(_SHADOW * soft, _RIM * small[..., 1])


def _dilate(mask: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    """Grow a mask by an octagon of about `radius` pixels."""
    grown = mask
    for step in range(radius):
        wider = grown.copy()
        for axis in (0, 1):
            source = wider.copy() if step % 2 else grown
            low = [slice(None)] * 2
            high = [slice(None)] * 2
            low[axis], high[axis] = slice(None, -1), slice(1, None)
            wider[tuple(low)] |= source[tuple(high)]
            wider[tuple(high)] |= source[tuple(low)]
        grown = wider
    return grown


def _blur(picture: Array, radius: int) -> Array:
    """Blur by two box filters along each axis, the border repeated."""
    width = 2 * radius + 1
    for axis in (0, 1, 0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(picture, padding, mode="edge"), axis=axis)
        ahead = np.take(total, np.arange(width, total.shape[axis]), axis=axis)
        picture = (ahead - np.take(total, np.arange(total.shape[axis] - width), axis=axis)) / width
    return picture
