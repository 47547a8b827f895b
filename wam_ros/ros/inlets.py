# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to a robot's cameras, joints and simulator state; messages in, stamped arrays out.

A message that is malformed, not finite, unstamped or of the wrong size is refused, counted and named in
the log; it is never filled with zeros. Compressed pictures are decoded beside the executor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.joint_topics import JointTopic
from wam_ros.core.robot import Camera, Robot
from wam_ros.core.types import nanoseconds, seconds
from wam_ros.ros import convert
from wam_ros.ros.decoding import DecodeThread
from wam_ros.ros.dialects import Spoken, dialect_of
from wam_ros.ros.hearing import subscribe
from wam_ros.ros.qos import SENSOR, STATE

#: Takes the key of a stream, the time of capture [ns] and the array; called on the executor.
Take = Callable[[str, int, NDArray[Any]], None]
_Read = Callable[[Any], NDArray[Any]]
#: A stamp farther from our clock is another clock's: ahead by more than the clocks of one network differ, or older
#: than any message is late, even on a computer that is overloaded.
_FUTURE_NS, _PAST_NS = 100_000_000, 10_000_000_000

_COLOR: dict[str, tuple[type, _Read]] = {
    "raw": (Image, convert.color_from_msg),
    "compressed": (CompressedImage, convert.compressed_color_from_msg),
}
_DEPTH: dict[str, tuple[type, _Read]] = {
    "raw": (Image, convert.depth_from_msg),
    "compressed": (CompressedImage, convert.compressed_depth_from_msg),
}


class Tap(Protocol):
    """Is given messages as they came, before they are read: for archives."""

    def wants(self, kind: type) -> bool:
        """Whether messages of this type are to be handed over."""
        ...

    def hear(self, name: str, kind: type, data: bytes) -> None:
        """Take a serialised message of the topic of that name."""
        ...


class Inlets:
    """What is heard of a robot.

    Args:
        node: owner of the subscriptions.
        robot: says where stamps come from.
        take: is given everything that is believed.
        pictures: quality of service of the cameras; deeper for who may be late but must not miss any.
        tap: is given the messages, too; each is received once for both.

    Attributes:
        refused: stream key to the number of messages that were not believed.
        truth_names: labels of the simulator's state; empty before the first.
    """

    def __init__(
        self, node: Node, robot: Robot, take: Take, pictures: QoSProfile = SENSOR, tap: Tap | None = None
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.truth_names: tuple[str, ...] = ()
        self._node, self._take, self._pictures, self._tap = node, take, pictures, tap
        self._stamped = robot.stamp_source == "header"
        self._simulated = bool(node.get_parameter("use_sim_time").value)
        self._decoder: DecodeThread | None = None
        self._open: list[Callable[[], None]] = []

    @property
    def decodes_dropped(self) -> int:
        """Compressed pictures given up because newer came faster than they could be decoded."""
        return self._decoder.dropped if self._decoder is not None else 0

    def add_color(self, camera: Camera, key: str) -> None:
        """Listen to a camera's colour: (H, W, 3) uint8 RGB."""
        for topic in camera.color_topics:
            self._add_pictures(camera, key, topic, *_COLOR[camera.transport])

    def add_depth(self, camera: Camera, key: str) -> None:
        """Listen to a camera's depth: (H, W) float32 [m]."""
        self._add_pictures(camera, key, camera.depth, *_DEPTH[camera.depth_transport])

    def add_joints(self, topic: JointTopic, key: str) -> None:
        """Listen to joint feedback: (n,) positions, grippers normalised.

        Raises:
            ConfigError, MissingDependencyError: a kind of feedback that nobody speaks, or not here.
        """
        kind, read, _ = dialect_of(topic)
        on_message = partial(self._on_joints, topic, key, read)
        self._listen(kind, topic.stream.topic, on_message, STATE, topic.stream.read_hz)

    def add_truth(self, key: str) -> None:
        """Listen to the simulator's state: values in the order of ``truth_names``."""
        self._listen(JointState, "sim/truth", partial(self._on_truth, key), STATE)

    def close(self) -> None:
        """Listen no more, and end the decoding thread; calling it twice is harmless."""
        while self._open:
            self._open.pop()()
        if self._decoder is not None:
            self._decoder.close()

    def _add_pictures(self, camera: Camera, key: str, topic: str, kind: type, read: _Read) -> None:
        if kind is CompressedImage and self._decoder is None:
            self._decoder = DecodeThread(self._node)
        self._listen(kind, topic, partial(self._on_picture, camera, key, read), self._pictures)

    def _listen(
        self, kind: type, name: str, on_message: Callable[[Any], None], qos: QoSProfile, read_hz: float = 0.0
    ) -> None:
        if self._tap is None or not self._tap.wants(kind):
            self._open.append(subscribe(self._node, kind, name, on_message, qos, read_hz=read_hz))
            return
        tap = self._tap

        def on_serialised(data: bytes) -> None:
            tap.hear(name, kind, data)
            on_message(deserialize_message(data, kind))

        self._open.append(subscribe(self._node, kind, name, on_serialised, qos, raw=True, read_hz=read_hz))

    def _on_picture(self, camera: Camera, key: str, read: _Read, msg: Any) -> None:
        stamp_ns = self._capture_ns(key, msg, nanoseconds(camera.latency_s))
        if stamp_ns is None:
            return
        take = partial(self._take_picture, camera, key, stamp_ns)
        if isinstance(msg, CompressedImage) and self._decoder is not None:
            self._decoder.submit(partial(read, msg), take, partial(self._refuse, key))
            return
        try:
            take(read(msg))
        except ShapeError as error:
            self._refuse(key, error)

    def _take_picture(self, camera: Camera, key: str, stamp_ns: int, picture: NDArray[Any]) -> None:
        if picture.shape[:2] == (camera.height, camera.width):
            picture.setflags(write=False)
            self._take(key, stamp_ns, picture)
            return
        expected, got = f"{camera.width}x{camera.height}", f"{picture.shape[1]}x{picture.shape[0]}"
        remedy = "correct the size in the robot file or in the driver"
        self._refuse(key, ShapeError(mismatch(f"picture of {key}", expected, got, remedy)))

    def _on_joints(self, topic: JointTopic, key: str, read: Callable[[Any], Spoken], msg: Any) -> None:
        stamp_ns = self._capture_ns(key, msg, 0)
        if stamp_ns is None:
            return
        said = read(msg)
        try:
            values = topic.believed(said.positions, said.names)
        except ShapeError as error:
            self._refuse(key, error)
            return
        self._take_finite(key, stamp_ns, values)

    def _on_truth(self, key: str, msg: JointState) -> None:
        self.truth_names = tuple(msg.name)
        stamp_ns = self._capture_ns(key, msg, 0)
        if stamp_ns is not None:
            self._take_finite(key, stamp_ns, np.array(msg.position))

    def _take_finite(self, key: str, stamp_ns: int, values: NDArray[Any]) -> None:
        if np.isfinite(values).all():
            self._take(key, stamp_ns, values)
        else:
            self._refuse(key, ShapeError(mismatch(f"values of {key}", "finite ones", values, "check the driver")))

    def _capture_ns(self, key: str, msg: Any, latency_ns: int) -> int | None:
        """Return the time of capture; None for a message that says none, or one that cannot be."""
        now_ns = int(self._node.get_clock().now().nanoseconds)
        if not self._stamped:
            return now_ns - latency_ns
        stamp_ns = convert.stamp_to_ns(msg.header.stamp)
        if stamp_ns == 0:
            remedy = "let the driver stamp its messages, or set stamp_source: receive"
            self._refuse(key, ShapeError(mismatch(f"stamp of {key}", "a time", "0", remedy)))
            return None
        if not self._simulated and not -_FUTURE_NS < now_ns - stamp_ns < _PAST_NS:
            expected, behind = "this computer's time", f"{seconds(now_ns - stamp_ns):+.2f} s behind it"
            remedy = "synchronise the clocks of both computers (chrony), or set stamp_source: receive"
            self._refuse(key, ShapeError(mismatch(f"stamp of {key}", expected, behind, remedy)))
            return None
        return stamp_ns - latency_ns

    def _refuse(self, key: str, error: ShapeError) -> None:
        self.refused[key] += 1
        self._node.get_logger().warning(f"refused: {error}", throttle_duration_sec=5.0)
