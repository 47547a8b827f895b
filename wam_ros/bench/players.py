# SPDX-License-Identifier: Apache-2.0
"""The ways to play chunks that ``wam bench seams`` compares."""

from __future__ import annotations

from time import thread_time_ns
from typing import Protocol, get_args

import numpy as np

from wam_ros.bench.peers import Polynomial, Rows
from wam_ros.core.methods import Newest, create_method
from wam_ros.core.robot import Robot
from wam_ros.core.task import Method
from wam_ros.core.types import Chunk, FloatArray
from wam_ros.motion.space import Free
from wam_ros.motion.splicer import Outcome, Setpoint, Splicer

METHODS: tuple[Method, ...] = get_args(Method)
STRIDE_ROWS = 16
# Where the robot waits, a demonstrator's plan must not go on.
CLOSED_LOOP_METHODS = tuple(method for method in METHODS if method != "wait")


class Player(Protocol):
    """A way to play chunks."""

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at a position."""

    def offer(self, chunk: Chunk, now_ns: int) -> object:
        """Take a chunk that has just landed."""

    def sample(self, now_ns: int) -> Setpoint:
        """Return what to command now."""

    def positions(self, times_ns: np.ndarray) -> FloatArray:
        """(N,) times not before the last offer to (N, J) commanded positions."""

    def velocity(self, now_ns: int) -> FloatArray:
        """(J,) commanded velocity."""


class Governed:
    """The robot's own splicer, with the processor time of each call."""

    def __init__(self, robot: Robot, method: Method, free: Free | None = None) -> None:
        self.splicer = Splicer.for_robot(robot, method=method, free=free)
        self.costs_us: list[float] = []

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at a position."""
        self.splicer.start(position, now_ns)

    def offer(self, chunk: Chunk, now_ns: int) -> Outcome:
        """Take a chunk that has just landed."""
        begin = thread_time_ns()
        outcome = self.splicer.offer(chunk, now_ns)
        self.costs_us.append((thread_time_ns() - begin) / 1e3)
        return outcome

    def sample(self, now_ns: int) -> Setpoint:
        """Return what to command now."""
        return self.splicer.sample(now_ns)

    def positions(self, times_ns: np.ndarray) -> FloatArray:
        """(N,) times to (N, J) commanded positions."""
        return self.splicer.trajectory(times_ns).positions

    def velocity(self, now_ns: int) -> FloatArray:
        """(J,) commanded velocity."""
        return np.asarray(self.splicer.trajectory(np.array([now_ns])).velocities[0])


def create_player(method: Method, robot: Robot, free: Free | None = None) -> Player:
    """Return the default method as the robot gets it, any other as its users run it.

    Args:
        method: a name in the task YAML.
        robot: its joints and limits.
        free: where the robot may be, for the default method, see :class:`Splicer`.
    """
    if method == "governed":
        return Governed(robot, method, free)
    return Polynomial(Newest()) if method == "c2" else Rows(create_method(method, robot.gripper_mask, STRIDE_ROWS))
