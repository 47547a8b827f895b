# SPDX-License-Identifier: Apache-2.0
"""Every message around a robot as it comes, serialised: for the archive, which must not interpret anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.joint_topics import JointTopic, command_topics, feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.files.archive import Message
from wam_ros.ros.dialects import dialect_of, vendor_type
from wam_ros.ros.listen import stamp_of
from wam_ros.ros.qos import COMMAND, EVENT, LATCHED, STATE

#: Types that do not begin with a header.
_UNSTAMPED = (String, DiagnosticStatus)


class Overhearing:
    """What an observation source hears (it is that one's tap), and subscriptions to everything else.

    Args:
        node: owner of the subscriptions.
        robot: whose driver is overheard.
        take: is given each message.
        pictures: also raw pictures; compressed ones are always kept.
    """

    def __init__(self, node: Node, robot: Robot, take: Callable[[Message], None], *, pictures: bool) -> None:
        self._node, self._take, self._pictures = node, take, pictures
        streams = [topic.stream for topic in (*command_topics(robot), *feedback_topics(robot))]
        # The archive knows the definitions of standard types only.
        self._vendors = {vendor_type(stream) for stream in streams if stream.message}
        self._said: dict[str, Message] = {}
        for camera in robot.cameras:
            if camera.info:
                self._hear(CameraInfo, camera.info, STATE)
        for topic in command_topics(robot):
            self._hear(_command_type(topic), topic.stream.topic, STATE)
        for name, qos in (("policy/chunk", COMMAND), ("motion/committed", COMMAND)):
            self._hear(JointTrajectory, name, qos)
        for name, qos in (("instruction", LATCHED), ("control/source", LATCHED)):
            self._hear(String, name, qos)
        self._hear(DiagnosticStatus, "safety/state", LATCHED)
        self._hear(DiagnosticArray, "diagnostics", EVENT)
        if robot.simulated:
            self._hear(JointState, "sim/truth", STATE)
            self._hear(DiagnosticStatus, "sim/judge", EVENT)

    def wants(self, kind: type) -> bool:
        """Whether messages that an observation source hears are to be handed over."""
        return kind not in self._vendors and (self._pictures or kind is not Image)

    def hear(self, name: str, kind: type, data: bytes) -> None:
        """Take a message that an observation source heard."""
        self._on_message(self._node.resolve_topic_name(name), kind, False, data)

    def lasting(self, since_ns: int) -> list[Message]:
        """Return what was said once and for all up to a time, as if said then: an archive must begin with it."""
        return [said._replace(log_ns=since_ns) for said in self._said.values() if said.log_ns <= since_ns]

    def _hear(self, kind: type, name: str, qos: QoSProfile) -> None:
        if kind in self._vendors:
            return
        on_message = partial(self._on_message, self._node.resolve_topic_name(name), kind, qos is LATCHED)
        self._node.create_subscription(kind, name, on_message, qos, raw=True)

    def _on_message(self, topic: str, kind: type, lasting: bool, data: bytes) -> None:
        stamp_ns = 0 if kind in _UNSTAMPED else stamp_of(data)
        message = Message(topic, _type_name(kind), data, self._now_ns(), stamp_ns)
        if lasting:
            self._said[topic] = message
        self._take(message)

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)


def _command_type(topic: JointTopic) -> type:
    return JointTrajectory if topic.stream.kind == "joint_trajectory" else dialect_of(topic).message


@cache
def _type_name(kind: type) -> str:
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
