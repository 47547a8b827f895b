# SPDX-License-Identifier: Apache-2.0
"""The tools of all arms: where they are and how far they are open, for joints in robot order."""

from __future__ import annotations

import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.forward import Kinematics


class Tools:
    """Reads joints arm by arm.

    Attributes:
        kinematics: of the robot.
        slices: each arm's joints and gripper in a (J,) vector.
    """

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self.kinematics = Kinematics(robot)
        sizes = [len(arm.joints) + 1 for arm in robot.arms]
        ends = np.cumsum(sizes)
        self.slices = [slice(int(end) - size, int(end)) for end, size in zip(ends, sizes, strict=True)]

    def poses(self, joints: FloatArray) -> list[FloatArray]:
        """Return each arm's ``T_base_tool`` (4, 4)."""
        return [self.kinematics.tool_pose(joints, arm) for arm in self._robot.arms]

    def openings(self, joints: FloatArray) -> list[float]:
        """Return each gripper's opening."""
        return [float(joints[arm][-1]) for arm in self.slices]
