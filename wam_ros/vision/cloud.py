# SPDX-License-Identifier: Apache-2.0
"""Depth pictures to points: in the camera's optical frame (z forward, x right, y down), or of all cameras in one frame.

In another frame the points of a picture are planes too: a ray's direction there is a value of its column plus one of its row.
"""

from __future__ import annotations

from collections.abc import Mapping

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

    def __len__(self) -> int:
        """Number of rays."""
        return self._shape[0] * self._shape[1]

    def points(self, depth_m: DepthImage, out: Points | None = None) -> Points:
        """Return (H * W, 3) points [m], row by row; NaN where the depth is unknown (0, negative, NaN).

        Args:
            depth_m: (H, W) float32 [m].
            out: (H * W, 3) float32 to write into.

        Raises:
            ShapeError: the depth picture has another size than the rays.
        """
        out = self._target(depth_m, out)
        x, y, z = self._planes
        np.copyto(z, depth_m)
        np.copyto(z, np.float32(np.nan), where=depth_m <= 0)
        np.multiply(z, self._right, out=x)
        np.multiply(z, self._down, out=y)
        cv2.merge(self._planes, out.reshape(*self._shape, 3))
        return out

    def points_in(self, T_frame_camera: FloatArray, depth_m: DepthImage, out: Points | None = None) -> Points:
        """Return the points of :meth:`points` in another frame.

        Args:
            T_frame_camera: (4, 4) pose of the camera's optical frame in that frame.
            depth_m: (H, W) float32 [m].
            out: (H * W, 3) float32 to write into.

        Raises:
            ShapeError: the depth picture has another size than the rays.
        """
        out = self._target(depth_m, out)
        known_m = np.where(depth_m > 0, depth_m, np.float32(np.nan))
        pose = np.asarray(T_frame_camera, dtype=np.float32)
        for plane, (along_x, along_y, along_z, offset) in zip(self._planes, pose[:3], strict=True):
            np.add(along_x * self._right, along_y * self._down + along_z, out=plane)
            np.multiply(plane, known_m, out=plane)
            np.add(plane, offset, out=plane)
        cv2.merge(self._planes, out.reshape(*self._shape, 3))
        return out

    def _target(self, depth_m: DepthImage, out: Points | None) -> Points:
        if depth_m.shape != self._shape:
            raise ShapeError(mismatch("depth picture", self._shape, depth_m.shape, "make rays of its size"))
        return np.empty((depth_m.size, 3), np.float32) if out is None else out


class FusedCloud:
    """Points of several cameras in one frame, camera after camera, in one array that is used again.

    Args:
        rays: of each camera.
    """

    def __init__(self, rays: Mapping[str, Rays]) -> None:
        self._rays = dict(rays)
        ends = np.cumsum([0, *(len(r) for r in self._rays.values())]).tolist()
        self._parts = {
            name: slice(*span) for name, span in zip(self._rays, zip(ends, ends[1:], strict=False), strict=True)
        }
        self._points = np.empty((ends[-1], 3), np.float32)

    def fuse(self, depths_m: Mapping[str, DepthImage], T_frame_cameras: Mapping[str, FloatArray]) -> Points:
        """Return (N, 3) points [m], N the pixels of all cameras; NaN where a depth, or a whole picture, is missing.

        The array is overwritten by the next call.

        Args:
            depths_m: camera to (H, W) float32 [m].
            T_frame_cameras: camera to the (4, 4) pose of its optical frame; one without a pose gives no points.

        Raises:
            ShapeError: a depth picture has another size than its rays.
        """
        for name, rays in self._rays.items():
            part = self._points[self._parts[name]]
            if name in depths_m and name in T_frame_cameras:
                rays.points_in(T_frame_cameras[name], depths_m[name], part)
            else:
                part[:] = np.nan
        return self._points
