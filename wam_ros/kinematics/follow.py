# SPDX-License-Identifier: Apache-2.0
"""One arm along a path of tool poses: continuous, within limits, slower where the arm cannot keep up.

Each pose is solved from the joints of the pose before, so the arm keeps its branch. Near a singularity a small
step of the tool wants a large one of the joints: then all joints of the arm take the same share of it, and the tool
lags on its way instead of jumping. A pose out of reach is replaced by the nearest one that the arm reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.robot import Arm
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.inverse import ToolSolver

ITERATIONS = 15
"""Of the solver for each pose; it starts next to the solution, and what is out of reach must not cost more."""


@dataclass(frozen=True)
class Followed:
    """What came of K poses.

    Attributes:
        angles_rad: (K, n) within the arm's target limits, no step faster than its velocity limits.
        unreached_m: (K,) how far each pose lies from what the arm can reach.
        slowed: (K,) bool, steps that were shortened.
    """

    angles_rad: FloatArray
    unreached_m: FloatArray
    slowed: NDArray[np.bool_]


class ToolFollower:
    """Brings one arm's tool along poses that are ``1 / rate_hz`` apart."""

    def __init__(self, kinematics: Kinematics, arm: Arm, rate_hz: float) -> None:
        self._solver = ToolSolver(kinematics, arm)
        self._largest = np.array(arm.limits.velocity_rad_s) / rate_hz

    def follow(self, poses: Sequence[FloatArray], start_rad: FloatArray) -> Followed:
        """Return joints for each pose.

        Args:
            poses: K poses ``T_base_tool``, (4, 4).
            start_rad: (n,) measured joints.
        """
        count = len(poses)
        angles, unreached, slowed = np.empty((count, len(start_rad))), np.empty(count), np.zeros(count, dtype=bool)
        last = np.asarray(start_rad, dtype=np.float64)
        for k, pose in enumerate(poses):
            found = self._solver.solve(pose, last, ITERATIONS)
            change = found.angles_rad - last
            excess = float(np.abs(change / self._largest).max())
            unreached[k], slowed[k] = found.point_error_m, excess > 1
            last = last + change / max(excess, 1.0)
            angles[k] = last
        return Followed(angles, unreached, slowed)
