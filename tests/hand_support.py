# SPDX-License-Identifier: Apache-2.0
"""A person who moves an arm as a calibration advises him to."""

from __future__ import annotations

import re

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.inverse import ToolSolver

ADVICE = re.compile(r"move the tool of arm (\w+) by (.*) \(its own axes\)")


class Hand:
    """Knows how to bring a robot's tool somewhere."""

    def __init__(self, robot: Robot) -> None:
        self._robot, self._kinematics = robot, Kinematics(robot)

    def follow(self, advice: str, position: FloatArray) -> FloatArray:
        """Return the (J,) position to which an advice leads from another one."""
        name, text = ADVICE.search(advice).groups()
        arm = next(arm for arm in self._robot.arms if arm.name == name)
        move = np.eye(4)
        move[:3, 3] = [0.01 * _number(text, rf"cm {axis}") for axis in "xyz"]
        turn = [_number(text, f"deg about {axis}") for axis in "xyz"]
        move[:3, :3] = Rotation.from_rotvec(turn, degrees=True).as_matrix()
        solver = ToolSolver(self._kinematics, arm)
        slots = [self._robot.joint_names.index(joint) for joint in arm.joints]
        there = position.copy()
        there[slots] = solver.solve(self._kinematics.tool_pose(position, arm) @ move, position[slots]).angles_rad
        return there


def _number(text: str, unit: str) -> float:
    found = re.search(rf"([+-]\d+) {unit}", text)
    return float(found.group(1)) if found else 0.0
