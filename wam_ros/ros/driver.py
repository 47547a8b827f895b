# SPDX-License-Identifier: Apache-2.0
"""The driver's side of a robot's topics, for twins and doubles: what ``observe.py`` hears and ``act.py`` says.

It speaks as the real driver does: a placeholder for a name, grippers in their own unit, the driver's types. A double has
the driver's habits as well (:class:`wam_ros.core.robot.Habits`); a twin has none, and refuses malformed commands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.joint_topics import JointTopic, command_topics, feedback_topics
from wam_ros.core.robot import Camera, Habits, Robot
from wam_ros.core.types import NS_PER_S, ByteImage, DepthImage, FloatArray
from wam_ros.ros.convert import ns_to_stamp, picture_to_msg
from wam_ros.ros.dialects import Dialect, Spoken, dialect_of
from wam_ros.ros.optics import info_to_msg
from wam_ros.ros.qos import COMMAND, EVENT, SENSOR, STATE
from wam_ros.vision.resize import resize, resize_depth

_MM_PER_M = 1000.0
_LARGEST_MM = 65535
_KINDS = {"raw": Image, "compressed": CompressedImage}


class Outlet:
    """A publisher that can say its last message again, for listeners that come while time stands still."""

    def __init__(self, node: Node, kind: type, topic: str, qos: QoSProfile) -> None:
        self._publisher = node.create_publisher(kind, topic, qos)
        self._last: Any = None

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._publisher.get_subscription_count())

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

    Args:
        node: owner of the publishers.
        camera: whose topics are spoken; pictures of another size are brought to its own.
        intrinsics: (3, 3) camera matrix for that size.
        stamped: whether pictures say their time.
        repeated: its last frame is said again to late listeners, who must find depth in it.
    """

    def __init__(
        self, node: Node, camera: Camera, intrinsics: FloatArray, *, stamped: bool = True, repeated: bool = True
    ) -> None:
        self._camera, self._stamped, self._repeated = camera, stamped, repeated
        self._color = Outlet(node, _KINDS[camera.transport], camera.color, SENSOR)
        self._depth = Outlet(node, _KINDS[camera.depth_transport], camera.depth, SENSOR) if camera.depth else None
        self._info = Outlet(node, CameraInfo, camera.info, SENSOR) if camera.info else None
        self._calibration = info_to_msg(camera, intrinsics)

    @property
    def wants_depth(self) -> bool:
        """Whether depth is of use to anybody."""
        return self._depth is not None and (self._repeated or self._depth.heard)

    def publish(self, color: ByteImage, depth_m: DepthImage | None, stamp_ns: int) -> None:
        """Send (H, W, 3) RGB and (H, W) depth of one exposure, None where nobody wants it."""
        camera, stamp_ns = self._camera, stamp_ns if self._stamped else 0
        size = camera.height, camera.width
        ready = color.shape[:2] == size  # what takes time is done for listeners only
        if (ready and camera.transport == "raw") or self._color.heard:
            sized = color if ready else resize(color, *size, "bilinear")
            self._color.publish(picture_to_msg(sized, "rgb8", stamp_ns, camera.frame, camera.transport))
        if self._depth is not None and depth_m is not None:
            metres = depth_m if ready else resize_depth(depth_m, *size)
            millimetres = np.clip(np.rint(metres * _MM_PER_M), 0, _LARGEST_MM).astype(np.uint16)
            self._depth.publish(picture_to_msg(millimetres, "16UC1", stamp_ns, camera.frame, camera.depth_transport))
        if self._info is not None:
            self._calibration.header.stamp = ns_to_stamp(stamp_ns)
            self._info.publish(self._calibration)

    def repeat(self) -> None:
        """Send the last frame again, same stamp."""
        for outlet in (self._color, self._depth, self._info):
            if outlet is not None:
                outlet.repeat()


class JointDriver:
    """Feedback of all arms and grippers, each on its topic, in the driver's units.

    Args:
        node: owner of the publishers.
        robot: whose feedback is spoken.
        step_ns: time between two calls of :meth:`publish`; a faster topic is sent several times in each. 0: never.
        habits: the driver's; None: a twin's.

    Raises:
        ConfigError, MissingDependencyError: a kind of feedback that nobody speaks, or not here.
    """

    def __init__(self, node: Node, robot: Robot, step_ns: int = 0, habits: Habits | None = None) -> None:
        self._step_ns, self._habits = step_ns, habits or Habits()
        qos = EVENT if self._habits.reliable else STATE
        self._reads = 1.0 + np.where(robot.gripper_mask, self._habits.overtravel, 0.0)
        self._before: FloatArray | None = None
        self._ports = [_port(node, topic, qos, step_ns) for topic in feedback_topics(robot)]

    def publish(self, position: FloatArray, velocity: FloatArray, stamp_ns: int) -> None:
        """Send (J,) positions and velocities in robot order."""
        reads = position * self._reads
        before = reads if self._before is None else self._before
        self._before = reads
        for topic, dialect, outlet, times in self._ports:
            rates = topic.to_native_rate(velocity).tolist()
            for k in range(1, times + 1):
                now_ns = stamp_ns - self._step_ns * (times - k) // times if self._habits.stamps == "capture" else 0
                positions = topic.to_native(reads - (reads - before) * ((times - k) / times)).tolist()
                outlet.publish(dialect.write(Spoken(now_ns, (topic.name,), positions, rates)))

    def repeat(self) -> None:
        """Send the last feedback again, same stamp."""
        for port in self._ports:
            port.outlet.repeat()


class _Port(NamedTuple):
    topic: JointTopic
    dialect: Dialect
    outlet: Outlet
    times: int


def _port(node: Node, topic: JointTopic, qos: QoSProfile, step_ns: int) -> _Port:
    dialect = dialect_of(topic)
    times = max(1, round(topic.stream.rate_hz * step_ns / NS_PER_S))
    return _Port(topic, dialect, Outlet(node, dialect.message, topic.stream.topic, qos), times)


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
        on_command: called with every command that moves something.
        habits: the driver's; None: a twin's.

    Attributes:
        heard: commands so far.
        refused: malformed commands so far; a driver that reads blindly follows them all the same.

    Raises:
        ConfigError, MissingDependencyError: a kind of command that nobody understands, or not here.
    """

    def __init__(
        self, node: Node, robot: Robot, on_command: Callable[[Command], None], habits: Habits | None = None
    ) -> None:
        self.heard = self.refused = 0
        self._logger = node.get_logger()
        self._on_command = on_command
        self._blind = habits is not None and habits.reads_blindly
        self._heard_ns: dict[str, int] = {}
        qos = COMMAND if habits is None or habits.reliable else STATE
        for topic in command_topics(robot):
            _require("command", topic, READERS)
            self._heard_ns[topic.name] = 0
            kind, read, _ = dialect_of(topic)
            node.create_subscription(kind, topic.stream.topic, partial(self._on_message, topic, read), qos)

    @property
    def heard_ns(self) -> int:
        """Stamp up to which every command topic has been heard; 0 until all have."""
        return min(self._heard_ns.values())

    def _on_message(self, topic: JointTopic, read: Callable[[Any], Spoken], message: Any) -> None:
        said, size = read(message), len(topic.joints)
        self._heard_ns[topic.name], self.heard = said.stamp_ns, self.heard + 1
        command = READERS[topic.stream.kind](topic, said)
        if command is None:
            self.refused += 1
            self._complain(topic, said)
            if self._blind:  # what lies behind the end of an array is often zero
                command = READERS[topic.stream.kind](topic, Spoken(said.stamp_ns, (), *map(_padded(size), said[2:])))
        if command is not None:
            self._on_command(command)

    def _complain(self, topic: JointTopic, said: Spoken) -> None:
        self._logger.warning(
            f"command on {topic.stream.topic} malformed: expected {len(topic.joints)} finite positions (and positive speeds "
            f"where it takes them), got {list(said.positions)} and {list(said.velocities)}; correct the sender",
            throttle_duration_sec=1.0,
        )


def _padded(size: int) -> Callable[[Any], list[float]]:
    return lambda values: [*values, *(0.0,) * (size - len(values))]


def _positions(topic: JointTopic, said: Spoken) -> Command | None:
    if len(said.positions) < len(topic.joints):
        return None
    target = topic.from_native(said.positions[: len(topic.joints)])
    speed = np.full(len(target), np.inf)
    if topic.gripper is not None:
        speed[-1] = topic.gripper.speed_1_s
    return Command(topic.columns, target, speed) if np.isfinite(target).all() else None


def _positions_and_speeds(topic: JointTopic, said: Spoken) -> Command | None:
    command, speed = _positions(topic, said), np.array(said.velocities[: len(topic.joints)])
    if command is None or len(speed) < len(topic.joints) or not (np.isfinite(speed) & (speed > 0)).all():
        return None
    if topic.gripper is not None:
        speed[-1] /= abs(topic.gripper.open_native - topic.gripper.closed_native)
    return Command(topic.columns, command.target, speed)


READERS: Mapping[str, Callable[[JointTopic, Spoken], Command | None]] = {
    "joint_state": _positions,
    "joint_state_with_speed_cap": _positions_and_speeds,
    "joint_arrays": _positions,
}


def _require(what: str, topic: JointTopic, known: Mapping[str, object]) -> None:
    if topic.stream.kind not in known:
        expected = " or ".join(sorted(known))
        raise ConfigError(
            mismatch(f"{what} kind of {topic.stream.topic}", expected, topic.stream.kind, "use what a driver can hear")
        )
