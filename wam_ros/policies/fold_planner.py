# SPDX-License-Identifier: Apache-2.0
"""The paths of a scripted fold: hands to the near corners, half a circle to the far ones, and back.

Hands point down, and lean forward where an arm would otherwise be too short.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import BackendError
from wam_ros.core.robot import Arm, Robot
from wam_ros.core.transforms import rigid
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
ARC_S, BACK_S, LET_GO_S = 2.6, 2.2, 0.3  # the whole half circle, the same back, to open a hand


@dataclass(frozen=True)
class FoldPath(JointPath):
    """A whole fold.

    Attributes:
        holding_s: span in which both hands should hold the towel.
    """

    holding_s: tuple[float, float]


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

    def take_back(self, start: FloatArray, corners_m: FloatArray, holds: NDArray[np.bool_]) -> JointPath:
        """Return the path from (J,) measured joints on the half circle back to where it began.

        Args:
            start: (J,) robot order.
            corners_m: (4, 3) corners of the flat towel for which the half circle was planned.
            holds: (arms,) True for hands that hold a corner; the others open at once.

        Raises:
            BackendError: a corner is out of reach.
        """
        near, far, along, across = self._ends(corners_m)
        arc, span = _arc(near, far), (far - near) @ along
        gone = ((self.hands(start) - near) @ along / span)[holds].mean()
        share = float(np.arccos(np.clip(1 - 2 * gone, -1, 1)) / np.pi)
        openings = np.where(holds, 0.0, LETTING_GO)
        path, _ = self._paths.join(
            start,
            [
                Leg(LET_GO_S, openings, joints=start),
                Leg(LET_GO_S + BACK_S * share, openings, tools=lambda s: self._tools(arc(share * (1 - s)), across)),
                Leg(LET_GO_S, LETTING_GO, tools=lambda _: self._tools(arc(0.0), across)),
            ],
        )
        return path

    def _ends(self, corners_m: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return (arms, 3) points where hands grip and where they lay it, and unit vectors along and across the fold."""
        along = _unit((corners_m[2:] - corners_m[:2]).sum(axis=0))
        across = _unit(corners_m[0] - corners_m[1] + corners_m[2] - corners_m[3])
        inwards = INSET_M * np.stack([-across, across])
        ends = [corners_m[:2] + inwards + INSET_M * along, corners_m[2:] + inwards - INSET_M * along]
        order = np.empty(2, dtype=np.int64)
        order[self.sides] = [0, 1]
        near, far = (end[order] for end in ends)
        return near, far, along, across

    def _legs(self, corners_m: FloatArray, start: FloatArray) -> list[Leg]:
        """Return the legs of a fold."""
        near, far, along, across = self._ends(corners_m)

        def tools(points: Callable[[float], FloatArray]) -> Callable[[float], Tools]:
            return lambda share: self._tools(points(share), across)

        hover = self._paths.reach(self._tools(near + [0, 0, HOVER_M], across), start)
        closed = start[self._paths.grippers].min() < OPEN / 2  # on something: let go before leaving
        return [
            *([Leg(LET_GO_S, LETTING_GO, joints=start)] if closed else []),
            Leg(1.0, OPEN, joints=hover),
            Leg(0.6, OPEN, tools=tools(_line(near, HOVER_M, near, GRASP_M))),
            Leg(0.35, 0.0, tools=tools(_line(near, GRASP_M, near, GRASP_M))),
            Leg(ARC_S, 0.0, tools=tools(_arc(near, far))),
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
