# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics of one arm: the point exactly, the orientation as nearly as the joints permit.

Damped least squares on pinocchio's Jacobians, warm-started, so that a path keeps its branch. Orientation is
solved in the null space of the position task (Nakamura, Hanafusa and Yoshikawa 1987, task priority), because
a tool that grasps must be at its point, while a few degrees of tilt do no harm. Joints that a step would push
out of their limits stop there, and the others make up for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pinocchio as pin

from wam_ros.core.robot import Arm
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.forward import Kinematics

POINT_DAMPING = 1e-6  # small: damping leaves a bias where the secondary task pulls
TURN_DAMPING = 1e-2  # larger: what is left after the point task is often close to singular
STEP_RAD = 0.25  # largest change of a joint in one iteration; keeps the linearisation honest
POINT_TOLERANCE_M = 2e-5
TURN_TOLERANCE_RAD = 1e-3
SETTLED_RAD = 1e-4  # an iteration that moves no joint farther than this has converged


@dataclass(frozen=True)
class Solution:
    """Joint angles and what remains between tool and target.

    Attributes:
        angles_rad: (n,) within the arm's target limits.
        point_error_m: distance of the tool's origin from the target.
        turn_error_rad: angle between the orientations.
    """

    angles_rad: FloatArray
    point_error_m: float
    turn_error_rad: float


class ToolSolver:
    """Joint angles that bring one arm's tool to a pose."""

    def __init__(self, kinematics: Kinematics, arm: Arm) -> None:
        model = kinematics.model
        self._model = model
        self._data = model.createData()
        self._tool = model.getFrameId(arm.tool_frame)
        self._slots = np.array([model.joints[model.getJointId(name)].idx_v for name in arm.joints])
        self._lower = np.array(arm.limits.lower_rad)
        self._upper = np.array(arm.limits.upper_rad)
        self._q = pin.neutral(model)
        pin.framesForwardKinematics(model, self._data, self._q)
        self._T_root_base = self._data.oMf[model.getFrameId(kinematics.robot.base_frame)].copy()

    def solve(self, T_base_tool: FloatArray, start_rad: FloatArray, iterations: int = 60) -> Solution:
        """Return the solution nearest to the start.

        Args:
            T_base_tool: (4, 4) wanted pose of the tool in the robot's base frame.
            start_rad: (n,) angles to start from; the previous solution of a path.
            iterations: most steps to take; the errors of the solution say whether they sufficed.
        """
        target = self._T_root_base * pin.SE3(np.asarray(T_base_tool))
        angles: FloatArray = np.clip(start_rad, self._lower, self._upper)
        for _ in range(iterations):
            point, turn = self._errors(target, angles)
            if np.linalg.norm(point) < POINT_TOLERANCE_M and np.linalg.norm(turn) < TURN_TOLERANCE_RAD:
                break
            step = self._step(angles, point, turn)
            angles += step
            if np.abs(step).max() < SETTLED_RAD:
                break
        point, turn = self._errors(target, angles)
        return Solution(angles, float(np.linalg.norm(point)), float(np.linalg.norm(turn)))

    def _errors(self, target: pin.SE3, angles: FloatArray) -> tuple[FloatArray, FloatArray]:
        self._q[self._slots] = angles
        pin.computeJointJacobians(self._model, self._data, self._q)
        pose = pin.updateFramePlacement(self._model, self._data, self._tool)
        return target.translation - pose.translation, pin.log3(target.rotation @ pose.rotation.T)

    def _step(self, angles: FloatArray, point: FloatArray, turn: FloatArray) -> FloatArray:
        jacobian = pin.getFrameJacobian(self._model, self._data, self._tool, pin.LOCAL_WORLD_ALIGNED)[:, self._slots]
        held = np.zeros(len(angles))
        free = np.ones(len(angles), dtype=bool)
        for _ in angles:
            rest = _prioritised(jacobian * free, point - jacobian[:3] @ held, turn - jacobian[3:] @ held)
            rest *= min(1.0, STEP_RAD / max(np.abs(rest).max(), 1e-12))
            below, above = free & (angles + rest < self._lower), free & (angles + rest > self._upper)
            if not (below | above).any():
                break
            held = np.where(below, self._lower - angles, np.where(above, self._upper - angles, held))
            free &= ~(below | above)
        clipped: FloatArray = np.clip(angles + rest * free + held, self._lower, self._upper) - angles
        return clipped


def _prioritised(jacobian: FloatArray, point: FloatArray, turn: FloatArray) -> FloatArray:
    """(n,) joint step that removes the point error first and, in what freedom is left, the turn error."""
    by_point, by_turn = jacobian[:3], jacobian[3:]
    inverse = _damped_inverse(by_point, POINT_DAMPING)
    step = inverse @ point
    free = by_turn - (by_turn @ inverse) @ by_point
    rest: FloatArray = step + _damped_inverse(free, TURN_DAMPING) @ (turn - by_turn @ step)
    return rest


def _damped_inverse(jacobian: FloatArray, damping: float) -> FloatArray:
    square: FloatArray = jacobian @ jacobian.T + damping * np.eye(len(jacobian))
    inverse: FloatArray = np.asarray(np.linalg.solve(square, jacobian), dtype=np.float64).T
    return inverse
