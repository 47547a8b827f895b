# SPDX-License-Identifier: Apache-2.0
"""A scripted fold of a towel, or two: what is due, and what to do when a hand turns out to be empty.

It then opens, and both hands go back along the half circle; the towel lies flat again, and the fold is tried anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.truth import TowelTruth
from wam_ros.core.types import FloatArray
from wam_ros.policies.fold_planner import FoldPath, FoldPlanner
from wam_ros.policies.toolpath import JointPath

FOLDED_M = 0.04  # corners that lie on each other
MOVED_M = 0.01  # a corner farther from where it was aimed at may be missed
CLOSED = 0.1  # opening; a hand this near to what was intended has done it
# An empty hand so far from the corner it came for can be seen to be empty. Whoever lets go sooner knows more than a camera
# shows, and a policy cannot learn from it when to let go.
SEEN_M = 0.04
LIFTED_M = 0.08  # corners that hang no higher fall back to where the towel can be folded
BESIDE_M = 0.02  # a hand that comes down farther beside its corner misses it
LAID_M = 0.08  # a corner nearer than this to where it is laid is not taken back any more
EXAMPLE_X_M, EXAMPLE_EDGE_M = 0.30, 0.30


@dataclass(frozen=True)
class Fold:
    """A fold that is planned.

    Attributes:
        path: what is to be done.
        edge_m: length of the towel's edges when flat.
        corners_m: (4, 3) where the corners of what is folded were when the path was planned.
        number: the first fold, or the second.
    """

    path: FoldPath
    edge_m: float
    corners_m: FloatArray
    number: int = 1


@dataclass(frozen=True)
class TakeBack:
    """A corner that is laid back by the hand that holds it.

    Attributes:
        path: what is to be done.
        edge_m, number: of the fold that has failed.
    """

    path: JointPath
    edge_m: float
    number: int = 1


class FoldScript:
    """What the demonstrator knows of folding: when to plan, and when to plan anew.

    It does so when the towel has been moved before it was there, and when a hand has missed or lost its corner. What
    the other hand then holds is taken back first.
    """

    def __init__(self, robot: Robot, task: Task) -> None:
        """Prepare the planner.

        Raises:
            BackendError: the robot has not two arms.
        """
        self._planner = FoldPlanner(robot)
        self._arms, self._folds = len(robot.arms), int(task.scene_options.get("folds", 1))
        self._aims = np.argsort(self._planner.sides)  # index of the corner that each arm grasps
        self._grippers = np.flatnonzero(robot.gripper_mask)

    def example(self) -> FloatArray:
        """Return the truth of a flat towel in front of the robot."""
        far, half = EXAMPLE_X_M + EXAMPLE_EDGE_M / 2, EXAMPLE_EDGE_M / 2
        near = far - EXAMPLE_EDGE_M
        corners = np.array([[near, half, 0], [near, -half, 0], [far, half, 0], [far, -half, 0]])
        middles = (corners[:2] + corners[2:]) / 2
        return TowelTruth(np.array([EXAMPLE_X_M, 0, 0]), corners, middles, np.zeros(self._arms)).pack()

    def begin(self, start: FloatArray, truth: FloatArray) -> Fold | TakeBack:
        """Return the fold of a flat towel from (J,) joints, or the way back to where it can be folded."""
        seen = TowelTruth.unpack(truth, self._arms)
        if seen.held.any():
            flat_m = spread(seen.corners_m)
            return TakeBack(self._planner.take_back(start, flat_m, seen.held > 0), near_edge_m(flat_m))
        return self._plan(start, seen, near_edge_m(seen.corners_m), 1)

    def can_take_over(self, position: FloatArray, truth: FloatArray) -> bool:
        """True where whoever leads the (J,) joints needs help, and it is not too late for it.

        That is when a hand is not over the corner that it came for, or is empty while the other one lifts its corner.
        Of two folds it cannot be seen which one another has begun: nobody takes over there.
        """
        if self._folds > 1:
            return False
        seen = TowelTruth.unpack(truth, self._arms)
        off_m = (self._planner.hands(position) - seen.corners_m[self._aims])[seen.held == 0]
        if not seen.held.any():
            edge_m = near_edge_m(seen.corners_m)
            beside = np.linalg.norm(off_m[:, :2], axis=1).max() > BESIDE_M
            return bool(beside and can_fold(seen.corners_m, edge_m, edge_m))
        held_m = seen.corners_m[self._aims][seen.held > 0]
        laid_m = seen.corners_m[self._aims + 2][seen.held > 0]
        away_m = np.linalg.norm(held_m - laid_m, axis=1).min()
        return bool(len(off_m) and np.linalg.norm(off_m, axis=1).min() > SEEN_M and away_m > LAID_M)

    def ends(self, plan: Fold | TakeBack, elapsed_s: float, position: FloatArray, truth: FloatArray) -> bool:
        """True when another fold is due, or when going on folds nothing and something can be done about it."""
        over = elapsed_s >= plan.path.times_s[-1]
        if isinstance(plan, TakeBack):
            return over
        seen = TowelTruth.unpack(truth, self._arms)
        if over and self._has_folded(plan, seen):
            return True
        corners_m = corners_of(seen, plan.number)
        if elapsed_s <= plan.path.holding_s[0]:
            return bool(np.linalg.norm(corners_m - plan.corners_m, axis=1).max() > MOVED_M)
        if not self._empty(plan, elapsed_s, position, corners_m, seen.held).any():
            return False
        holding = bool(seen.held.any() and elapsed_s < plan.path.holding_s[1])
        return holding or can_fold(corners_m, plan.edge_m, plan.edge_m / plan.number)

    def follow(self, plan: Fold | TakeBack, start: FloatArray, truth: FloatArray) -> Fold | TakeBack:
        """Return the next fold, another try, or the way back to where there can be one."""
        seen = TowelTruth.unpack(truth, self._arms)
        if isinstance(plan, Fold) and seen.held.any():
            path = self._planner.take_back(start, plan.corners_m, seen.held > 0)
            return TakeBack(path, plan.edge_m, plan.number)
        return self._plan(start, seen, plan.edge_m, plan.number + self._has_folded(plan, seen))

    def _has_folded(self, plan: Fold | TakeBack, truth: TowelTruth) -> bool:
        """True when a fold has come about after which there is another one."""
        return plan.number < self._folds and is_folded(truth)

    def _plan(self, start: FloatArray, truth: TowelTruth, edge_m: float, number: int) -> Fold:
        corners_m = corners_of(truth, number)
        return Fold(self._planner.plan(start, corners_m), edge_m, corners_m, number)

    def _empty(
        self, plan: Fold, elapsed_s: float, position: FloatArray, corners_m: FloatArray, held: FloatArray
    ) -> NDArray[np.bool_]:
        """Return (arms,) True for hands that have closed and can be seen to hold nothing."""
        late = np.abs(plan.path.at(np.array([elapsed_s]))[0] - position)[self._grippers].max() > CLOSED
        away_m = np.linalg.norm(self._planner.hands(position) - corners_m[self._aims], axis=1)
        empty: NDArray[np.bool_] = (held == 0) & (away_m > SEEN_M) & (not late)
        return empty


def corners_of(truth: TowelTruth, number: int) -> FloatArray:
    """Return (4, 3) corners of what a fold folds: the towel, or the towel folded in half, whose near edge is the crease."""
    if number == 1:
        return truth.corners_m
    far = truth.corners_m[2:].copy()
    far[:, 2] = np.maximum(far[:, 2], truth.corners_m[:2, 2])  # two layers lie there
    return np.concatenate([truth.middles_m, far])


def near_edge_m(corners_m: FloatArray) -> float:
    """Return the length of the edge between the near ones of (4, 3) corners."""
    return float(np.linalg.norm(corners_m[0] - corners_m[1]))


def spread(corners_m: FloatArray) -> FloatArray:
    """Return (4, 3) corners of a square towel that is spread from where its far edge lies."""
    far_left, far_right = corners_m[2:]
    across = far_left - far_right
    back = np.array([-across[1], across[0], 0.0])
    towards = back if back @ (corners_m[:2].mean(axis=0) - corners_m[2:].mean(axis=0)) > 0 else -back
    return np.stack([far_left + towards, far_right + towards, far_left, far_right])


def is_folded(truth: TowelTruth) -> bool:
    """True when the near corners lie on the far ones."""
    gaps_m = np.linalg.norm((truth.corners_m[:2] - truth.corners_m[2:])[:, :2], axis=1)
    return bool(gaps_m.max() < FOLDED_M and not truth.held.any())


def can_fold(corners_m: FloatArray, width_m: float, depth_m: float) -> bool:
    """True while what is to be folded lies flat enough for a first or another try.

    Args:
        corners_m: (4, 3) in the order of ``CORNERS``.
        width_m, depth_m: length of its edges across and along the fold when flat.
    """
    near_left, near_right, far_left, far_right = corners_m
    edges = [near_left - near_right, far_left - far_right, far_left - near_left, far_right - near_right]
    wrong = np.linalg.norm(edges, axis=1) - [width_m, width_m, depth_m, depth_m]
    return bool(np.abs(wrong).max() < 0.1 * width_m and np.ptp(corners_m[:, 2]) < LIFTED_M)
