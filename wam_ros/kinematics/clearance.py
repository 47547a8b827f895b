# SPDX-License-Identifier: Apache-2.0
"""Distances between the arms, to the robot's body and to boxes around it, for every row of a trajectory.

Cylinders of the URDF become capsules of the same length, which contain them, so distances are never too
large; fingers count as wide open. About 10 us a row and pair of arms, so that all rows can be checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import coal
import numpy as np
import pinocchio as pin

from wam_ros.core.robot import Robot
from wam_ros.core.task import Box
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.description import full_model, locked_joints, locked_position, urdf_text
from wam_ros.kinematics.forward import Kinematics

BODY = -1  # owner of links that belong to no arm
OBSTACLE = -2
SMALL_BOX_M = 0.08  # half side of boxes that a capsule encloses closely enough; larger ones stay boxes
NEAR_BASE_LINKS = 3  # an arm's first links touch the body by construction and are not compared with it


@dataclass(frozen=True)
class Distances:
    """(K,) smallest distance [m] of each row; negative where shapes overlap, inf where nothing is compared."""

    arm_to_arm_m: FloatArray
    arm_to_body_m: FloatArray
    arm_to_obstacle_m: FloatArray


class Clearance:
    """Distances of one robot; not for use by two threads at once."""

    def __init__(self, robot: Robot, obstacles: Sequence[Box] = ()) -> None:
        self._kinematics = Kinematics(robot)
        self._model = self._kinematics.model
        self._data = self._model.createData()
        shapes = _capsules(robot)
        owners = [_owner(robot, self._model, shape) for shape in shapes.geometryObjects]
        for number, box in enumerate(obstacles):
            shapes.addGeometryObject(self._obstacle(box, number))
            owners.append((OBSTACLE, 0))
        self._geometries = [_with_pairs(shapes, owners, kind) for kind in range(3)]
        self._results = [geometry.createData() for geometry in self._geometries]

    def check(self, positions: FloatArray) -> Distances:
        """Return the distances of (K, J) positions in robot order."""
        rows = np.atleast_2d(positions)
        found = np.array([self._smallest(self._kinematics.configuration(row)) for row in rows])
        return Distances(*found.T)

    def _smallest(self, q: FloatArray) -> list[float]:
        pin.forwardKinematics(self._model, self._data, q)
        distances = []
        for geometry, results in zip(self._geometries, self._results, strict=True):
            pin.updateGeometryPlacements(self._model, self._data, geometry, results)
            nearest = pin.computeDistances(geometry, results)
            empty = len(geometry.collisionPairs) == 0
            distances.append(np.inf if empty else results.distanceResults[nearest].min_distance)
        return distances

    def _obstacle(self, box: Box, number: int) -> pin.GeometryObject:
        pin.framesForwardKinematics(self._model, self._data, pin.neutral(self._model))
        T_root_base = self._data.oMf[self._model.getFrameId(self._kinematics.robot.base_frame)]
        lower, upper = np.array(box.lower_m), np.array(box.upper_m)
        T_root_box = T_root_base * pin.SE3(np.eye(3), (lower + upper) / 2)
        return pin.GeometryObject(f"obstacle{number}", 0, T_root_box, coal.Box(*(upper - lower)))


def _with_pairs(shapes: pin.GeometryModel, owners: list[tuple[int, int]], kind: int) -> pin.GeometryModel:
    geometry = shapes.copy()
    for b, second in enumerate(owners):
        for a, first in enumerate(owners[:b]):
            if _pair_kind(*first, *second) == kind:
                geometry.addCollisionPair(pin.CollisionPair(a, b))
    return geometry


def _pair_kind(first: int, first_link: int, second: int, second_link: int) -> int | None:
    """Index of the field of :class:`Distances` that a pair of shapes belongs to, None if it is not compared."""
    if first >= 0 and second >= 0:
        return 0 if first != second else None
    link = first_link if first >= 0 else second_link
    if max(first, second) < 0 or link < NEAR_BASE_LINKS:
        return None
    return 1 if min(first, second) == BODY else 2


def _capsules(robot: Robot) -> pin.GeometryModel:
    full = full_model(robot)
    shapes = pin.buildGeomFromUrdfString(full, urdf_text(robot), pin.GeometryType.COLLISION)
    _, shapes = pin.buildReducedModel(full, shapes, locked_joints(robot, full), locked_position(robot, full))
    for shape in shapes.geometryObjects:
        _enclose(shape)
    return shapes


def _enclose(shape: pin.GeometryObject) -> None:
    """Replace a cylinder or box by a capsule that contains it: capsules are compared in closed form."""
    solid = shape.geometry
    if isinstance(solid, coal.Cylinder):
        shape.geometry = coal.Capsule(solid.radius, 2 * solid.halfLength)
    elif isinstance(solid, coal.Box) and solid.halfSide.max() < SMALL_BOX_M:
        half = np.array(solid.halfSide)
        axis = int(half.argmax())
        shape.placement = shape.placement * pin.SE3(np.roll(np.eye(3), 2 - axis, axis=1), np.zeros(3))
        shape.geometry = coal.Capsule(float(np.linalg.norm(np.delete(half, axis))), 2 * float(half[axis]))


def _owner(robot: Robot, model: pin.Model, shape: pin.GeometryObject) -> tuple[int, int]:
    """Return the arm's index (or BODY) and the number of the link along it that a shape is fixed to."""
    joint = model.names[shape.parentJoint]
    for index, arm in enumerate(robot.arms):
        if joint in arm.joints:
            return index, arm.joints.index(joint) + 1
    return BODY, 0
