# SPDX-License-Identifier: Apache-2.0
"""Listen to a running graph from the side, cheaply: for those who show and record but take no part.

Pictures stay serialised until somebody wants one; only their stamps are read. Whoever spins in gulps
(:func:`take_all`) leaves joint messages that were overtaken unread.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor, TimeoutException
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.errors import ShapeError
from wam_ros.core.joint_topics import JointTopic, feedback_topics
from wam_ros.core.robot import Camera, Robot
from wam_ros.core.types import NS_PER_S, ByteImage, FloatArray, Trajectory
from wam_ros.ros.convert import color_from_msg, compressed_color_from_msg, trajectory_from_msg
from wam_ros.ros.dialects import Spoken
from wam_ros.ros.hearing import hear_joints
from wam_ros.ros.qos import COMMAND, EVENT, LATCHED, SENSOR, STATE
from wam_ros.ros.status import read_values

#: The simulator's picture for people; it is drawn only while somebody listens.
SCENE_CAMERA = Camera("scene", frame="", width=640, height=480, rate_hz=7.5, color="sim/scene")
# A serialised message begins with four bytes of encapsulation; a header's stamp comes first.
_STAMP = {0: struct.Struct(">iI"), 1: struct.Struct("<iI")}
_STAMP_OFFSET = 4


class Sink(Protocol):
    """What a listener tells; all calls come from the executor that spins the node."""

    def wants(self, camera: str, stamp_ns: int) -> bool:
        """A frame was captured; say whether its picture is to be handed over."""
        ...

    def on_picture(self, camera: str, stamp_ns: int, color: ByteImage) -> None:
        """Take a picture that was wanted: (H, W, 3) RGB, read-only."""
        ...

    def on_joints(self, stamp_ns: int, position: FloatArray) -> None:
        """Take the newest (J,) positions, NaN where nothing has come; the array changes later."""
        ...

    def on_committed(self, trajectory: Trajectory) -> None:
        """Take what motion will execute from now on."""
        ...

    def on_safety(self, state: str, cause: str) -> None:
        """Take the safety state and its cause code."""
        ...

    def on_status(self, node: str, message: str, values: dict[str, str]) -> None:
        """Take a node's own diagnostics."""
        ...


class SideListener:
    """Subscribes to all that can be seen of a robot and its graph.

    Args:
        node: whose executor calls back.
        robot: its cameras and joint feedback are listened to on the driver's topics.
        sink: is told.
        extra: further cameras, which are not the robot's.

    Attributes:
        malformed: messages that contradicted themselves.
    """

    def __init__(self, node: Node, robot: Robot, sink: Sink, extra: Sequence[Camera] = ()) -> None:
        self.malformed = 0
        self._sink, self._clock = sink, node.get_clock()
        self._stamped = robot.stamp_source == "header"
        self._position = np.full(len(robot.joint_names), np.nan)
        for camera in (*robot.cameras, *extra):
            kind = CompressedImage if camera.transport == "compressed" else Image
            for topic in camera.color_topics:
                # Deep, for a frame that is lost here would look like skew; raw, so that depth costs nothing.
                node.create_subscription(kind, topic, partial(self._on_frame, camera), STATE, raw=True)
        for joints in feedback_topics(robot):
            hear_joints(node, joints, partial(self._on_joints, joints), SENSOR)
        node.create_subscription(JointTrajectory, "motion/committed", self._on_committed, COMMAND)
        node.create_subscription(DiagnosticStatus, "safety/state", self._on_safety, LATCHED)
        node.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)

    def _on_frame(self, camera: Camera, data: bytes) -> None:
        stamp_ns = self._time_ns(stamp_of(data))
        if not self._sink.wants(camera.name, stamp_ns):
            return
        try:
            color = _decoded(camera, data)
        except ShapeError:
            self.malformed += 1
            return
        self._sink.on_picture(camera.name, stamp_ns, color)

    def _on_joints(self, topic: JointTopic, said: Spoken) -> None:
        try:
            self._position[topic.columns] = topic.from_native(said.positions, said.names)
        except ShapeError:
            self.malformed += 1
            return
        self._sink.on_joints(self._time_ns(said.stamp_ns), self._position)

    def _time_ns(self, stamp_ns: int) -> int:
        """The driver's stamp, where it is one on our clock."""
        return stamp_ns if self._stamped else int(self._clock.now().nanoseconds)

    def _on_committed(self, msg: JointTrajectory) -> None:
        try:
            trajectory = trajectory_from_msg(msg)
        except ShapeError:
            self.malformed += 1
            return
        self._sink.on_committed(trajectory)

    def _on_safety(self, msg: DiagnosticStatus) -> None:
        self._sink.on_safety(msg.message, read_values(msg).get("cause", ""))

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.startswith("wam/"):
                self._sink.on_status(status.name.removeprefix("wam/"), status.message, read_values(status))


def stamp_of(data: bytes) -> int:
    """Return the stamp [ns] of a serialised message whose first field is a header."""
    sec, nanosec = _STAMP[data[1] & 1].unpack_from(data, _STAMP_OFFSET)
    return int(sec) * NS_PER_S + int(nanosec)


def take_all(executor: SingleThreadedExecutor, most: int = 1000) -> int:
    """Run the callbacks of everything that has come, and return how many; does not wait."""
    for count in range(most):
        try:
            handler, _, _ = executor.wait_for_ready_callbacks(timeout_sec=0.0)
        except TimeoutException:
            return count
        handler()
        if handler.exception() is not None:
            raise handler.exception()
    return most


def _decoded(camera: Camera, data: bytes) -> ByteImage:
    if camera.transport == "compressed":
        return compressed_color_from_msg(deserialize_message(data, CompressedImage))
    return color_from_msg(deserialize_message(data, Image))
