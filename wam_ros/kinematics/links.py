# SPDX-License-Identifier: Apache-2.0
"""Where every link of the URDF is, fingers included: for those who draw the robot."""

from __future__ import annotations

import numpy as np
import pinocchio as pin

from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.description import full_model, locked_position, set_position


class Links:
    """Poses of all links relative to their parents.

    Not for use by two threads at once: it owns scratch data.

    Attributes:
        names: (L,) pairs of parent and child link.
        joints: (N,) names of all joints that move.
        root: the link that hangs on none.
    """

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self._model = full_model(robot)
        self._data = self._model.createData()
        self._q = locked_position(robot, self._model)
        bodies = [i for i, frame in enumerate(self._model.frames) if frame.type == pin.FrameType.BODY]
        pairs = [(self._parent(child), child) for child in bodies]
        self.root = str(self._model.frames[bodies[0]].name)
        self.joints = tuple(self._model.names)[1:]
        self._pairs = [(parent, child) for parent, child in pairs if parent is not None]
        frames = self._model.frames
        self.names = tuple((frames[parent].name, frames[child].name) for parent, child in self._pairs)

    def poses(self, position: FloatArray) -> FloatArray:
        """(L, 4, 4) ``T_parent_child`` for (J,) positions in robot order."""
        set_position(self._robot, self._model, self._q, position)
        pin.framesForwardKinematics(self._model, self._data, self._q)
        placed = self._data.oMf
        poses: FloatArray = np.array([placed[a].actInv(placed[b]).homogeneous for a, b in self._pairs])
        return poses

    def values(self, position: FloatArray) -> FloatArray:
        """(N,) positions of all joints, [rad] or [m], for (J,) positions in robot order."""
        set_position(self._robot, self._model, self._q, position)
        values: FloatArray = np.array([self._angle(joint) for joint in self._model.joints[1:]])
        return values

    def _angle(self, joint: pin.JointModel) -> float:
        q = self._q[joint.idx_q : joint.idx_q + joint.nq]
        return float(q[0] if joint.nq == 1 else np.arctan2(q[1], q[0]))  # one without ends is a cosine and a sine

    def _parent(self, frame: int) -> int | None:
        """The link that a link hangs on; None for the root."""
        above = self._model.frames[frame].parentFrame
        while above != 0 and self._model.frames[above].type != pin.FrameType.BODY:
            above = self._model.frames[above].parentFrame
        return above if above != 0 else None
