# SPDX-License-Identifier: Apache-2.0
"""Clouds in the base frame, of what is measured, of what is imagined, and of how wrong that was."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wam_ros.core.foresight import relative_errors
from wam_ros.core.imagination import Imagination
from wam_ros.core.robot import Robot
from wam_ros.core.types import DepthImage, FloatArray
from wam_ros.foresight.comparison import Compared, Sighted
from wam_ros.kinematics.forward import Kinematics
from wam_ros.vision.cloud import Rays
from wam_ros.vision.colored_cloud import BACKGROUND, Cloud, ColoredClouds, error_colors
from wam_ros.vision.sight import Sight


class Scenes:
    """Makes clouds; wrist cameras are where the joints of the time put them, of the plan for times to come.

    Args:
        robot: whose cameras; they are where its URDF, or its calibration, has them.
        sights: camera to how the model sees it.
        matrices: camera to its (3, 3) camera matrix.
        far_m: nothing farther is drawn.

    Attributes:
        intrinsics: camera to the (3, 3) camera matrix of its view.
    """

    def __init__(
        self, robot: Robot, sights: Mapping[str, Sight], matrices: Mapping[str, FloatArray], far_m: float
    ) -> None:
        self._kinematics, self._far_m = Kinematics(robot), far_m
        self._frames = {name: robot.camera(name).frame for name in sights}
        self._clouds = ColoredClouds(sights, matrices, far_m)
        self.intrinsics = {name: sight.intrinsics(matrices[name]) for name, sight in sights.items()}

    def poses(self, position: FloatArray) -> dict[str, FloatArray]:
        """Return camera to ``T_base_camera`` (4, 4) of its optical frame for (J,) positions: no ``/tf`` is needed."""
        return {name: self._kinematics.pose(position, frame) for name, frame in self._frames.items()}

    def measured(self, seen: Sighted) -> Cloud:
        """Return what the depth cameras saw."""
        return self._clouds.make(seen.colors, seen.depths_m, self.poses(seen.position))

    def imagined(self, imagined: Imagination, frame: int) -> Cloud:
        """Return what a model thinks will be seen; no points where it does not know metres."""
        colors = {name: pictures[frame] for name, pictures in imagined.colors.items()}
        depths = {name: pictures[frame] for name, pictures in (imagined.depths_m or {}).items()}
        return self._clouds.make(colors, depths, self.poses(imagined.positions[frame]))

    def points(self, camera: str, depth_m: DepthImage, T_base_camera: FloatArray) -> FloatArray:
        """Return (N, 3) what one camera alone sees from there, without what lies too far."""
        near_m = np.where(depth_m < BACKGROUND * self._far_m, depth_m, 0)
        return Rays(self.intrinsics[camera], *depth_m.shape).points_in(T_base_camera, near_m).astype(np.float64)

    def error(self, compared: Compared) -> Cloud:
        """Return what was imagined of a time that has come, from green to red by its relative error, grey where unmeasured."""
        imagined, k = compared.imagined, compared.frame
        depths = {name: pictures[k] for name, pictures in (imagined.depths_m or {}).items()}
        seen = {name: compared.seen.depths_m.get(name, 0 * depth) for name, depth in depths.items()}
        colors = {name: error_colors(relative_errors(depths[name], seen[name], self._far_m)) for name in depths}
        return self._clouds.make(colors, depths, self.poses(imagined.positions[k]))
