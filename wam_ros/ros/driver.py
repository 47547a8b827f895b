# SPDX-License-Identifier: Apache-2.0
"""The driver's side of a robot's topics, for its simulated twin: what ``observe.py`` hears and ``act.py`` says.

It speaks as the real driver does, habits included: a placeholder for a name, grippers in their own unit.
The real tracker reads its values without looking at the length; here such a command is refused and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.joint_topics import JointTopic, command_topics, feedback_topics
from wam_ros.core.robot import Camera, Robot
from wam_ros.core.types import ByteImage, DepthImage, FloatArray
from wam_ros.ros.convert import image_to_msg, ns_to_stamp, stamp_to_ns
from wam_ros.ros.qos import COMMAND, SENSOR, STATE

_MM_PER_M = 1000.0
_LARGEST_MM = 65535


class Outlet:
    """A publisher that can say its last message again, for listeners that come while time stands still."""

    def __init__(self, node: Node, kind: type, topic: str, qos: QoSProfile) -> None:
        self._publisher = node.create_publisher(kind, topic, qos)
        self._last: Any = None

    def publish(self, message: Any) -> None:
        """Send a message."""
        self._last = message
        self._publisher.publish(message)

    def repeat(self) -> None:
        """Send the last message again, if there was one."""
        if self._last is not None:
            self._publisher.publish(self._last)


class CameraDriver:
    """One camera's topics: colour, depth in millimetres, and the intrinsics with every frame.

    Raises:
        ConfigError: a transport that no simulated camera speaks.
    """

    def __init__(self, node: Node, camera: Camera, intrinsics: FloatArray) -> None:
        if camera.transport != "raw":
            what = f"transport of camera {camera.name}"
            raise ConfigError(mismatch(what, "raw", camera.transport, "simulated cameras send raw images"))
        self._camera = camera
        self._color = Outlet(node, Image, camera.color, SENSOR)
        self._depth = Outlet(node, Image, camera.depth, SENSOR) if camera.depth else None
        self._info = Outlet(node, CameraInfo, camera.info, SENSOR) if camera.info else None
        self._calibration = _camera_info(camera, intrinsics)

    def publish(self, color: ByteImage, depth_m: DepthImage, stamp_ns: int) -> None:
        """Send (H, W, 3) RGB and (H, W) depth of one exposure."""
        self._color.publish(image_to_msg(color, "rgb8", stamp_ns, self._camera.frame))
        if self._depth is not None:
            millimetres = np.clip(np.rint(depth_m * _MM_PER_M), 0, _LARGEST_MM).astype(np.uint16)
            self._depth.publish(image_to_msg(millimetres, "16UC1", stamp_ns, self._camera.frame))
        if self._info is not None:
            self._calibration.header.stamp = ns_to_stamp(stamp_ns)
            self._info.publish(self._calibration)

    def repeat(self) -> None:
        """Send the last frame again, same stamp."""
        for outlet in (self._color, self._depth, self._info):
            if outlet is not None:
                outlet.repeat()


def _camera_info(camera: Camera, intrinsics: FloatArray) -> CameraInfo:
    info = CameraInfo(width=camera.width, height=camera.height, distortion_model="plumb_bob", d=[0.0] * 5)
    info.header.frame_id = camera.frame
    info.k = intrinsics.ravel().tolist()
    info.r = np.eye(3).ravel().tolist()
    info.p = np.hstack([intrinsics, np.zeros((3, 1))]).ravel().tolist()
    return info


class JointDriver:
    """Feedback of all arms and grippers, each on its topic, in the driver's units.

    Raises:
        ConfigError: a kind of feedback that the simulated driver does not speak.
    """

    def __init__(self, node: Node, robot: Robot) -> None:
        for topic in feedback_topics(robot):
            _require("feedback", topic, {"joint_state"})
        self._ports = [(t, Outlet(node, JointState, t.stream.topic, STATE)) for t in feedback_topics(robot)]

    def publish(self, position: FloatArray, velocity: FloatArray, stamp_ns: int) -> None:
        """Send (J,) positions and velocities in robot order."""
        for topic, outlet in self._ports:
            message = JointState(name=[topic.name])
            message.header.stamp = ns_to_stamp(stamp_ns)
            message.position = topic.to_native(position).tolist()
            message.velocity = topic.to_native_rate(velocity).tolist()
            outlet.publish(message)

    def repeat(self) -> None:
        """Send the last feedback again, same stamp."""
        for _, outlet in self._ports:
            outlet.repeat()


@dataclass(frozen=True)
class Command:
    """A command that was understood.

    Attributes:
        joints: columns in the robot order.
        target: (n,) positions, grippers normalised.
        speed: (n,) largest speeds: those that came with it, a gripper's own, else infinite.
    """

    joints: slice
    target: FloatArray
    speed: FloatArray


class CommandDriver:
    """Listens to the command topics.

    Args:
        node: subscribes to the driver's topics.
        robot: whose command streams are understood.
        on_command: called with every well-formed command.

    Attributes:
        refused: malformed commands so far.

    Raises:
        ConfigError: a kind of command that the simulated driver does not understand.
    """

    def __init__(self, node: Node, robot: Robot, on_command: Callable[[Command], None]) -> None:
        self.refused = 0
        self._logger = node.get_logger()
        self._on_command = on_command
        self._heard_ns: dict[str, int] = {}
        for topic in command_topics(robot):
            _require("command", topic, READERS)
            self._heard_ns[topic.name] = 0
            node.create_subscription(JointState, topic.stream.topic, partial(self._on_message, topic), COMMAND)

    @property
    def heard_ns(self) -> int:
        """Stamp up to which every command topic has been heard; 0 until all have."""
        return min(self._heard_ns.values())

    def _on_message(self, topic: JointTopic, message: JointState) -> None:
        self._heard_ns[topic.name] = stamp_to_ns(message.header.stamp)
        command = READERS[topic.stream.kind](topic, message)
        if command is not None:
            self._on_command(command)
            return
        self.refused += 1
        self._logger.warning(
            f"command on {topic.stream.topic} refused: expected {len(topic.joints)} finite positions (and positive speeds "
            f"where it takes them), got {list(message.position)} and {list(message.velocity)}; correct the sender",
            throttle_duration_sec=1.0,
        )


def _positions(topic: JointTopic, message: JointState) -> Command | None:
    if len(message.position) < len(topic.joints):
        return None
    target = topic.from_native(message.position)
    speed = np.full(len(target), np.inf)
    if topic.gripper is not None:
        speed[-1] = topic.gripper.speed_1_s
    return Command(topic.columns, target, speed) if np.isfinite(target).all() else None


def _positions_and_speeds(topic: JointTopic, message: JointState) -> Command | None:
    command, speed = _positions(topic, message), np.array(message.velocity[: len(topic.joints)])
    if command is None or len(speed) < len(topic.joints) or not (np.isfinite(speed) & (speed > 0)).all():
        return None
    if topic.gripper is not None:
        speed[-1] /= abs(topic.gripper.open_native - topic.gripper.closed_native)
    return Command(topic.columns, command.target, speed)


READERS: Mapping[str, Callable[[JointTopic, JointState], Command | None]] = {
    "joint_state": _positions,
    "joint_state_with_speed_cap": _positions_and_speeds,
}


def _require(what: str, topic: JointTopic, known: Mapping[str, object] | set[str]) -> None:
    if topic.stream.kind not in known:
        expected = " or ".join(sorted(known))
        raise ConfigError(
            mismatch(f"{what} kind of {topic.stream.topic}", expected, topic.stream.kind, "use what the twin can speak")
        )
