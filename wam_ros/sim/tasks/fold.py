# SPDX-License-Identifier: Apache-2.0
"""The strict measure of a towel folded in half, once or twice. Pure numpy.

A grid is (n, n, 3): ``grid[i, j]`` is the vertex at column i along the towel's own x, from the near to the far edge,
and row j along its y, in a frame whose z is height above the table. Area alone is not safe: a crumpled heap has a
small one too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.types import FloatArray

NEAR_M = 0.03
CORNER_M = 0.04
SHIFT_M = 0.04
HEIGHT_M = 0.03
ALIGNED_SHARE = 0.9
AREA_SHARE = (0.42, 0.60)
# Of a towel folded twice; four layers lie on each other.
TWICE_AREA_SHARE, TWICE_HEIGHT_M = 0.36, 0.045
CELL_M = 0.005


def fold_measures(
    grid: FloatArray, placed: FloatArray, size_m: float, triangles: NDArray[np.int32]
) -> dict[str, float]:
    """Return the numbers by which a half fold is judged.

    Args:
        grid: (n, n, 3) vertices [m].
        placed: (3,) x [m], y [m], yaw [rad] at which the flat towel lay.
        size_m: edge length of the flat towel.
        triangles: (T, 3) vertex indices into the flattened grid.
    """
    n = len(grid)
    moved, kept = grid[: n // 2], grid[::-1][: n // 2]
    gap = np.linalg.norm(moved[..., :2] - kept[..., :2], axis=-1)
    corners = np.linalg.norm(grid[0, [0, -1], :2] - grid[-1, [0, -1], :2], axis=-1)
    middle = placed[:2] + size_m / 4 * np.array([np.cos(placed[2]), np.sin(placed[2])])
    rest = grid[n // 2 :, :, :2].reshape(-1, 2).mean(axis=0)
    return {
        "aligned_share": float((gap < NEAR_M).mean()),
        "corner_m": float(corners.max()),
        "area_share": covered_area_m2(grid.reshape(-1, 3)[:, :2], triangles) / size_m**2,
        "height_m": float(grid[..., 2].max()),
        "shift_m": float(np.linalg.norm(rest - middle)),
    }


def is_aligned(measures: dict[str, float]) -> bool:
    """True when the layers lie on each other."""
    return measures["aligned_share"] >= ALIGNED_SHARE and measures["corner_m"] < CORNER_M


def is_flat(measures: dict[str, float]) -> bool:
    """True when the towel covers half of its area, low, where it lay."""
    low, high = AREA_SHARE
    return low <= measures["area_share"] <= high and measures["height_m"] < HEIGHT_M and measures["shift_m"] < SHIFT_M


def twice_measures(
    grid: FloatArray, placed: FloatArray, size_m: float, triangles: NDArray[np.int32]
) -> dict[str, float]:
    """Return the numbers by which two folds are judged: the near edge onto the far one, then the crease onto it.

    Arguments are those of :func:`fold_measures`.
    """
    half = size_m / 2
    along = np.abs(np.linspace(-half, half, len(grid)))
    along = np.where(along < half / 2, half - along, along)
    x, y = np.meshgrid(along, np.linspace(-half, half, len(grid)), indexing="ij")
    cos, sin = np.cos(placed[2]), np.sin(placed[2])
    ideal = placed[:2] + np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
    return {
        "aligned_share": float((np.linalg.norm(grid[..., :2] - ideal, axis=-1) < NEAR_M).mean()),
        "area_share": covered_area_m2(grid.reshape(-1, 3)[:, :2], triangles) / size_m**2,
        "height_m": float(grid[..., 2].max()),
    }


def is_aligned_twice(measures: dict[str, float]) -> bool:
    """True when four layers lie on each other where two folds bring them."""
    return measures["aligned_share"] >= ALIGNED_SHARE


def is_flat_twice(measures: dict[str, float]) -> bool:
    """True when the towel covers hardly more than a quarter of its area, low."""
    return measures["area_share"] <= TWICE_AREA_SHARE and measures["height_m"] < TWICE_HEIGHT_M


def covered_area_m2(points: FloatArray, triangles: NDArray[np.int32]) -> float:
    """Return the area of the union of triangles, counted in cells of 5 mm.

    Args:
        points: (N, 2) [m].
        triangles: (T, 3) indices into points.
    """
    longest_m = np.linalg.norm(points[triangles] - points[np.roll(triangles, 1, axis=1)], axis=-1).max()
    steps = np.linspace(0, 1, int(longest_m / (0.8 * CELL_M)) + 2)  # closer than the cells, so that none is skipped
    first, second = (w.ravel() for w in np.meshgrid(steps, steps))
    inside = first + second <= 1.0001
    weights = np.stack([first, second, 1 - first - second], axis=-1)[inside]
    samples = (weights @ points[triangles]).reshape(-1, 2)
    cells = ((samples - samples.min(axis=0)) / CELL_M).astype(np.int64)
    taken = np.zeros(cells.max(axis=0) + 1, dtype=bool)
    taken[cells[:, 0], cells[:, 1]] = True
    return float(taken.sum() * CELL_M**2)
