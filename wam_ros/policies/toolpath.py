# SPDX-License-Identifier: Apache-2.0
"""Moves of the tools turned into a path of the joints.

A script says leg by leg where the hands go. The path is made in joint space once, each leg slowed down until no joint
exceeds 80 % of its speed and acceleration limits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from wam_ros.core.errors import BackendError
from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.inverse import ToolSolver

MARGIN = 0.8
SAMPLE_S = 1 / 60
REACH_ERROR_M = 1e-3

#: For each arm the (4, 4) pose of its tool in the robot's base frame, None where the arm stays.
Tools = Sequence[FloatArray | None]


@dataclass(frozen=True)
class JointPath:
    """Joint positions over time, at rest at both ends.

    Attributes:
        times_s: (N,) from 0, rising.
        positions: (N, J) robot order.
    """

    times_s: FloatArray
    positions: FloatArray

    def at(self, times_s: FloatArray) -> FloatArray:
        """(K, J) positions at (K,) times; outside the path its ends."""
        return np.stack([np.interp(times_s, self.times_s, column) for column in self.positions.T], axis=1)

    def nearest_s(self, position: FloatArray, latest_s: float) -> float:
        """Return the time up to ``latest_s`` at which the path is nearest to a (J,) position."""
        passed = self.times_s <= max(latest_s, 0.0)
        distance = np.abs(self.positions[passed] - position).max(axis=1)
        return float(self.times_s[passed][distance.argmin()])


@dataclass(frozen=True)
class Leg:
    """A move that starts and ends at rest.

    Attributes:
        duration_s: at least.
        openings: (arms,) of the grippers at its end, or one for all.
        tools: share 0..1 to the poses of the tools; None to go straight to ``joints`` in joint space.
        joints: (J,) end of a move in joint space; None to stay.
    """

    duration_s: float
    openings: FloatArray | float
    tools: Callable[[float], Tools] | None = None
    joints: FloatArray | None = None


class ToolPaths:
    """Makes joint paths for one robot.

    Attributes:
        kinematics: of the robot.
        grippers: indices of the grippers in the robot order.
    """

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self.kinematics = Kinematics(robot)
        self._solvers = [ToolSolver(self.kinematics, arm) for arm in robot.arms]
        self._columns = [[robot.joint_names.index(joint) for joint in arm.joints] for arm in robot.arms]
        self.grippers = np.flatnonzero(robot.gripper_mask)
        velocity, acceleration, _ = robot.motion_limits()
        self._velocity, self._acceleration = MARGIN * velocity, MARGIN * acceleration

    def join(self, start: FloatArray, legs: Sequence[Leg]) -> tuple[JointPath, list[float]]:
        """Return the path from (J,) joints through all legs, and the time at which each of them ends [s].

        Raises:
            BackendError: a tool cannot get where it should.
        """
        rows, times, marks = [np.asarray(start, dtype=np.float64)[None]], [0.0], []
        for leg in legs:
            path = self._solve(leg, rows[-1][-1])
            duration = self._duration(path, leg.duration_s)
            rows.append(path[1:])
            times.extend(times[-1] + duration * np.linspace(0, 1, len(path))[1:])
            marks.append(times[-1])
        return JointPath(np.array(times), np.concatenate(rows)), marks

    def reach(self, tools: Tools, start: FloatArray) -> FloatArray:
        """(J,) position with the tools at their poses: the points exactly, the orientations as nearly as can be.

        Raises:
            BackendError: a point is out of reach.
        """
        position = np.array(start, dtype=np.float64)
        for arm, solver, columns, tool in zip(self._robot.arms, self._solvers, self._columns, tools, strict=True):
            if tool is None:
                continue
            solution = solver.solve(tool, position[columns])
            if solution.point_error_m > REACH_ERROR_M:
                raise BackendError(
                    f"the {arm.name} arm misses {np.round(tool[:3, 3], 3)} by {solution.point_error_m * 1e3:.1f} mm; "
                    "place the workpiece nearer"
                )
            position[columns] = solution.angles_rad
        return position

    def _solve(self, leg: Leg, start: FloatArray) -> FloatArray:
        """(N, J) rows from the start to the end of a leg, evenly spaced in time."""
        shares = ease(np.linspace(0, 1, max(2, round(leg.duration_s / SAMPLE_S) + 1)))
        end = start if leg.joints is None else leg.joints
        rows = start + shares[:, None] * (end - start)
        if leg.tools is not None:
            rows[0] = self.reach(leg.tools(0.0), start)
            for k in range(1, len(rows)):
                rows[k] = self.reach(leg.tools(shares[k]), rows[k - 1])
            # A hand that stands beside where the leg begins comes onto it on the way: one jump at its begin would slow
            # down the whole leg.
            rows += (1 - shares)[:, None] * (start - rows[0])
        before = start[self.grippers]
        rows[:, self.grippers] = before + shares[:, None] * (leg.openings - before)
        return rows

    def _duration(self, rows: FloatArray, wanted_s: float) -> float:
        """Return the shortest duration, not below the wanted one, that keeps the margin to the limits."""
        step = wanted_s / (len(rows) - 1)
        speed = np.abs(np.diff(rows, axis=0)).max(axis=0) / step
        change = np.abs(np.diff(rows, 2, axis=0)).max(axis=0, initial=0.0) / step**2
        slower = max((speed / self._velocity).max(), np.sqrt((change / self._acceleration).max()))
        return wanted_s * max(1.0, float(slower))


def ease(shares: FloatArray) -> FloatArray:
    """Quintic from 0 to 1, at rest and without acceleration at both ends."""
    return shares**3 * (10 - 15 * shares + 6 * shares**2)
