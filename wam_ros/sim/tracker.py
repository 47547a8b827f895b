# SPDX-License-Identifier: Apache-2.0
"""What a robot's own tracker does with the targets that are streamed to it.

Each arm and gripper has its own stream. It moves towards the newest target no faster than the speed that
came with it, a little after it came. Most drivers do so only while targets keep coming: what hears nothing for a while
stays where it then is.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray, nanoseconds, seconds

# How long one target counts on the real drivers whose commands must be streamed.
LIFETIME_NS = 200_000_000
_NEVER_NS = -(2**62)


class Tracker:
    """The references that J joints are servoed to.

    Args:
        position: (J,) where the joints are.
        lifetime_ns: how long a target counts; None: for ever.
        delay_ns: from a command to the first motion.
    """

    def __init__(self, position: FloatArray, lifetime_ns: int | None = LIFETIME_NS, delay_ns: int = 0) -> None:
        self._delay_ns = delay_ns
        self._lifetime_ns = -_NEVER_NS if lifetime_ns is None else lifetime_ns
        self.restart(position)

    @classmethod
    def for_robot(cls, robot: Robot, position: FloatArray) -> Tracker:
        """Return the tracker of a robot's driver; a twin's has no delay."""
        lifetime_s = robot.target_lifetime_s
        delay_ns = 0 if robot.simulated else nanoseconds(robot.habits.delay_s)
        return cls(position, None if lifetime_s is None else nanoseconds(lifetime_s), delay_ns)

    def restart(self, position: FloatArray) -> None:
        """Hold (J,) this position and forget all targets."""
        self._reference = np.array(position, dtype=np.float64)
        self._target = self._reference.copy()
        self._speed = np.zeros_like(self._reference)
        self._heard_ns = np.full(self._reference.shape, _NEVER_NS, dtype=np.int64)
        self._following = np.zeros(self._reference.shape, dtype=bool)
        self._coming: deque[_Coming] = deque()

    def command(self, joints: slice, target: FloatArray, speed: FloatArray, now_ns: int) -> None:
        """Take (n,) targets and speed caps for some of the joints."""
        self._coming.append(_Coming(now_ns + self._delay_ns, joints, target, speed))

    def step(self, measured: FloatArray, now_ns: int, step_ns: int) -> FloatArray:
        """Return (J,) references for the next step.

        Args:
            measured: (J,) where the joints are now.
            now_ns: time on the clock of the commands.
            step_ns: length of the step.
        """
        while self._coming and self._coming[0].due_ns <= now_ns:
            self._follow(self._coming.popleft())
        expired = self._following & (now_ns - self._heard_ns > self._lifetime_ns)
        self._reference[expired] = measured[expired]
        self._following &= ~expired
        reach = self._speed * seconds(step_ns)
        move = np.clip(self._target - self._reference, -reach, reach)
        self._reference += np.where(self._following, move, 0.0)
        return self._reference.copy()

    def _follow(self, command: _Coming) -> None:
        joints = command.joints
        self._target[joints], self._speed[joints] = command.target, command.speed
        self._heard_ns[joints] = command.due_ns
        self._following[joints] = True


class _Coming(NamedTuple):
    """A command and when it begins to count."""

    due_ns: int
    joints: slice
    target: FloatArray
    speed: FloatArray
