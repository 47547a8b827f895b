# SPDX-License-Identifier: Apache-2.0
"""Joint feedback of the robot's driver: the newest positions, and how old they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from wam_ros.core.errors import ConfigError, ShapeError, mismatch
from wam_ros.core.joint_topics import JointTopic, feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.ros.convert import stamp_to_ns
from wam_ros.ros.qos import STATE


class JointFeedback:
    """The newest positions of all joints.

    Args:
        node: subscribes to the driver's topics.
        robot: whose feedback is read.
        now_ns: reads control time.
        on_update: called after each message that was believed.

    Attributes:
        position: (J,) in robot order, grippers normalised; NaN where nothing has come.
        malformed: messages that were too short.

    Raises:
        ConfigError: a stream's kind that nobody speaks.
    """

    def __init__(
        self, node: Node, robot: Robot, now_ns: Callable[[], int], on_update: Callable[[], None] | None = None
    ) -> None:
        self.position = np.full(len(robot.joint_names), np.nan)
        self.malformed = 0
        self._now_ns, self._on_update = now_ns, on_update
        topics = feedback_topics(robot)
        self._arrived_ns = dict.fromkeys((topic.name for topic in topics), 0)
        self._stamps_ns = dict(self._arrived_ns)
        for topic in topics:
            if topic.stream.kind != "joint_state":
                what = f"feedback kind of {topic.stream.topic}"
                raise ConfigError(mismatch(what, "joint_state", topic.stream.kind, "correct the robot file"))
            node.create_subscription(JointState, topic.stream.topic, partial(self._on_message, topic), STATE)

    @property
    def slowest(self) -> tuple[int, str]:
        """Control time at which the stream that is farthest behind has spoken, 0 for never; and its name."""
        return min((arrived_ns, name) for name, arrived_ns in self._arrived_ns.items())

    @property
    def stamp_ns(self) -> int:
        """Stamp of the stream that is farthest behind; 0 until all have spoken."""
        return min(self._stamps_ns.values())

    def _on_message(self, topic: JointTopic, msg: JointState) -> None:
        try:
            values = topic.from_native(msg.position, msg.name)
        except ShapeError:
            self.malformed += 1
            return
        self.position[topic.columns] = values
        self._arrived_ns[topic.name] = self._now_ns()
        self._stamps_ns[topic.name] = stamp_to_ns(msg.header.stamp)
        if self._on_update is not None:
            self._on_update()
