# SPDX-License-Identifier: Apache-2.0
"""A leader arm: what its joints are, the robot's shall be.

Absolute, joint by joint: the person feels the robot's posture and its ends, and a demonstration holds no hidden
offset. Therefore a leader that is far away may not take over (core/control.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wam_ros.core.errors import ConfigError, ShapeError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray, frozen, nanoseconds

#: A leader that has said nothing for so long holds nothing.
SILENCE_S = 0.2


class LeaderArm:
    """Collects a leader's joints, whether they come in one message or arm by arm.

    Args:
        robot: that shall follow.
        names: what the leader calls the robot's joints, in robot order; none: as the robot does.
        closed, opened: what it says when its grip is closed and open.

    Raises:
        ConfigError: another number of names than joints, or a grip without a span.
    """

    def __init__(self, robot: Robot, names: Sequence[str] = (), closed: float = 0.0, opened: float = 1.0) -> None:
        joints = robot.joint_names
        if names and len(names) != len(joints):
            expected = f"{len(joints)} names, for {', '.join(joints)}"
            raise ConfigError(mismatch("teleop: leader_names", expected, len(names), "give one for each joint"))
        if closed == opened:
            raise ConfigError("teleop: leader_closed and leader_open are equal; read the leader's value at both ends")
        self._slots = {name: i for i, name in enumerate(names or joints)}
        self._grips, self._closed, self._opened = np.array(robot.gripper_mask), closed, opened
        self._position = np.full(len(joints), np.nan)
        self._heard_ns = np.full(len(joints), -(2**62), dtype=np.int64)

    def take(self, names: Sequence[str], values: Sequence[float], now_ns: int) -> None:
        """Take a message; nothing of it counts when something of it is wrong.

        Raises:
            ShapeError: names that are not the robot's, another number of values, or one that is no number.
        """
        named = list(names or self._slots)
        if unknown := [name for name in named if name not in self._slots]:
            expected = ", ".join(self._slots)
            raise ShapeError(mismatch("leader: joint names", expected, ", ".join(unknown), "set leader_names"))
        if len(values) != len(named):
            raise ShapeError(mismatch("leader: values", len(named), len(values), "check the leader's driver"))
        if not np.isfinite(values).all():
            bad = named[int(np.argmin(np.isfinite(values)))]
            raise ShapeError(mismatch(f"leader: {bad}", "a number", "NaN or infinite", "check the leader's driver"))
        slots = [self._slots[name] for name in named]
        self._position[slots], self._heard_ns[slots] = values, now_ns

    def position(self, now_ns: int) -> FloatArray | None:
        """(J,) where the leader is, grippers normalised; None while some joint is silent."""
        if self.silent(now_ns):
            return None
        opening = np.clip((self._position - self._closed) / (self._opened - self._closed), 0.0, 1.0)
        return frozen(np.where(self._grips, opening, self._position))

    def silent(self, now_ns: int) -> list[str]:
        """Return the joints, as the leader calls them, of which nothing has come lately."""
        late = now_ns - self._heard_ns > nanoseconds(SILENCE_S)
        return [name for name, i in self._slots.items() if late[i]]
