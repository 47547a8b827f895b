# SPDX-License-Identifier: Apache-2.0
"""Hear the driver's joint feedback: every message, or the newest at a pace where it comes faster than anybody needs.

Two arms at 1 kHz would wake a Python process two thousand times a second. A topic with ``read_hz`` is therefore kept
out of the executor's wait set; a timer takes its newest message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.type_support import check_for_type_support

from wam_ros.core.joint_topics import JointTopic
from wam_ros.ros.dialects import Spoken, dialect_of
from wam_ros.ros.qos import STATE, newest
from wam_ros.ros.timebase import steady_clock


def hear_joints(node: Node, topic: JointTopic, on_said: Callable[[Spoken], None], qos: QoSProfile = STATE) -> None:
    """Call back with what the driver says on a topic.

    Raises:
        ConfigError, MissingDependencyError: as :func:`wam_ros.ros.dialects.dialect_of`.
    """
    kind, read, _ = dialect_of(topic)
    subscribe(node, kind, topic.stream.topic, lambda message: on_said(read(message)), qos, read_hz=topic.stream.read_hz)


def subscribe(
    node: Node,
    kind: type,
    name: str,
    on_message: Callable[[Any], None],
    qos: QoSProfile,
    *,
    raw: bool = False,
    read_hz: float = 0.0,
) -> Callable[[], None]:
    """Call back with every message of a topic; with ``read_hz``, with the newest one at that pace.

    Returns:
        ends it.
    """
    if read_hz:
        return _Sampled(node, kind, name, on_message, newest(qos), raw, read_hz).close
    subscription = node.create_subscription(kind, name, on_message, qos, raw=raw)
    return lambda: _end(node, subscription)


def _end(node: Node, subscription: Subscription) -> None:
    node.destroy_subscription(subscription)


class _Sampled:
    """A subscription that nobody waits for."""

    def __init__(
        self,
        node: Node,
        kind: type,
        name: str,
        on_message: Callable[[Any], None],
        qos: QoSProfile,
        raw: bool,
        read_hz: float,
    ) -> None:
        check_for_type_support(kind)
        self._kind, self._on_message, self._raw = kind, on_message, raw
        with node.handle:
            self._handle = _rclpy.Subscription(node.handle, kind, name, qos.get_c_qos_profile())
        self._node, self._timer = node, node.create_timer(1 / read_hz, self._take, clock=steady_clock())

    def close(self) -> None:
        """Listen no more."""
        self._node.destroy_timer(self._timer)
        self._handle.destroy_when_not_in_use()

    def _take(self) -> None:
        with self._handle:
            taken = self._handle.take_message(self._kind, self._raw)
        if taken is not None:
            self._on_message(taken[0])
