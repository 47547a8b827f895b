# SPDX-License-Identifier: Apache-2.0
"""A camera that sees a surface, which another camera sees or which is known: how far apart the two have it.

With it how that changes when either is displaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.transforms import apply, invert, skew
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
class Surface:
    """Points of a surface, in the frame of the body that has or sees it.

    Attributes:
        points, normals: (N, 3).
        T_base_body: (4, 4) where that body is believed to be.
    """

    points: FloatArray
    normals: FloatArray
    T_base_body: FloatArray


@dataclass(frozen=True)
class Met:
    """Points of one body on surfaces that a camera sees.

    Attributes:
        apart_m: (N,) from the camera's surface to the point, along the normal.
        by_one, by_other: (N, 6) derivative by the right twist of the body and of the camera, in units of ``SCALE``.
        weights: (N,).
    """

    apart_m: FloatArray
    by_one: FloatArray
    by_other: FloatArray
    weights: FloatArray


def meet(one: Surface, other: Gaze) -> Met | None:
    """Return how points of one body lie on the surfaces that a camera sees; None where they share none."""
    points, normals = one.points, one.normals
    if not len(points):
        return None
    T_other_one = invert(other.T_base_camera) @ one.T_base_body
    there = apply(T_other_one, points)
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


def surface(gaze: Gaze) -> Surface:
    """Return points of a grid, in the camera's frame, where neighbours lie on one surface."""
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
    return Surface(points[facing], normals[facing], gaze.T_base_camera)


def seen_behind(one: Surface, other: Gaze, by_m: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(N,) whether a camera sees past a point by more than ``by_m``, and whether it sees anything there."""
    T_other_one = invert(other.T_base_camera) @ one.T_base_body
    there = apply(T_other_one, one.points)
    row, column, inside = _pixels(other, there)
    depth = other.depth_m[row, column]
    return depth > there[:, 2] + by_m, inside & (depth > 0)


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
    row, column, inside = _pixels(gaze, points)
    depth, smooth = _patch(gaze.depth_m, row, column, 2)
    return _ray(gaze, row, column) * depth[:, None], inside & smooth


def _pixels(gaze: Gaze, points: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Rows and columns at which a camera sees points in its frame, and whether they are in the picture."""
    height, width = gaze.depth_m.shape
    ahead = points[:, 2] > 0.02
    z = np.where(ahead, points[:, 2], 1.0)
    columns = gaze.matrix[0, 0] * points[:, 0] / z + gaze.matrix[0, 2]
    rows = gaze.matrix[1, 1] * points[:, 1] / z + gaze.matrix[1, 2]
    inside = ahead & (columns > 3) & (columns < width - 4) & (rows > 3) & (rows < height - 4)
    row, column = (np.where(inside, np.round(a), 4).astype(np.int64) for a in (rows, columns))
    return row, column, inside
