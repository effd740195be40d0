"""A z-buffer rasteriser in vectorised numpy: projected triangles in, the visible triangle of every pixel out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fragments:
    """Hold what is seen: flat pixel index [seen], triangle index [seen], barycentric weights [seen, 3]."""

    pixels: Indices
    triangles: Indices
    weights: Array


def front_facing(screen: Array) -> npt.NDArray[np.bool_]:
    """Mark the triangles [triangles, 3, 2] that wind towards the viewer on a screen whose y grows downwards."""
    return _doubled_area(screen) > 1e-9


def rasterise(screen: Array, nearness: Array, size: int) -> Fragments:
    """Find the nearest triangle of every covered pixel of a `size` x `size` picture.

    `screen` [triangles, 3, 2] holds x and y in pixels (pixel centres at .5) and only front-facing triangles; `nearness`
    [triangles, 3] grows towards the viewer and is linear on the screen (one over depth is).
    """
    triangles, x, y = _cover(screen, size)
    pixels = y * size + x
    gradient = _plane(screen, nearness)[triangles]
    near = gradient[:, 0] * (x + 0.5) + gradient[:, 1] * (y + 0.5) + gradient[:, 2]
    nearest = np.full(size * size, -np.inf)
    np.maximum.at(nearest, pixels, near)
    winner = np.full(size * size, -1, dtype=np.int64)
    ahead = near >= nearest[pixels]
    winner[pixels[ahead]] = triangles[ahead]
    seen = np.flatnonzero(winner >= 0)
    return Fragments(seen, winner[seen], _barycentric(screen[winner[seen]], seen % size, seen // size))


def coverage(screen: Array, size: int) -> npt.NDArray[np.bool_]:
    """Return which pixels [size, size] any triangle covers."""
    _, x, y = _cover(screen, size)
    covered = np.zeros((size, size), dtype=np.bool_)
    covered[y, x] = True
    return covered


def _cover(screen: Array, size: int) -> tuple[Indices, Indices, Indices]:
    """List (triangle, x, y) of every pixel centre inside every triangle, row by row without a Python loop."""
    y_low = np.maximum(np.ceil(screen[:, :, 1].min(axis=1) - 0.5), 0).astype(np.int64)
    y_high = np.minimum(np.floor(screen[:, :, 1].max(axis=1) - 0.5), size - 1).astype(np.int64)
    row_of, row = _ragged(y_low, y_high)
    start, end = screen, np.roll(screen, -1, axis=1)
    rise = (start[:, :, 1] - end[:, :, 1])[row_of]
    run = (end[:, :, 0] - start[:, :, 0])[row_of]
    # An edge's line crosses the row's centre here; an edge that goes down the screen bounds the span from the left, one
    # that goes up from the right, and a level edge bounds nothing within its own rows.
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = start[row_of, :, 0] - run * ((row + 0.5)[:, None] - start[row_of, :, 1]) / rise
    left = np.where(rise < 0, cross, -np.inf).max(axis=1)
    right = np.where(rise > 0, cross, np.inf).min(axis=1)
    x_low = np.ceil(np.clip(left - 0.5, 0, size)).astype(np.int64)
    x_high = np.floor(np.clip(right - 0.5, -1, size - 1)).astype(np.int64)
    span_of, x = _ragged(x_low, x_high)
    return row_of[span_of], x, row[span_of]


def _ragged(low: Indices, high: Indices) -> tuple[Indices, Indices]:
    """Expand inclusive ranges into (index of the range, value) pairs; empty ranges vanish."""
    counts = np.maximum(high - low + 1, 0)
    owner = np.repeat(np.arange(len(low)), counts)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, low[owner] + offset


def _plane(screen: Array, value: Array) -> Array:
    """Fit value = a x + b y + c to each triangle's corners, as rows (a, b, c)."""
    edge_one, edge_two = screen[:, 1] - screen[:, 0], screen[:, 2] - screen[:, 0]
    step_one, step_two = value[:, 1] - value[:, 0], value[:, 2] - value[:, 0]
    determinant = edge_one[:, 0] * edge_two[:, 1] - edge_one[:, 1] * edge_two[:, 0]
    a = (step_one * edge_two[:, 1] - step_two * edge_one[:, 1]) / determinant
    b = (step_two * edge_one[:, 0] - step_one * edge_two[:, 0]) / determinant
    return np.stack([a, b, value[:, 0] - a * screen[:, 0, 0] - b * screen[:, 0, 1]], axis=1)


def _barycentric(screen: Array, column: Indices, row: Indices) -> Array:
    x, y = np.asarray(column, np.float64) + 0.5, np.asarray(row, np.float64) + 0.5
    second = _plane(screen, np.broadcast_to([0.0, 1.0, 0.0], screen.shape[:2]))
    third = _plane(screen, np.broadcast_to([0.0, 0.0, 1.0], screen.shape[:2]))
    weight_two = second[:, 0] * x + second[:, 1] * y + second[:, 2]
    weight_three = third[:, 0] * x + third[:, 1] * y + third[:, 2]
    weights = np.stack([1 - weight_two - weight_three, weight_two, weight_three], axis=1)
    return np.clip(weights, 0.0, 1.0)


def _doubled_area(screen: Array) -> Array:
    """Return twice the area, positive for triangles that wind as seen from their front (y downwards)."""
    one, two = screen[:, 1] - screen[:, 0], screen[:, 2] - screen[:, 0]
    return one[:, 1] * two[:, 0] - one[:, 0] * two[:, 1]
