# SPDX-License-Identifier: Apache-2.0
"""Where the cameras are: forward kinematics times the hand-eye calibration. No ``/tf`` is needed."""

from __future__ import annotations

import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.core.transforms import invert
from wam_ros.core.types import FloatArray
from wam_ros.files.calibration import CalibrationFile
from wam_ros.kinematics.forward import Kinematics


class Eyes:
    """Poses of a robot's cameras.

    Args:
        robot: whose cameras.
        calibration: where they and the arms' bases really are; None: where the URDF has them.
    """

    def __init__(self, robot: Robot, calibration: CalibrationFile | None = None) -> None:
        self._robot, self._calibration = robot, calibration
        self._kinematics = Kinematics(robot)
        self._arm_of = {arm.tool_frame: arm for arm in robot.arms}

    def poses(self, position: FloatArray) -> dict[str, FloatArray]:
        """Return camera to ``T_base_camera`` (4, 4) of its optical frame for (J,) positions in robot order."""
        return {camera.name: self._pose(camera.name, camera.frame, position) for camera in self._robot.cameras}

    def _pose(self, camera: str, frame: str, position: FloatArray) -> FloatArray:
        if self._calibration is None or camera not in self._calibration.cameras:
            return self._kinematics.pose(position, frame)
        placed = self._calibration.cameras[camera].placed
        carried: FloatArray = self._parent(placed.parent, position) @ placed.matrix()
        return carried

    def _parent(self, frame: str, position: FloatArray) -> FloatArray:
        """Return the pose of what carries a camera, by the calibrated base of its arm where there is one."""
        T_base_frame = self._kinematics.pose(position, frame)
        arm, bases = self._arm_of.get(frame), self._calibration.bases if self._calibration else {}
        if arm is None or arm.name not in bases:
            return T_base_frame
        T_base_first = self._kinematics.pose(position, bases[arm.name].parent)
        T_base_arm = self._kinematics.pose(position, arm.base_frame)
        moved: FloatArray = np.asarray(T_base_first @ bases[arm.name].matrix() @ invert(T_base_arm) @ T_base_frame)
        return moved
