# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics of all arms in the robot's base frame."""

from __future__ import annotations

import numpy as np
import pinocchio as pin

from wam_ros.core.errors import ConfigError, ShapeError, mismatch
from wam_ros.core.robot import Arm, Robot
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.description import full_model, locked_joints, locked_position


class Kinematics:
    """Where frames are for given joints.

    Not for use by two threads at once: it owns scratch data.

    Attributes:
        robot: the robot it was built from.
        model: pinocchio model whose only joints are the arms'.
    """

    def __init__(self, robot: Robot) -> None:
        full = full_model(robot)
        self.robot = robot
        self.model: pin.Model = pin.buildReducedModel(full, locked_joints(robot, full), locked_position(robot, full))
        self._data = self.model.createData()
        self._base = self.model.getFrameId(robot.base_frame)
        joints = [name for arm in robot.arms for name in arm.joints]
        self._slots = np.array([self.model.joints[self.model.getJointId(name)].idx_q for name in joints])
        self._arm_values = ~np.array(robot.gripper_mask)

    def configuration(self, position: FloatArray) -> FloatArray:
        """(nq,) the model's configuration of a (J,) position in robot order; grippers do not matter.

        Raises:
            ShapeError: if the vector has another length.
        """
        if np.shape(position) != (len(self._arm_values),):
            raise ShapeError(
                mismatch(
                    "joint positions", (len(self._arm_values),), np.shape(position), "give all joints in robot order"
                )
            )
        q = np.empty(self.model.nq)
        q[self._slots] = np.asarray(position)[self._arm_values]
        return q

    def pose(self, position: FloatArray, frame: str) -> FloatArray:
        """(4, 4) ``T_base_frame`` of a URDF frame for a (J,) position.

        Raises:
            ConfigError: if the URDF has no such frame.
        """
        if not self.model.existFrame(frame):
            raise ConfigError(mismatch("frame", [f.name for f in self.model.frames], frame, "name a frame of the URDF"))
        pin.framesForwardKinematics(self.model, self._data, self.configuration(position))
        T_root_base = self._data.oMf[self._base]
        pose: FloatArray = T_root_base.actInv(self._data.oMf[self.model.getFrameId(frame)]).homogeneous
        return pose

    def fixed(self, frame: str, other: str) -> bool:
        """Whether no arm joint lies between two frames."""
        one, two = (self.model.frames[self.model.getFrameId(name)].parentJoint for name in (frame, other))
        return bool(one == two)

    def tool_pose(self, position: FloatArray, arm: Arm) -> FloatArray:
        """(4, 4) ``T_base_tool`` of an arm for a (J,) position."""
        return self.pose(position, arm.tool_frame)
