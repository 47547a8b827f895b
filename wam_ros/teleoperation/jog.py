# SPDX-License-Identifier: Apache-2.0
"""Tools moved by a person's wishes: poses advance, inverse kinematics follows, unreachable ones are not entered."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray, frozen
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.inverse import ToolSolver
from wam_ros.teleoperation.wish import Wish

#: A tool that misses its pose by more has reached the end of its arm; a joint that moves farther would flip it.
REACH_M, FLIP_RAD = 2e-3, 0.2
#: A gripper that is less open counts as closed.
OPEN = 0.5


class Jog:
    """Where a person has moved the tools.

    Attributes:
        blocked: wishes that were not followed because the arm cannot go there.
    """

    def __init__(self, robot: Robot) -> None:
        self.blocked = 0
        self._robot = robot
        self._kinematics = Kinematics(robot)
        self._solvers = [ToolSolver(self._kinematics, arm) for arm in robot.arms]
        names = robot.joint_names
        self._columns = [np.array([names.index(joint) for joint in arm.joints]) for arm in robot.arms]
        self._grips = [names.index(arm.gripper.joint) for arm in robot.arms]
        self.begin(robot.ready_position())

    def begin(self, position: FloatArray) -> None:
        """Start from (J,) where the robot is, or is told to be."""
        self._position = np.array(position)
        self._poses = [self._kinematics.tool_pose(self._position, arm) for arm in self._robot.arms]

    def advance(self, wish: Wish, duration_s: float) -> FloatArray:
        """Return (J,) where the person wants the arms after so much time."""
        if wish.grip:
            grip = self._grips[wish.arm]
            self._position[grip] = float(self._position[grip] < OPEN)
        if any(wish.linear_m_s) or any(wish.angular_rad_s):
            self._move(wish.arm, wish.linear_m_s, wish.angular_rad_s, duration_s)
        return frozen(self._position)

    def _move(
        self, arm: int, linear_m_s: tuple[float, ...], angular_rad_s: tuple[float, ...], duration_s: float
    ) -> None:
        pose = self._poses[arm].copy()
        pose[:3, 3] += duration_s * np.array(linear_m_s)
        pose[:3, :3] = Rotation.from_rotvec(duration_s * np.array(angular_rad_s)).as_matrix() @ pose[:3, :3]
        now = self._position[self._columns[arm]]
        found = self._solvers[arm].solve(pose, now, iterations=20)
        if found.point_error_m > REACH_M or np.abs(found.angles_rad - now).max() > FLIP_RAD:
            self.blocked += 1
            return
        self._poses[arm] = pose
        self._position[self._columns[arm]] = found.angles_rad
