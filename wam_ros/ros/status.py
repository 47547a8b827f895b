# SPDX-License-Identifier: Apache-2.0
"""DiagnosticStatus and DiagnosticArray: make them, read them, and report a node's own at a steady pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.timer import Timer

from wam_ros.ros.qos import EVENT
from wam_ros.ros.timebase import steady_clock

OK = DiagnosticStatus.OK
WARN = DiagnosticStatus.WARN
ERROR = DiagnosticStatus.ERROR

#: Pace of every node's own status [Hz].
REPORT_RATE_HZ = 5.0

Value = bool | int | float | str


def make_status(name: str, level: bytes, message: str, values: Mapping[str, Value]) -> DiagnosticStatus:
    """Return a status; numbers are written with six digits, booleans as 1 and 0."""
    pairs = [KeyValue(key=key, value=_written(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)


def read_values(status: DiagnosticStatus) -> dict[str, str]:
    """Return the key/value pairs of a status; the last one wins where a key is repeated."""
    return {pair.key: pair.value for pair in status.values}


def find_status(array: DiagnosticArray, name: str) -> DiagnosticStatus | None:
    """Return the status of that name, None if the array has none."""
    return next((status for status in array.status if status.name == name), None)


class StatusReporter:
    """Publish one status of a node on ``diagnostics`` at a steady pace.

    By the steady clock: while simulated time stands still, the graph still has to be seen arming.

    Args:
        node: the reporting node; the status is named ``wam/<node>``.
        read: returns level, message and values; called once per report on the node's executor.
        name: of the node in whose place it reports; empty: its own.
    """

    def __init__(
        self,
        node: Node,
        read: Callable[[], tuple[bytes, str, Mapping[str, Value]]],
        rate_hz: float = REPORT_RATE_HZ,
        name: str = "",
    ) -> None:
        self._node, self._name = node, name or node.get_name()
        self._read = read
        self._publisher = node.create_publisher(DiagnosticArray, "diagnostics", EVENT)
        self.timer: Timer = node.create_timer(1.0 / rate_hz, self.report, clock=steady_clock())

    def report(self) -> None:
        """Publish the status as it is now."""
        level, message, values = self._read()
        array = DiagnosticArray(status=[make_status(f"wam/{self._name}", level, message, values)])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
