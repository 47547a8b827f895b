# SPDX-License-Identifier: Apache-2.0
"""Whether there are pictures of arms at rest, and what is missing to have some."""

from __future__ import annotations

import numpy as np

from wam_ros.core.rest import Rest
from wam_ros.core.robot import Robot
from wam_ros.core.types import Observation, nanoseconds

SETTLE_NS = 100_000_000
"""After the arms have come to rest: the exposure of a picture must have begun after it."""


class Stillness:
    """Joints and pictures of a robot, and whether they belong to a rest.

    Args:
        robot: whose joints are felt.
        rest_s: how long arms must have rested.

    Attributes:
        rest: of the arms.
        seen: the newest pictures and joints of one time.
    """

    def __init__(self, robot: Robot, rest_s: float) -> None:
        self.rest = Rest(robot.joint_names, (~np.array(robot.gripper_mask)).tolist())
        self.seen: Observation | None = None
        self._rest_s, self._felt_ns = rest_s, 0

    def feel(self, stamp_ns: int, position: np.ndarray) -> None:
        """Take a (J,) measurement of the joints."""
        self._felt_ns = stamp_ns
        self.rest.feel(stamp_ns, position)

    def see(self, observation: Observation) -> None:
        """Take pictures and joints of one time."""
        if observation.complete:
            self.seen = observation

    @property
    def lack(self) -> str:
        """What is missing; empty when :attr:`seen` shows arms at rest."""
        since_ns = self.rest.since_ns
        if since_ns is None:
            return "expected joint feedback, got none; start the robot's driver"
        if self._felt_ns - since_ns < nanoseconds(self._rest_s):
            return f"{self.rest.mover or 'an arm'} moves; let the arms rest for {self._rest_s:g} s, then ask again"
        if self.seen is None or self.seen.stamp_ns < since_ns + SETTLE_NS:
            return "there is no picture of every camera since the arms rest; look at their drivers"
        return ""

    def newer_than(self, stamp_ns: int) -> bool:
        """Whether the arms have come to rest since then."""
        return self.rest.since_ns is not None and self.rest.since_ns > stamp_ns
