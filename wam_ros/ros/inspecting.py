# SPDX-License-Identifier: Apache-2.0
"""Look at a robot's driver for some seconds: who is on its topics, how fast they speak, and what they say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from threading import Event
from time import monotonic, time_ns
from typing import Any

import numpy as np
import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.inspection import ASKED, Answers, Seen, Where, controller_of, turned_rad
from wam_ros.core.joint_topics import JointTopic, command_topics, fault_of, feedback_topics
from wam_ros.core.robot import Camera, Robot
from wam_ros.core.types import ByteImage, seconds
from wam_ros.ros.convert import color_from_msg, compressed_color_from_msg
from wam_ros.ros.dialects import Spoken, dialect_of
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.listen import stamp_of
from wam_ros.ros.presence import DISCOVERY_S, domain_id
from wam_ros.ros.qos import deeper

#: Pictures are compared coarsely: every so many pixels.
_COARSE = 16
_DEPTH = 100
#: How long a controller may take to say what it is [s].
_ANSWER_S = 2.0


def look(robot: Robot, listen_s: float) -> tuple[dict[str, Seen], Where, dict[str, Answers | None]]:
    """Return what was seen of each of the robot's topics in this domain, where else they were found, and what controllers say.

    Raises:
        ConfigError: a stream's kind that nobody speaks.
        MissingDependencyError: the vendor's message type is not installed.
    """
    here = domain_id()
    with _node(here) as node:
        ears = _ears(node, robot)
        _spin(node, listen_s)
        seen = {ear.topic: _whole(node, ear) for ear in ears}
        streams = [topic.stream for topic in command_topics(robot) if topic.stream.kind == "joint_trajectory"]
        controllers = {stream.topic: _answers(node, controller_of(stream)) for stream in streams}
    if any(known.publishers for known in seen.values()):
        return seen, Where(here), controllers
    topics = list(seen)
    elsewhere = [domain for domain in robot.domains if domain != here and _spoken_in(domain, topics)]
    return seen, Where(here, elsewhere), {}


class _Ear:
    """What is heard on one topic."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._arrivals_s: list[float] = []
        self._lags_s: list[float] = []
        self._unstamped = False

    def note(self, stamp_ns: int) -> None:
        """Something has come."""
        self._arrivals_s.append(monotonic())
        self._unstamped |= stamp_ns == 0
        self._lags_s.append(seconds(time_ns() - stamp_ns))

    def seen(self) -> Seen:
        """Return what came of it."""
        times = self._arrivals_s
        rate_hz = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
        lag_s = float(np.median(self._lags_s)) if self._lags_s and not self._unstamped else None
        return Seen(count=len(times), rate_hz=rate_hz, lag_s=lag_s)


class _JointEar(_Ear):
    def __init__(self, node: Node, joints: JointTopic) -> None:
        super().__init__(joints.stream.topic)
        self._joints, self._newest = joints, Spoken(0, (), (), ())
        self._positions: list[Sequence[float]] = []
        kind, read, _ = dialect_of(joints)
        node.create_subscription(kind, self.topic, partial(self._on_message, read), deeper(_DEPTH))

    def _on_message(self, read: Any, message: Any) -> None:
        self._newest = read(message)
        self.note(self._newest.stamp_ns)
        turning = len(self._joints.joints) - (self._joints.gripper is not None)
        if len(self._newest.positions) >= turning:
            self._positions.append(self._newest.positions[:turning])

    def seen(self) -> Seen:
        """Return what came, and whether it can be believed."""
        said = self._newest
        fault = fault_of(self._joints, said.positions, said.names)[1] if self._positions else ""
        moved = turned_rad([np.array(p) for p in self._positions])
        return replace(super().seen(), size=f"{len(said.positions)} values", fault=fault, moved=moved)


class _PictureEar(_Ear):
    def __init__(self, node: Node, camera: Camera, topic: str) -> None:
        super().__init__(topic)
        self._camera = camera
        self._kind = CompressedImage if camera.transport == "compressed" else Image
        self._first = self._newest = b""
        node.create_subscription(self._kind, topic, self._on_picture, deeper(_DEPTH), raw=True)

    def _on_picture(self, data: bytes) -> None:
        self.note(stamp_of(data))
        self._first, self._newest = self._first or data, data

    def seen(self) -> Seen:
        """Return what came, its size, and how much it changed."""
        known = super().seen()
        if not known.count:
            return known
        try:
            first, newest = self._read(self._first), self._read(self._newest)
        except ShapeError as error:
            return replace(known, fault=str(error))
        height, width = newest.shape[:2]
        expected, got, fault = f"{self._camera.width}x{self._camera.height}", f"{width}x{height}", ""
        if expected != got:
            remedy = "correct width and height in the robot file, or the driver's profile"
            fault = mismatch(f"picture of {self._camera.name}", expected, got, remedy)
        coarse = [p[::_COARSE, ::_COARSE].astype(np.float64) for p in (first, newest)]
        return replace(known, size=got, fault=fault, moved=float(np.abs(coarse[1] - coarse[0]).mean()))

    def _read(self, data: bytes) -> ByteImage:
        message = deserialize_message(data, self._kind)
        return compressed_color_from_msg(message) if self._kind is CompressedImage else color_from_msg(message)


class _CommandEar(_Ear):
    def __init__(self, node: Node, joints: JointTopic) -> None:
        super().__init__(joints.stream.topic)
        kind = JointTrajectory if joints.stream.kind == "joint_trajectory" else dialect_of(joints).message
        node.create_subscription(kind, self.topic, lambda _: self.note(0), deeper(_DEPTH), raw=True)


def _ears(node: Node, robot: Robot) -> list[_Ear]:
    cameras = [_PictureEar(node, camera, topic) for camera in robot.cameras for topic in camera.color_topics]
    depths = [_Ear(camera.depth) for camera in robot.cameras if camera.depth]
    joints = [_JointEar(node, topic) for topic in feedback_topics(robot)]
    return [*cameras, *depths, *joints, *(_CommandEar(node, topic) for topic in command_topics(robot))]


def _whole(node: Node, ear: _Ear) -> Seen:
    publishers = node.get_publishers_info_by_topic(ear.topic)
    listeners = node.get_subscriptions_info_by_topic(ear.topic)
    return replace(
        ear.seen(),
        publishers=tuple(sorted({info.node_name for info in publishers})),
        subscribers=tuple(sorted({info.node_name for info in listeners} - {node.get_name()})),
        types=tuple(sorted({info.topic_type for info in publishers})),
    )


def _answers(node: Node, controller: str) -> Answers | None:
    """Ask a controller for its parameters; None when it does not answer."""
    client = node.create_client(GetParameters, f"{controller}/get_parameters")
    if not client.wait_for_service(timeout_sec=_ANSWER_S):
        return None
    executor = LeanExecutor(context=node.context)
    executor.add_node(node)
    # One at a time: asked for a parameter that it does not have, a node answers nothing at all.
    futures = {name: client.call_async(GetParameters.Request(names=[name])) for name in ASKED}
    end_s = monotonic() + _ANSWER_S
    while not all(future.done() for future in futures.values()) and monotonic() < end_s:
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
    answers = {name: future.result().values for name, future in futures.items() if future.done()}
    return {name: parameter_value_to_python(values[0]) for name, values in answers.items() if values} or None


def _spoken_in(domain: int, topics: Iterable[str]) -> bool:
    pause, deadline_s = Event(), monotonic() + DISCOVERY_S
    with _node(domain) as node:
        while not (found := any(node.count_publishers(topic) for topic in topics)) and monotonic() < deadline_s:
            pause.wait(0.05)
    return found


@contextmanager
def _node(domain: int) -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context, args=[], domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    name = f"doctor_{os.getpid()}"
    node = Node(name, context=context, enable_rosout=False, start_parameter_services=False)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def _spin(node: Node, listen_s: float) -> None:
    executor = LeanExecutor(context=node.context)
    executor.add_node(node)
    end_s = monotonic() + listen_s
    while monotonic() < end_s:
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
