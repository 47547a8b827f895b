# SPDX-License-Identifier: Apache-2.0
"""Where the boxes of a robot's grippers and fingers are, from its URDF: what cameras must see of its hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import coal
import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from wam_ros.core.hand import Hand
from wam_ros.core.robot import Arm, Robot
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.description import full_model, locked_position, set_position, urdf_text


@dataclass(frozen=True)
class _Shapes:
    """The boxes and cylinders of one arm: (B, 3) half sides, and (B,) whether they belong to its hand."""

    shapes: list[pin.GeometryObject]
    half_m: FloatArray
    own: NDArray[np.bool_]


class Hands:
    """The hands of one robot; shapes other than boxes and cylinders do not count.

    Not for use by two threads at once: it owns scratch data.
    """

    def __init__(self, robot: Robot) -> None:
        self._robot, self._model = robot, full_model(robot)
        self._data, self._q = self._model.createData(), locked_position(robot, self._model)
        shapes = pin.buildGeomFromUrdfString(self._model, urdf_text(robot), pin.GeometryType.COLLISION)
        self._shapes = {arm.name: self._of(arm, list(shapes.geometryObjects)) for arm in robot.arms}

    def _of(self, arm: Arm, shapes: Sequence[pin.GeometryObject]) -> _Shapes:
        """The shapes of an arm's joints and fingers; the hand's are those on the fingers and on the link they slide on."""
        frames = self._model.frames
        fingers = {self._model.getJointId(name) for name in arm.gripper.fingers}
        palms = {frames[self._model.getFrameId(name)].parentFrame for name in arm.gripper.fingers}
        joints = fingers | {self._model.getJointId(name) for name in arm.joints}
        moved = [s for s in shapes if s.parentJoint in joints and isinstance(s.geometry, (coal.Box, coal.Cylinder))]
        own = [isinstance(s.geometry, coal.Box) and (s.parentJoint in fingers or s.parentFrame in palms) for s in moved]
        return _Shapes(moved, np.array([_half(s.geometry) for s in moved]), np.array(own))

    def at(self, position: FloatArray) -> dict[str, Hand]:
        """Return arm to its hand for (J,) positions in robot order, those that have boxes."""
        set_position(self._robot, self._model, self._q, position)
        pin.framesForwardKinematics(self._model, self._data, self._q)
        arms = [arm for arm in self._robot.arms if self._shapes[arm.name].own.any()]
        return {arm.name: self._hand(arm) for arm in arms}

    def _hand(self, arm: Arm) -> Hand:
        base, arm_base = (self._data.oMf[self._model.getFrameId(f)] for f in (self._robot.base_frame, arm.base_frame))
        shapes = self._shapes[arm.name]
        placed = [arm_base.actInv(self._data.oMi[s.parentJoint] * s.placement).homogeneous for s in shapes.shapes]
        return Hand(base.actInv(arm_base).homogeneous, np.array(placed), shapes.half_m, shapes.own)


def _half(solid: coal.Box | coal.Cylinder) -> FloatArray:
    """(3,) half sides of the box that a shape is, or fills."""
    if isinstance(solid, coal.Box):
        return np.array(solid.halfSide)
    return np.array([solid.radius, solid.radius, solid.halfLength])
