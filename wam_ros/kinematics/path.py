# SPDX-License-Identifier: Apache-2.0
"""The way the tools will go, for those who draw it."""

from __future__ import annotations

import numpy as np

from wam_ros.core.types import FloatArray, Trajectory
from wam_ros.kinematics.forward import Kinematics


def tool_paths(kinematics: Kinematics, trajectory: Trajectory, most: int = 48) -> dict[str, FloatArray]:
    """Return arm name to (N, 3) positions of its tool in the robot's base frame [m], N at most ``most``."""
    rows = np.unique(np.linspace(0, len(trajectory.positions) - 1, most).round().astype(int))
    positions = trajectory.positions[rows]
    return {
        arm.name: np.array([kinematics.tool_pose(position, arm)[:3, 3] for position in positions])
        for arm in kinematics.robot.arms
    }
