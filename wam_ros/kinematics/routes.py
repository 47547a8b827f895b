# SPDX-License-Identifier: Apache-2.0
"""Ways through joint space on which the arms keep their distance from each other, from the body and from the workspace's edge."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.clearance import Clearance

STEP_RAD = 0.05
"""Between two looks at a line, for the joint that moves most."""
LEAST_CLEARANCE_M = 0.02

Free = Callable[[FloatArray], np.ndarray]


class Routes:
    """Finds ways for one robot; not for use by two threads at once.

    Args:
        robot: whose arms.
        free: (N, J) positions to (N,) whether the tools may be there.
    """

    def __init__(self, robot: Robot, free: Free) -> None:
        self._clearance, self._free = Clearance(robot), free
        self._ready, self._grippers = robot.ready_position(), np.array(robot.gripper_mask)

    def way(self, start: FloatArray, goal: FloatArray) -> list[FloatArray] | None:
        """Return (J,) points from start to goal to be joined by straight lines, through the ready pose if need be.

        The start itself may be anywhere: a line that leads out of a narrow place counts from where it is clear. None when
        there is no such way.
        """
        ready = np.where(self._grippers, goal, self._ready)
        for points in ([start, goal], [start, ready, goal]):
            if all(self._clear(a, b, leaving=i == 0) for i, (a, b) in enumerate(pairwise(points))):
                return points
        return None

    def _clear(self, a: FloatArray, b: FloatArray, *, leaving: bool) -> bool:
        count = max(2, int(np.ceil(np.abs(b - a).max() / STEP_RAD)) + 1)
        line = a + np.linspace(0.0, 1.0, count)[:, None] * (b - a)
        found = self._clearance.check(line)
        good = (np.minimum(found.arm_to_arm_m, found.arm_to_body_m) > LEAST_CLEARANCE_M) & self._free(line)
        # Once clear it must stay so.
        first = int(good.argmax()) if leaving and good.any() else 0
        return bool(good[first:].all())
