# SPDX-License-Identifier: Apache-2.0
"""Points with colours: of all cameras in one frame, from views and their depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.types import ByteImage, DepthImage, FloatArray
from wam_ros.vision.cloud import FusedCloud, Points, Rays
from wam_ros.vision.sight import Sight

#: Foreseen exactly, and off by ``WORST`` of the distance or more; what nobody measured.
GOOD, BAD, UNKNOWN = np.array([60, 160, 110]), np.array([220, 60, 40]), np.array([120, 120, 120])
WORST = 0.25
#: Depth at the far end of what a model knows is unknown to it as well.
BACKGROUND = 0.98


class Cloud(NamedTuple):
    """N points [m] (N, 3) float32, and their colours (N, 3) uint8 RGB."""

    points: Points
    colors: ByteImage


class ColoredClouds:
    """Makes clouds of what some cameras see.

    Args:
        sights: camera to how it is seen.
        matrices: camera to its own (3, 3) camera matrix, of its full picture.
        far_m: nothing is drawn from there on.
    """

    def __init__(self, sights: Mapping[str, Sight], matrices: Mapping[str, FloatArray], far_m: float) -> None:
        self._sights, self._far_m = dict(sights), BACKGROUND * far_m
        rays = {name: Rays(s.intrinsics(matrices[name]), s.height, s.width) for name, s in self._sights.items()}
        self._fused = FusedCloud(rays)

    def make(
        self,
        colors: Mapping[str, ByteImage],
        depths_m: Mapping[str, DepthImage],
        poses: Mapping[str, FloatArray],
    ) -> Cloud:
        """Return the points whose depth is known; cameras without depth, colour or pose give none.

        Args:
            colors: camera to (H, W, 3) of its view.
            depths_m: camera to (H, W) [m].
            poses: camera to the (4, 4) pose of its optical frame in the frame of the cloud.
        """
        seen = {name: np.where(d < self._far_m, d, 0) for name, d in depths_m.items() if name in colors}
        points = self._fused.fuse(seen, poses)
        rgb = [
            colors.get(n, np.zeros((s.height, s.width, 3), np.uint8)).reshape(-1, 3) for n, s in self._sights.items()
        ]
        known = np.isfinite(points[:, 0])
        return Cloud(points[known], np.concatenate(rgb)[known])


def error_colors(relative: NDArray[np.floating]) -> ByteImage:
    """Return (H, W, 3) colours of relative errors (H, W): from green to red, grey where nothing was measured."""
    share = np.clip(np.nan_to_num(relative) / WORST, 0, 1)[..., None]
    shade = np.where(np.isnan(relative)[..., None], UNKNOWN, GOOD + share * (BAD - GOOD))
    return shade.round().astype(np.uint8)
