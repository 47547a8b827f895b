# SPDX-License-Identifier: Apache-2.0
"""Depth picture to points in the camera's optical frame (z forward, x right, y down)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.types import DepthImage, FloatArray

Points = NDArray[np.float32]


class Rays:
    """The rays of an ideal pinhole camera, computed once.

    Args:
        intrinsics: (3, 3) camera matrix of the depth picture [pixels].
        height: of the depth picture.
        width: of the depth picture.
    """

    def __init__(self, intrinsics: FloatArray, height: int, width: int) -> None:
        focal_x, focal_y = intrinsics[0, 0], intrinsics[1, 1]
        self._right = ((np.arange(width) - intrinsics[0, 2]) / focal_x).astype(np.float32)  # (W,) at 1 m
        self._down = ((np.arange(height) - intrinsics[1, 2]) / focal_y).astype(np.float32)[:, None]  # (H, 1)
        self._shape = (height, width)
        self._planes = [np.empty(self._shape, np.float32) for _ in "xyz"]

    def points(self, depth_m: DepthImage, out: Points | None = None) -> Points:
        """Return (H * W, 3) points [m], row by row; NaN where the depth is unknown (0, negative, NaN).

        Args:
            depth_m: (H, W) float32 [m].
            out: (H * W, 3) float32 to write into.

        Raises:
            ShapeError: the depth picture has another size than the rays.
        """
        if depth_m.shape != self._shape:
            raise ShapeError(mismatch("depth picture", self._shape, depth_m.shape, "make rays of its size"))
        if out is None:
            out = np.empty((depth_m.size, 3), np.float32)
        x, y, z = self._planes
        np.copyto(z, depth_m)
        np.copyto(z, np.float32(np.nan), where=depth_m <= 0)
        np.multiply(z, self._right, out=x)
        np.multiply(z, self._down, out=y)
        cv2.merge(self._planes, out.reshape(*self._shape, 3))
        return out
