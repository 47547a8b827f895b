# SPDX-License-Identifier: Apache-2.0
"""A scripted packing of earphones: fetch the box, open it, insert the case, close it, bring the box back.

The left hand holds the box by its handle all the while, the right hand does the rest. Each step is planned when the one
before has ended, from where things then are; a step that has failed is thereby done again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from wam_ros.core.errors import BackendError
from wam_ros.core.packing import (
    CASE_HALF_M,
    HANDLE_Y_M,
    LID_OPEN_RAD,
    TAB_FROM_M,
    TAB_TO_M,
    THICK_M,
    Pack,
    PackingTruth,
    of_frame,
    on_lid,
)
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import FloatArray
from wam_ros.policies.choreography import Choreography, Stance, hand
from wam_ros.policies.toolpath import JointPath, ToolPaths

Step = Enum("Step", "FETCH OPEN INSERT CLOSE RETURN REST")

# How far hands lean from pointing down: the camera of the right one must pass the open lid, the finger that lifts the
# lid's tab must lie almost flat, and the one that shuts the lid stands almost upright.
LEAN_HOLD, LEAN_CASE, LEAN_LIFT, LEAN_SHUT = 0.3, 0.5, 1.15, 0.2
HOVER_M, CLEAR_M = 0.10, 0.20  # above the handle, above an open box
CARRY_M, OVER_M = 0.03, 0.09  # of a box above the table, above other boxes
GRIP_Z_M = 0.018  # of the handle
WIDE, SHUT, CASE_WIDE, CASE_LOOSE = 0.6, 0.0, 0.55, 0.42
LIFT_R_M = TAB_FROM_M + 0.6 * (TAB_TO_M - TAB_FROM_M)
SHUT_R_M = 0.085
DROP_X_M, DROP_M = -0.006, 0.003
MOVED_M, NEAR_M, TURNED_RAD, SHUT_RAD, OPEN_RAD = 0.01, 0.025, 0.25, 0.08, 1.3
GRIP_S, PATIENCE_S = 0.35, 0.3  # to close a hand; then, before one that holds nothing is called empty
DOWN_S = 0.8  # onto what is gripped; slow enough for whoever learns from it to look several times
_BOX, _CASE = np.array([0.27, 0.20, -0.05, 0, 1]), np.array([0.28, -0.25, -0.035, 0, 1])
EXAMPLE = PackingTruth(np.array([0.27, -0.03]), (Pack(_BOX[:4], _BOX, 0.0, _CASE),), np.array([-1.0, -1.0]))


@dataclass(frozen=True)
class Grip:
    """Something that a hand takes in a step.

    Attributes:
        target: index of it, as in ``PackingTruth.held``.
        aimed_m: (3,) where it was when the step was planned.
        holding_s: span in which the hand should hold it; it closes just before.
    """

    target: int
    aimed_m: FloatArray
    holding_s: tuple[float, float]

    def missed(self, elapsed_s: float, truth: PackingTruth) -> bool:
        """True when it has moved before the hand was there, or the hand has closed and does not hold it."""
        gripped_s, let_go_s = self.holding_s
        if elapsed_s < gripped_s - GRIP_S:
            return bool(np.linalg.norm(truth.place(self.target)[:3] - self.aimed_m) > MOVED_M)
        return gripped_s + PATIENCE_S < elapsed_s < let_go_s and self.target not in truth.held


@dataclass(frozen=True)
class Packing:
    """A step that is planned: what is to be done, which step it is, and what is taken in it."""

    path: JointPath
    step: Step
    grip: Grip | None = None


class PackScript:
    """What the demonstrator knows of packing."""

    def __init__(self, robot: Robot, task: Task) -> None:
        """Prepare the arms' kinematics.

        Raises:
            BackendError: the robot has not two arms.
        """
        if len(robot.arms) != 2:
            raise BackendError(f"the scripted packing needs two arms, robot {robot.name} has {len(robot.arms)}")
        self._paths = ToolPaths(robot)
        ready = robot.ready_position()
        self._ready = [self._paths.kinematics.tool_pose(ready, arm) for arm in robot.arms]
        self._bases = [self._paths.kinematics.pose(ready, arm.base_frame)[:3, 3] for arm in robot.arms]
        self._left, self._right = np.argsort([-base[1] for base in self._bases]).tolist()

    def example(self) -> FloatArray:
        """Return the truth of one box and one case before the robot."""
        return EXAMPLE.pack()

    def begin(self, start: FloatArray, truth: FloatArray) -> Packing:
        """Return the first step from (J,) joints."""
        return self._plan(start, PackingTruth.unpack(truth, 2))

    def can_take_over(self, position: FloatArray, truth: FloatArray) -> bool:
        """True while a step is due: each is planned from where things are, whoever brought them there."""
        return self._due(PackingTruth.unpack(truth, 2))[0] is not Step.REST

    def follow(self, plan: Packing, start: FloatArray, truth: FloatArray) -> Packing:
        """Return the step that is due."""
        return self._plan(start, PackingTruth.unpack(truth, 2))

    def ends(self, plan: Packing, elapsed_s: float, position: FloatArray, truth: FloatArray) -> bool:
        """True when the step is over and another is due, or it misses what it wants to grip."""
        seen = PackingTruth.unpack(truth, 2)
        if elapsed_s >= plan.path.times_s[-1]:
            return self._due(seen)[0] is not Step.REST
        return plan.grip is not None and plan.grip.missed(elapsed_s, seen)

    def _due(self, truth: PackingTruth) -> tuple[Step, int]:
        """Return the step that is due, and for which pack."""
        for n, pack in enumerate(truth.packs):
            held = truth.held[self._left] == n
            shut = pack.lid_rad < SHUT_RAD
            if pack.holds_case and shut:
                if held or not _at(pack.box, pack.placed):
                    return Step.RETURN, n
            elif min(pack.box[4], pack.case[4]) < 0.9:
                continue  # has fallen over: a person would have to help
            elif not held or not _at(pack.box, _work(truth, pack)):
                return Step.FETCH, n
            elif pack.holds_case:
                return Step.CLOSE, n
            else:
                return (Step.INSERT if pack.lid_rad > OPEN_RAD else Step.OPEN), n
        return Step.REST, 0

    def _plan(self, start: FloatArray, truth: PackingTruth) -> Packing:
        step, n = self._due(truth)
        pressing = np.array(start)
        pressing[self._paths.grippers[truth.held >= 0]] = SHUT  # what is measured of a hand that holds would not hold
        moves = Choreography(self._paths, pressing)
        pack = truth.packs[n]
        if step is Step.FETCH:
            return self._fetch(moves, truth, n)
        if step is Step.INSERT:
            return self._insert(moves, truth, n)
        if step is Step.RETURN:
            return self._return(moves, truth, n)
        if step is Step.OPEN:
            self._open(moves, pack)
        elif step is Step.CLOSE:
            self._close(moves, pack)
        else:
            moves.go(1.0, {arm: Stance(pose, 1.0) for arm, pose in enumerate(self._ready)})
        return Packing(moves.path()[0], step)

    # -- the steps -------------------------------------------------------------------------

    def _fetch(self, moves: Choreography, truth: PackingTruth, n: int) -> Packing:
        """The left hand carries the box to the place of work and keeps it."""
        pack = truth.packs[n]
        heading = self._grip_handle(moves, pack)
        gripped = len(moves)
        self._carry(moves, pack.box, _work(truth, pack), heading, _lift_m(truth))
        path, marks = moves.path()
        return Packing(path, Step.FETCH, Grip(n, pack.box[:3], (marks[gripped - 1], marks[-1])))

    def _return(self, moves: Choreography, truth: PackingTruth, n: int) -> Packing:
        """The left hand carries the box back and lets go; the right one leaves."""
        pack, left, right = truth.packs[n], self._left, self._right
        held = truth.held[left] == n
        heading = moves.heading(left) if held else self._grip_handle(moves, pack)
        gripped = len(moves)
        away = {right: Stance(self._ready[right], 1.0)}
        self._carry(moves, pack.box, pack.placed, heading, _lift_m(truth), away)
        let_go = len(moves)
        moves.grip(0.35, left, WIDE)
        moves.rise(0.5, left, HOVER_M)
        moves.go(1.0, {left: Stance(self._ready[left], 1.0)})
        path, marks = moves.path()
        begun_s = marks[gripped - 1] if gripped else 0.0
        return Packing(path, Step.RETURN, Grip(n, pack.box[:3], (begun_s, marks[let_go - 1])))

    def _open(self, moves: Choreography, pack: Pack) -> None:
        """The right hand's closed fingers lift the lid by its tab and push it over."""
        right, box = self._right, pack.box

        def at(angle: float, off_m: float, back_m: float = 0.0, up_m: float = 0.0) -> FloatArray:
            point = on_lid(box, angle, LIFT_R_M, off_m)
            return hand(point + of_frame(box, (-back_m, 0, up_m)) - box[:3], box[3], LEAN_LIFT)

        def lift(share: float) -> FloatArray:
            return at(share * (LID_OPEN_RAD - 0.05), -0.009 - 0.011 * max(0.0, 1 - 6 * share) ** 2)

        moves.go(1.2, {right: Stance(at(0, 0, 0.04, 0.06), SHUT)})
        moves.go(0.5, {right: Stance(at(0, 0, 0.035, -0.022), SHUT)})
        moves.go(0.35, {right: Stance(lift(0), SHUT)})
        moves.along(1.8, right, lift)
        moves.go(0.5, {right: Stance(at(LID_OPEN_RAD, -0.009, 0.09, 0.03), SHUT)})

    def _insert(self, moves: Choreography, truth: PackingTruth, n: int) -> Packing:
        """The right hand takes the case and puts it into the open box."""
        pack, right = truth.packs[n], self._right
        heading = self._nearer(right, pack.case[:3], pack.case[3])
        picked = hand(pack.case[:3] + [0, 0, 0.002], heading, LEAN_CASE)
        into = of_frame(pack.box, (DROP_X_M, 0, THICK_M + CASE_HALF_M[2] + 0.002 + DROP_M))
        put = hand(into, self._nearer(right, into, pack.box[3]), LEAN_CASE)
        moves.go(1.3, {right: Stance(_up(picked, HOVER_M), CASE_WIDE)})
        moves.go(DOWN_S, {right: Stance(picked, CASE_WIDE)})
        moves.grip(GRIP_S, right, SHUT)
        gripped = len(moves)
        moves.go(0.5, {right: Stance(_up(picked, CLEAR_M - 0.04), SHUT)})
        moves.go(1.4, {right: Stance(_up(put, CLEAR_M - 0.02), SHUT)})
        moves.go(0.8, {right: Stance(put, SHUT)})
        let_go = len(moves)
        moves.grip(0.3, right, CASE_LOOSE)
        moves.rise(0.6, right, CLEAR_M)
        path, marks = moves.path()
        holding_s = (marks[gripped - 1], marks[let_go - 1])
        return Packing(path, Step.INSERT, Grip(len(truth.packs) + n, pack.case[:3], holding_s))

    def _close(self, moves: Choreography, pack: Pack) -> None:
        """The right hand's fingers go behind the lid and push it shut."""
        right, box, lid = self._right, pack.box, pack.lid_rad

        def at(angle: float, radius_m: float, off_m: float) -> FloatArray:
            return hand(on_lid(box, angle, radius_m, off_m), box[3], LEAN_SHUT)

        def shut(share: float) -> FloatArray:
            return at(lid * (1 - share), SHUT_R_M, 0.012 + 0.038 * max(0.0, 1 - 3 * share) ** 2)

        moves.go(1.0, {right: Stance(at(lid, 0.16, 0.08), SHUT)})
        moves.go(0.6, {right: Stance(shut(0), SHUT)})
        moves.along(1.8, right, shut)
        moves.go(0.3, {right: Stance(at(0, SHUT_R_M, 0.003), SHUT)})
        moves.rise(0.5, right, HOVER_M)

    # -- parts of steps --------------------------------------------------------------------

    def _grip_handle(self, moves: Choreography, pack: Pack) -> float:
        """Bring the left hand to the box's handle and close it; return the hand's heading."""
        left = self._left
        point = of_frame(pack.box, (0, HANDLE_Y_M, GRIP_Z_M))
        heading = self._nearer(left, point, pack.box[3])
        pose = hand(point, heading, LEAN_HOLD)
        moves.rise_to(0.4, left, point[2] + HOVER_M / 2, WIDE)
        moves.go(1.2, {left: Stance(_up(pose, HOVER_M), WIDE), self._right: Stance(self._ready[self._right], 1.0)})
        moves.go(DOWN_S, {left: Stance(pose, WIDE)})
        moves.grip(GRIP_S, left, SHUT)
        return heading

    def _carry(
        self,
        moves: Choreography,
        box: FloatArray,
        goal: FloatArray,
        heading: float,
        lift_m: float,
        also: dict[int, Stance] | None = None,
    ) -> None:
        """Carry the box that the left hand holds from where it is to where it shall stand."""
        left = self._left
        point = of_frame(goal, (0, HANDLE_Y_M, GRIP_Z_M))
        pose = hand(point, heading + goal[3] - box[3], LEAN_HOLD)
        moves.rise(0.4, left, lift_m)
        moves.go(1.4, {left: Stance(_up(pose, lift_m), SHUT), **(also or {})})
        moves.go(0.4, {left: Stance(pose, SHUT)})

    def _nearer(self, arm: int, point: FloatArray, yaw: float) -> float:
        """Return yaw, or half a turn more: jaws do not mind, and the wrist turns less."""
        out = (point - self._bases[arm])[:2]
        ahead = np.cos(yaw - np.arctan2(out[1], out[0]))
        return yaw if ahead >= 0 else yaw + np.pi


def _work(truth: PackingTruth, pack: Pack) -> FloatArray:
    return np.array([*truth.work, pack.placed[2], 0.0])


def _lift_m(truth: PackingTruth) -> float:
    return CARRY_M if len(truth.packs) == 1 else OVER_M


def _at(box: FloatArray, goal: FloatArray) -> bool:
    turn = np.arctan2(np.sin(box[3] - goal[3]), np.cos(box[3] - goal[3]))
    return bool(np.linalg.norm(box[:3] - goal[:3]) < NEAR_M and abs(turn) < TURNED_RAD)


def _up(pose: FloatArray, height_m: float) -> FloatArray:
    out = np.array(pose)
    out[2, 3] += height_m
    return out
