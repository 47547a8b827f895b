# SPDX-License-Identifier: Apache-2.0
"""A scripted fold of a towel: hands to the near corners, half a circle to the far ones, and back.

Hands point down, and lean forward where an arm would otherwise be too short.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wam_ros.core.errors import BackendError
from wam_ros.core.robot import Arm, Robot
from wam_ros.core.transforms import rigid
from wam_ros.core.truth import CORNERS, TowelTruth
from wam_ros.core.types import FloatArray
from wam_ros.policies.toolpath import JointPath, Leg, ToolPaths, Tools

# Heights of the tool above the cloth's middle plane, and where along the edges it grasps.
HOVER_M, GRASP_M, LAY_M, LEAVE_M, INSET_M = 0.09, 0.008, 0.012, 0.10, 0.004
ARC_HEIGHT = 0.95  # of the half circle's radius: a little slack, so that the cloth is not pulled
# A hand that leans forward saves the arm from stretching, where small moves of the tool are large ones of the elbow.
LEAN_RAD_M, UPRIGHT_WITHIN_M, GENTLY_M = 1.6, 0.28, 0.05
OPEN = 0.5  # opening at the towel; wide enough for a corner, and no neighbour is touched
# A hand that lets go and leaves looks other than one that comes to grip: what is seen then has one right answer,
# and a policy that learns from it does not hover between the two.
LETTING_GO = 1.0
NEAR, FAR = CORNERS[:2], CORNERS[2:]


MOVED_M = 0.01  # a corner farther from where it was aimed at may be missed
CLOSED = 0.1  # opening; a hand this near to what was intended has done it
# An empty hand so far from the corner it came for can be seen to be empty. Whoever lets go sooner knows more than a camera
# shows, and a policy cannot learn from it when to let go.
SEEN_M = 0.04
LIFTED_M = 0.08  # a corner that one hand has lifted no higher falls back to where the towel can be folded
EXAMPLE_X_M, EXAMPLE_EDGE_M = 0.30, 0.30


@dataclass(frozen=True)
class FoldPath(JointPath):
    """A whole fold.

    Attributes:
        holding_s: span in which both hands should hold the towel.
    """

    holding_s: tuple[float, float]


@dataclass(frozen=True)
class Fold:
    """A fold that is planned.

    Attributes:
        path: what is to be done.
        edge_m: length of the towel's edges when flat.
        corners_m: (4, 3) where the towel's corners were when the path was planned.
    """

    path: FoldPath
    edge_m: float
    corners_m: FloatArray


class FoldScript:
    """What the demonstrator knows of folding: when to plan, and when to plan anew.

    It does so when the towel has been moved, and when it has missed or lost it, as long as the towel lies flat.
    """

    def __init__(self, robot: Robot) -> None:
        """Prepare the planner.

        Raises:
            BackendError: the robot has not two arms.
        """
        self._planner = FoldPlanner(robot)
        self._arms = len(robot.arms)
        self._aims = np.argsort(self._planner.sides)  # index of the corner that each arm grasps
        self._grippers = np.flatnonzero(robot.gripper_mask)

    def example(self) -> FloatArray:
        """Return the truth of a flat towel in front of the robot."""
        far, half = EXAMPLE_X_M + EXAMPLE_EDGE_M / 2, EXAMPLE_EDGE_M / 2
        near = far - EXAMPLE_EDGE_M
        corners = np.array([[near, half, 0], [near, -half, 0], [far, half, 0], [far, -half, 0]])
        return TowelTruth(np.array([EXAMPLE_X_M, 0, 0]), corners, np.zeros(self._arms)).pack()

    def begin(self, start: FloatArray, truth: FloatArray) -> Fold:
        """Return the fold of a flat towel from (J,) joints."""
        corners = TowelTruth.unpack(truth, self._arms).corners_m
        return self._plan(start, corners, float(np.linalg.norm(corners[0] - corners[1])))

    def ends(self, plan: Fold, elapsed_s: float, position: FloatArray, truth: FloatArray) -> bool:
        """True when going on folds nothing, and there is a towel that can be folded."""
        seen = TowelTruth.unpack(truth, self._arms)
        return self._in_vain(plan, elapsed_s, position, seen) and can_fold(seen.corners_m, plan.edge_m)

    def follow(self, plan: Fold, start: FloatArray, truth: FloatArray) -> Fold:
        """Return another try."""
        return self._plan(start, TowelTruth.unpack(truth, self._arms).corners_m, plan.edge_m)

    def _plan(self, start: FloatArray, corners_m: FloatArray, edge_m: float) -> Fold:
        return Fold(self._planner.plan(start, corners_m), edge_m, corners_m)

    def _in_vain(self, plan: Fold, elapsed_s: float, position: FloatArray, truth: TowelTruth) -> bool:
        """True when the towel has moved, or the hands have closed and do not both hold it."""
        begun, _ = plan.path.holding_s
        if elapsed_s <= begun:
            return bool(np.linalg.norm(truth.corners_m - plan.corners_m, axis=1).max() > MOVED_M)
        late = np.abs(plan.path.at(np.array([elapsed_s]))[0] - position)[self._grippers].max() > CLOSED
        away_m = np.linalg.norm(self._planner.hands(position) - truth.corners_m[self._aims], axis=1)
        return not late and bool(((truth.held == 0) & (away_m > SEEN_M)).any())


def can_fold(corners_m: FloatArray, edge_m: float) -> bool:
    """True while the towel lies flat enough for a first or another try.

    Args:
        corners_m: (4, 3) in the order of ``CORNERS``.
        edge_m: length of its edges when flat.
    """
    near_left, near_right, far_left, far_right = corners_m
    edges = [near_left - near_right, far_left - far_right, far_left - near_left, far_right - near_right]
    lengths = np.linalg.norm(edges, axis=1)
    return bool(np.abs(lengths - edge_m).max() < 0.1 * edge_m and np.ptp(corners_m[:, 2]) < LIFTED_M)


class FoldPlanner:
    """Plans folds for one robot with two arms.

    Attributes:
        sides: index of the left arm, index of the right arm.
    """

    def __init__(self, robot: Robot) -> None:
        """Prepare the arms' kinematics.

        Raises:
            BackendError: the robot has not two arms.
        """
        if len(robot.arms) != 2:
            raise BackendError(f"the scripted fold needs two arms, robot {robot.name} has {len(robot.arms)}")
        self._robot = robot
        self._paths = ToolPaths(robot)
        ready = robot.ready_position()
        bases = [self._paths.kinematics.pose(ready, arm.base_frame)[:3, 3] for arm in robot.arms]
        self._bases = {arm.name: base for arm, base in zip(robot.arms, bases, strict=True)}
        self.sides = np.argsort([-base[1] for base in bases])

    def plan(self, start: FloatArray, corners_m: FloatArray) -> FoldPath:
        """Return the path from (J,) measured joints through a whole fold to the ready pose.

        Args:
            start: (J,) robot order.
            corners_m: (4, 3) corners of a flat towel in the robot's base frame, in the order of ``CORNERS``.

        Raises:
            BackendError: a corner is out of reach.
        """
        path, marks = self._paths.join(start, self._legs(corners_m, np.asarray(start)))
        return FoldPath(path.times_s, path.positions, (marks[-6], marks[-4]))

    def hands(self, position: FloatArray) -> FloatArray:
        """Return (arms, 3) points of the tools in the base frame."""
        kinematics = self._paths.kinematics
        return np.stack([kinematics.tool_pose(position, arm)[:3, 3] for arm in self._robot.arms])

    def _legs(self, corners_m: FloatArray, start: FloatArray) -> list[Leg]:
        """Return the legs of a fold."""
        along = _unit((corners_m[2:] - corners_m[:2]).sum(axis=0))
        across = _unit(corners_m[0] - corners_m[1] + corners_m[2] - corners_m[3])
        inwards = INSET_M * np.stack([-across, across])
        ends = [corners_m[:2] + inwards + INSET_M * along, corners_m[2:] + inwards - INSET_M * along]
        order = np.empty(2, dtype=np.int64)
        order[self.sides] = [0, 1]
        near, far = (end[order] for end in ends)

        def tools(points: Callable[[float], FloatArray]) -> Callable[[float], Tools]:
            return lambda share: self._tools(points(share), across)

        hover = self._paths.reach(self._tools(near + [0, 0, HOVER_M], across), start)
        closed = start[self._paths.grippers].min() < OPEN / 2  # on something: let go before leaving
        return [
            *([Leg(0.3, LETTING_GO, joints=start)] if closed else []),
            Leg(1.0, OPEN, joints=hover),
            Leg(0.6, OPEN, tools=tools(_line(near, HOVER_M, near, GRASP_M))),
            Leg(0.35, 0.0, tools=tools(_line(near, GRASP_M, near, GRASP_M))),
            Leg(2.6, 0.0, tools=tools(_arc(near, far))),
            Leg(0.2, 0.0, tools=tools(_line(far, LAY_M, far, LAY_M))),
            Leg(0.3, OPEN, tools=tools(_line(far, LAY_M, far, LAY_M))),
            Leg(0.6, OPEN, tools=tools(_line(far, LAY_M, far + 0.01 * along, LEAVE_M))),
            Leg(1.0, 1.0, joints=np.array(self._robot.ready_position())),
        ]

    def _tools(self, points: FloatArray, jaws: FloatArray) -> Tools:
        """Poses with the tools at (arms, 3) points, hands down, jaws moving along a direction."""
        arms = zip(self._robot.arms, points, strict=True)
        return [rigid(self._grip(point, arm, jaws), point) for arm, point in arms]

    def _grip(self, point: FloatArray, arm: Arm, jaws: FloatArray) -> FloatArray:
        """(3, 3) orientation of a tool: down, leaning away from the robot where the point is far from the arm's base."""
        farther_m = float(np.linalg.norm((point - self._bases[arm.name])[:2])) - UPRIGHT_WITHIN_M
        lean = LEAN_RAD_M * (farther_m + np.hypot(farther_m, GENTLY_M)) / 2
        forward = np.cross(jaws, [0.0, 0.0, 1.0])
        approach = np.sin(lean) * forward - np.cos(lean) * np.array([0.0, 0.0, 1.0])
        return np.stack([approach, jaws, np.cross(approach, jaws)], axis=1)


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
