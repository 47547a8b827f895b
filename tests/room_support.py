# SPDX-License-Identifier: Apache-2.0
"""Depth pictures of a room of planes, for those who compare what cameras measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wam_ros.core.board import Optics
from wam_ros.core.types import DepthImage, FloatArray

#: Point on a plane, and its normal: a table, a wall behind it, and a slanted board.
ROOM = (([0.0, 0, 0], [0.0, 0, 1]), ([0.9, 0, 0], [-1.0, 0, 0]), ([0.0, 0.45, 0], [0.2, -1.0, 0.3]))
FARTHEST_M = 3.0


def measured(
    T_room_camera: FloatArray, optics: Optics, planes: Sequence[Sequence[Sequence[float]]] = ROOM
) -> DepthImage:
    """(H, W) what a camera measures; 0 where there is nothing."""
    rows, columns = np.mgrid[: optics.height, : optics.width]
    rays = np.stack([(columns - optics.cx) / optics.fx, (rows - optics.cy) / optics.fy, np.ones(rows.shape)], axis=-1)
    depth = np.full(rows.shape, np.inf)
    for point, normal in planes:
        n = np.array(normal) / np.linalg.norm(normal)
        along = rays @ (T_room_camera[:3, :3].T @ n)
        with np.errstate(divide="ignore", invalid="ignore"):
            hit = n @ (np.array(point) - T_room_camera[:3, 3]) / along
        depth = np.where((hit > 0.05) & (hit < depth), hit, depth)
    return np.where(depth < FARTHEST_M, depth, 0).astype(np.float32)
