# SPDX-License-Identifier: Apache-2.0
"""Joint feedback of the robot's driver: the newest positions, and how old they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from rclpy.node import Node

from wam_ros.core.errors import ShapeError
from wam_ros.core.joint_topics import JointTopic, feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.ros.dialects import Spoken
from wam_ros.ros.hearing import hear_joints


class JointFeedback:
    """The newest positions of all joints.

    Args:
        node: subscribes to the driver's topics.
        robot: whose feedback is read.
        now_ns: reads control time.
        on_update: called after each message that was believed.

    Attributes:
        position: (J,) in robot order, grippers normalised; NaN where nothing has come.
        malformed: messages of another size, with other names, or of joints where they cannot be.

    Raises:
        ConfigError: a stream's kind that nobody speaks.
        MissingDependencyError: the vendor's message type is not installed.
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
            hear_joints(node, topic, partial(self._on_said, topic))

    @property
    def slowest(self) -> tuple[int, str]:
        """Control time at which the stream that is farthest behind has spoken, 0 for never; and its name."""
        return min((arrived_ns, name) for name, arrived_ns in self._arrived_ns.items())

    @property
    def stamp_ns(self) -> int:
        """Stamp of the stream that is farthest behind; 0 until all have spoken."""
        return min(self._stamps_ns.values())

    def _on_said(self, topic: JointTopic, said: Spoken) -> None:
        try:
            values = topic.believed(said.positions, said.names)
        except ShapeError:
            self.malformed += 1
            return
        self.position[topic.columns] = values
        self._arrived_ns[topic.name] = self._now_ns()
        self._stamps_ns[topic.name] = said.stamp_ns
        if self._on_update is not None:
            self._on_update()
