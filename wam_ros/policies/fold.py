# SPDX-License-Identifier: Apache-2.0
"""A scripted fold of a towel: hands to the near corners, half a circle to the far ones, and back.

Hands point down, and lean forward where an arm would otherwise be too short. The path is made in
joint space once, each leg slowed down until no joint exceeds 80 % of its speed and acceleration limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wam_ros.core.errors import BackendError
from wam_ros.core.robot import Arm, Robot
from wam_ros.core.transforms import rigid
from wam_ros.core.truth import CORNERS
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.inverse import ToolSolver

MARGIN = 0.8
SAMPLE_S = 1 / 60
REACH_ERROR_M = 1e-3
# Heights of the tool above the cloth's middle plane, and where along the edges it grasps.
HOVER_M, GRASP_M, LAY_M, LEAVE_M, INSET_M = 0.09, 0.008, 0.012, 0.10, 0.004
ARC_HEIGHT = 0.95  # of the half circle's radius: a little slack, so that the cloth is not pulled
# A hand that leans forward saves the arm from stretching, where small moves of the tool are large ones of the elbow.
LEAN_RAD_M, UPRIGHT_WITHIN_M, GENTLY_M = 1.6, 0.28, 0.05
OPEN = 0.5  # opening at the towel; wide enough for a corner, and no neighbour is touched
NEAR, FAR = CORNERS[:2], CORNERS[2:]


@dataclass(frozen=True)
class JointPath:
    """Joint positions over time, at rest at both ends.

    Attributes:
        times_s: (N,) from 0, rising.
        positions: (N, J) robot order.
        holding_s: span in which both hands should hold the towel.
    """

    times_s: FloatArray
    positions: FloatArray
    holding_s: tuple[float, float]

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
        opening: of all grippers at its end.
        tools: share 0..1 to the (arms, 3) points of the tools; None to go straight to ``joints`` in joint space.
        joints: (J,) end of a move in joint space.
    """

    duration_s: float
    opening: float
    tools: Callable[[float], FloatArray] | None = None
    joints: FloatArray | None = None


def can_fold(corners_m: FloatArray, edge_m: float) -> bool:
    """True while the towel lies flat enough for a first or another try.

    Args:
        corners_m: (4, 3) in the order of ``CORNERS``.
        edge_m: length of its edges when flat.
    """
    near_left, near_right, far_left, far_right = corners_m
    edges = [near_left - near_right, far_left - far_right, far_left - near_left, far_right - near_right]
    lengths = np.linalg.norm(edges, axis=1)
    return bool(np.abs(lengths - edge_m).max() < 0.1 * edge_m and np.ptp(corners_m[:, 2]) < 0.02)


class FoldPlanner:
    """Plans folds for one robot with two arms."""

    def __init__(self, robot: Robot) -> None:
        """Prepare the arms' kinematics.

        Raises:
            BackendError: the robot has not two arms.
        """
        if len(robot.arms) != 2:
            raise BackendError(f"the scripted fold needs two arms, robot {robot.name} has {len(robot.arms)}")
        self._robot = robot
        self._kinematics = Kinematics(robot)
        self._solvers = [ToolSolver(self._kinematics, arm) for arm in robot.arms]
        self._grippers = np.flatnonzero(robot.gripper_mask)
        velocity, acceleration, _ = robot.motion_limits()
        self._velocity, self._acceleration = MARGIN * velocity, MARGIN * acceleration
        ready = robot.ready_position()
        self._bases = {arm.name: self._kinematics.pose(ready, arm.base_frame)[:3, 3] for arm in robot.arms}
        self._sides = np.argsort(
            [-base[1] for base in self._bases.values()]
        )  # index of the left arm, index of the right arm

    def plan(self, start: FloatArray, corners_m: FloatArray) -> JointPath:
        """Return the path from (J,) measured joints through a whole fold to the ready pose.

        Args:
            start: (J,) robot order.
            corners_m: (4, 3) corners of a flat towel in the robot's base frame, in the order of ``CORNERS``.

        Raises:
            BackendError: a corner is out of reach.
        """
        legs, jaws = self._legs(corners_m, start)
        rows, times, marks = [np.asarray(start, dtype=np.float64)[None]], [0.0], []
        for leg in legs:
            path = self._solve(leg, rows[-1][-1], jaws)
            duration = self._duration(path, leg.duration_s)
            rows.append(path[1:])
            times.extend(times[-1] + duration * np.linspace(0, 1, len(path))[1:])
            marks.append(times[-1])
        return JointPath(np.array(times), np.concatenate(rows), (marks[-6], marks[-4]))

    def _legs(self, corners_m: FloatArray, start: FloatArray) -> tuple[list[Leg], FloatArray]:
        """Return the legs of a fold and the direction of the jaws."""
        along = _unit((corners_m[2:] - corners_m[:2]).sum(axis=0))
        across = _unit(corners_m[0] - corners_m[1] + corners_m[2] - corners_m[3])
        inwards = INSET_M * np.stack([-across, across])
        ends = [corners_m[:2] + inwards + INSET_M * along, corners_m[2:] + inwards - INSET_M * along]
        order = np.empty(2, dtype=np.int64)
        order[self._sides] = [0, 1]
        near, far = (end[order] for end in ends)
        hover = self._reach(near + [0, 0, HOVER_M], across, np.asarray(start))
        closed = start[self._grippers].min() < OPEN / 2  # on something: let go before leaving
        return [
            *([Leg(0.3, OPEN, joints=np.asarray(start))] if closed else []),
            Leg(1.0, OPEN, joints=hover),
            Leg(0.6, OPEN, tools=_line(near, HOVER_M, near, GRASP_M)),
            Leg(0.35, 0.0, tools=_line(near, GRASP_M, near, GRASP_M)),
            Leg(2.6, 0.0, tools=_arc(near, far)),
            Leg(0.2, 0.0, tools=_line(far, LAY_M, far, LAY_M)),
            Leg(0.3, OPEN, tools=_line(far, LAY_M, far, LAY_M)),
            Leg(0.6, OPEN, tools=_line(far, LAY_M, far + 0.01 * along, LEAVE_M)),
            Leg(1.0, 1.0, joints=np.array(self._robot.ready_position())),
        ], across

    def _solve(self, leg: Leg, start: FloatArray, jaws: FloatArray) -> FloatArray:
        """(N, J) rows from the start to the end of a leg, evenly spaced in time."""
        shares = _ease(np.linspace(0, 1, max(2, round(leg.duration_s / SAMPLE_S) + 1)))
        end = start if leg.joints is None else leg.joints
        rows = start + shares[:, None] * (end - start)
        if leg.tools is not None:
            for k in range(1, len(rows)):
                rows[k] = self._reach(leg.tools(shares[k]), jaws, rows[k - 1])
        rows[:, self._grippers] = start[self._grippers] + shares[:, None] * (leg.opening - start[self._grippers])
        return rows

    def _reach(self, points: FloatArray, jaws: FloatArray, start: FloatArray) -> FloatArray:
        """(J,) position with the tools at (arms, 3) points, hands down, jaws moving along a direction."""
        position = np.array(start, dtype=np.float64)
        for arm, solver, point in zip(self._robot.arms, self._solvers, points, strict=True):
            columns = [self._robot.joint_names.index(joint) for joint in arm.joints]
            solution = solver.solve(rigid(self._grip(point, arm, jaws), point), position[columns])
            if solution.point_error_m > REACH_ERROR_M:
                raise BackendError(
                    f"the {arm.name} arm misses {np.round(point, 3)} by {solution.point_error_m * 1e3:.1f} mm; "
                    "place the towel nearer"
                )
            position[columns] = solution.angles_rad
        return position

    def _grip(self, point: FloatArray, arm: Arm, jaws: FloatArray) -> FloatArray:
        """(3, 3) orientation of a tool: down, leaning away from the robot where the point is far from the arm's base."""
        farther_m = float(np.linalg.norm((point - self._bases[arm.name])[:2])) - UPRIGHT_WITHIN_M
        lean = LEAN_RAD_M * (farther_m + np.hypot(farther_m, GENTLY_M)) / 2
        forward = np.cross(jaws, [0.0, 0.0, 1.0])
        approach = np.sin(lean) * forward - np.cos(lean) * np.array([0.0, 0.0, 1.0])
        return np.stack([approach, jaws, np.cross(approach, jaws)], axis=1)

    def _duration(self, rows: FloatArray, wanted_s: float) -> float:
        """Return the shortest duration, not below the wanted one, that keeps the margin to the limits."""
        step = wanted_s / (len(rows) - 1)
        speed = np.abs(np.diff(rows, axis=0)).max(axis=0) / step
        change = np.abs(np.diff(rows, 2, axis=0)).max(axis=0, initial=0.0) / step**2
        slower = max((speed / self._velocity).max(), np.sqrt((change / self._acceleration).max()))
        return wanted_s * max(1.0, float(slower))


def _ease(shares: FloatArray) -> FloatArray:
    """Quintic from 0 to 1, at rest and without acceleration at both ends."""
    return shares**3 * (10 - 15 * shares + 6 * shares**2)


def _unit(vector: FloatArray) -> FloatArray:
    """Return the horizontal direction of a vector."""
    level = vector * [1, 1, 0]
    out: FloatArray = level / np.linalg.norm(level)
    return out


def _line(start: FloatArray, start_m: float, end: FloatArray, end_m: float) -> Callable[[float], FloatArray]:
    a, b = start + [0, 0, start_m], end + [0, 0, end_m]
    return lambda share: a + share * (b - a)


def _arc(near: FloatArray, far: FloatArray) -> Callable[[float], FloatArray]:
    """Half an ellipse over the fold line, from the grasp height to the laying height."""
    middle, radius = (near + far) / 2, (far - near) / 2
    height = ARC_HEIGHT * np.linalg.norm(radius, axis=1).mean()

    def at(share: float) -> FloatArray:
        angle = np.pi * share
        up = GRASP_M + share * (LAY_M - GRASP_M) + height * np.sin(angle)
        point: FloatArray = middle - np.cos(angle) * radius + [0, 0, up]
        return point

    return at
