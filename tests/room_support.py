# SPDX-License-Identifier: Apache-2.0
"""Depth pictures of a room of planes and boxes, for those who compare what cameras measure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from wam_ros.core.board import Optics
from wam_ros.core.transforms import invert
from wam_ros.core.types import DepthImage, FloatArray

#: Point on a plane, and its normal: a table, a wall behind it, and a slanted board.
ROOM = (([0.0, 0, 0], [0.0, 0, 1]), ([0.9, 0, 0], [-1.0, 0, 0]), ([0.0, 0.45, 0], [0.2, -1.0, 0.3]))
FARTHEST_M = 3.0


def measured(
    T_room_camera: FloatArray,
    optics: Optics,
    planes: Sequence[Sequence[Sequence[float]]] = ROOM,
    boxes: Iterable[tuple[FloatArray, FloatArray]] = (),
) -> DepthImage:
    """(H, W) what a camera measures of planes and boxes (T_room_box, half sides); 0 where there is nothing."""
    rows, columns = np.mgrid[: optics.height, : optics.width]
    rays = np.stack([(columns - optics.cx) / optics.fx, (rows - optics.cy) / optics.fy, np.ones(rows.shape)], axis=-1)
    depth = np.full(rows.shape, np.inf)
    for point, normal in planes:
        n = np.array(normal) / np.linalg.norm(normal)
        along = rays @ (T_room_camera[:3, :3].T @ n)
        with np.errstate(divide="ignore", invalid="ignore"):
            hit = n @ (np.array(point) - T_room_camera[:3, 3]) / along
        depth = np.where((hit > 0.05) & (hit < depth), hit, depth)
    for T_room_box, half in boxes:
        T_box_camera = invert(T_room_box) @ T_room_camera
        start, way = T_box_camera[:3, 3], rays @ T_box_camera[:3, :3].T
        with np.errstate(divide="ignore", invalid="ignore"):
            one, two = (-half - start) / way, (half - start) / way
        enter, leave = np.minimum(one, two).max(axis=-1), np.maximum(one, two).min(axis=-1)
        depth = np.where((enter > 0.02) & (enter < leave) & (enter < depth), enter, depth)
    return np.where(depth < FARTHEST_M, depth, 0).astype(np.float32)
