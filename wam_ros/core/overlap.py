# SPDX-License-Identifier: Apache-2.0
"""Two cameras that see one surface: how far apart they have it, and how that changes when either camera is displaced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.transforms import invert, skew
from wam_ros.core.types import DepthImage, FloatArray

STEP_PX = 8
"""Distance of the points taken from a depth picture."""
LARGEST_GAP_M = 0.05
"""Surfaces farther apart than this are two things, or one hides the other."""
SMOOTH = 0.02
"""Largest relative change of distance between neighbours of one surface, from pixel to pixel."""
LEAST_FACING = 0.35
"""Cosine between a surface's normal and the ray."""
SCALE = np.repeat([0.01, np.radians(2.0)], 3)
"""What a displacement is measured in."""


@dataclass(frozen=True)
class Gaze:
    """What one camera measures at one time.

    Attributes:
        depth_m: (H, W) distance along the optical axis [m]; 0, negative or NaN where unknown.
        matrix: (3, 3) camera matrix of that picture [px].
        T_base_camera: (4, 4) where the calibration has the optical frame.
    """

    depth_m: DepthImage
    matrix: FloatArray
    T_base_camera: FloatArray


@dataclass(frozen=True)
class Met:
    """Points of one camera on surfaces that another sees.

    Attributes:
        apart_m: (N,) from the other's surface to the point, along the normal.
        by_one, by_other: (N, 6) derivative by the right twist of each camera, in units of ``SCALE``.
        weights: (N,).
    """

    apart_m: FloatArray
    by_one: FloatArray
    by_other: FloatArray
    weights: FloatArray


def meet(one: Gaze, other: Gaze) -> Met | None:
    """Return how points of one camera lie on the surfaces that another sees; None where they share none."""
    points, normals = _surface(one)
    if not len(points):
        return None
    T_other_one = invert(other.T_base_camera) @ one.T_base_camera
    there = points @ T_other_one[:3, :3].T + T_other_one[:3, 3]
    facing = normals @ T_other_one[:3, :3].T
    seen, known = _looked_up(other, there)
    distance = np.linalg.norm(seen, axis=1)
    toward = np.einsum("ij,ij->i", facing, seen) / np.maximum(distance, 1e-9)
    apart = np.einsum("ij,ij->i", facing, there - seen)
    good = known & (toward < -LEAST_FACING) & (np.abs(apart) < LARGEST_GAP_M)
    if not good.any():
        return None
    n_other, n_one = facing[good], normals[good]
    by_one = np.hstack([n_one, np.einsum("ij,ijk->ik", n_one, -skew(points[good]))]) * SCALE
    by_other = -np.hstack([n_other, np.einsum("ij,ijk->ik", n_other, -skew(seen[good]))]) * SCALE
    found = apart[good]
    spread = max(1.48 * float(np.median(np.abs(found - np.median(found)))), 0.001)
    weights = 1 / np.maximum(1.0, np.abs(found) / (3 * max(spread, abs(float(np.median(found))))))
    return Met(found, by_one, by_other, weights)


def _surface(gaze: Gaze) -> tuple[FloatArray, FloatArray]:
    """(N, 3) points of a grid and their normals, in the camera's frame, where neighbours lie on one surface."""
    height, width = gaze.depth_m.shape
    rows, columns = (a.reshape(-1) for a in np.mgrid[4 : height - 4 : STEP_PX, 4 : width - 4 : STEP_PX])
    middle, smooth = _patch(gaze.depth_m, rows, columns, 3)
    rows, columns, middle = rows[smooth], columns[smooth], middle[smooth]
    right = _point(gaze, rows, columns + 3) - _point(gaze, rows, columns - 3)
    down = _point(gaze, rows + 3, columns) - _point(gaze, rows - 3, columns)
    normals = np.cross(down, right)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    points = _ray(gaze, rows, columns) * middle[:, None]
    facing = np.einsum("ij,ij->i", normals, points) < -LEAST_FACING * np.linalg.norm(points, axis=1)
    return points[facing], normals[facing]


def _patch(
    depth_m: DepthImage, rows: NDArray[np.int64], columns: NDArray[np.int64], reach: int
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Depth at pixels, and whether all around them belong to one surface: opposite neighbours lie evenly about the middle."""
    middle = depth_m[rows, columns].astype(np.float64)
    smooth = middle > 0
    for down, right in ((reach, 0), (0, reach)):
        before, after = (depth_m[rows + s * down, columns + s * right].astype(np.float64) for s in (-1, 1))
        even = np.abs(before + after - 2 * middle) < SMOOTH * middle
        near = np.abs(after - before) < 2 * reach * SMOOTH * middle
        smooth &= (before > 0) & (after > 0) & even & near
    return middle, smooth


def _ray(gaze: Gaze, rows: FloatArray | NDArray[np.int64], columns: FloatArray | NDArray[np.int64]) -> FloatArray:
    K = gaze.matrix
    return np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones(len(rows))], axis=1)


def _point(gaze: Gaze, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> FloatArray:
    return _ray(gaze, rows, columns) * gaze.depth_m[rows, columns][:, None].astype(np.float64)


def _looked_up(gaze: Gaze, points: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """(N, 3) what the camera sees in the direction of points in its frame, and whether it sees a surface there."""
    height, width = gaze.depth_m.shape
    ahead = points[:, 2] > 0.02
    z = np.where(ahead, points[:, 2], 1.0)
    columns = gaze.matrix[0, 0] * points[:, 0] / z + gaze.matrix[0, 2]
    rows = gaze.matrix[1, 1] * points[:, 1] / z + gaze.matrix[1, 2]
    inside = ahead & (columns > 3) & (columns < width - 4) & (rows > 3) & (rows < height - 4)
    row, column = (np.where(inside, np.round(a), 4).astype(np.int64) for a in (rows, columns))
    depth, smooth = _patch(gaze.depth_m, row, column, 2)
    return _ray(gaze, row, column) * depth[:, None], inside & smooth
