# SPDX-License-Identifier: Apache-2.0
"""Where the robot is told to be; where it is, while nobody tells it anything."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.errors import ShapeError
from wam_ros.core.robot import Robot
from wam_ros.core.rows import committed_rows
from wam_ros.core.types import FloatArray, Trajectory
from wam_ros.ros.convert import trajectory_from_msg
from wam_ros.ros.feedback import JointFeedback
from wam_ros.ros.qos import COMMAND
from wam_ros.ros.timebase import Timebase

#: While motion commands, it says so several times in this time.
_IN_FORCE_NS = 500_000_000


class Stance:
    """Listens to the joints and to what motion is committed to."""

    def __init__(self, node: Node, robot: Robot, time: Timebase) -> None:
        self._names, self._time = robot.joint_names, time
        self._feedback = JointFeedback(node, robot, time.now_ns)
        self._committed: Trajectory | None = None
        node.create_subscription(JointTrajectory, "motion/committed", self._on_committed, COMMAND)

    def position(self, now_ns: int) -> FloatArray | None:
        """(J,) in robot order; None until all joints have spoken."""
        told, stamp_ns = self._committed, self._time.to_stamp(now_ns)
        if told is not None and 0 <= stamp_ns - told.times_ns[0] <= _IN_FORCE_NS:
            row = committed_rows(told, (min(stamp_ns, told.times_ns[-1]),))
            assert row is not None  # at the latest its last point
            return row.positions[0]
        measured = self._feedback.position
        return np.array(measured) if np.isfinite(measured).all() else None

    def _on_committed(self, msg: JointTrajectory) -> None:
        try:
            trajectory = trajectory_from_msg(msg)
        except ShapeError:
            return  # motion's peers complain of it
        if trajectory.times_ns and trajectory.names == self._names:
            self._committed = trajectory
