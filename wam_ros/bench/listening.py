# SPDX-License-Identifier: Apache-2.0
"""What it costs a process to hear a robot: CPU time for each message, in the nodes' own executor and in rclpy's."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, thread_time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from wam_ros.core.errors import RunError
from wam_ros.core.robot import Robot
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.observe import ObservationSource

# Not counted: processes find each other.
DISCOVERY_S = 1.0
# A process on a busy machine takes its time to start.
START_S = 60.0


class Listener:
    """A node in this process, beside a robot that speaks.

    Attributes:
        node: to subscribe with.
    """

    def __init__(self, kind: type[SingleThreadedExecutor]) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, args=[], signal_handler_options=SignalHandlerOptions.NO)
        self.node, self._executor = Node("listener", context=self._context), kind(context=self._context)
        self._executor.add_node(self.node)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def wait_for(self, heard: Callable[[], bool]) -> None:
        """Take in what comes until the robot is heard, and a moment longer: all of it is to be found.

        Raises:
            RunError: it is silent.
        """
        end_s = monotonic() + START_S
        while not heard():
            if monotonic() > end_s:
                raise RunError(f"the synthetic robot was not heard for {START_S:.0f} s; run it on an idle machine")
            self._executor.spin_once(timeout_sec=0.1)
        self.spin(DISCOVERY_S)

    def spin(self, seconds: float) -> None:
        """Take in what comes for a while."""
        end_s = monotonic() + seconds
        while monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.1)


def us_per_message(robot: Robot, kind: type[SingleThreadedExecutor], seconds: float) -> float:
    """Return the CPU time for each message of a robot that is speaking [us], synchronising included.

    Raises:
        RunError: the robot is silent.
    """
    heard: list[int] = []
    with Listener(kind) as listener:
        source = ObservationSource(
            listener.node,
            robot,
            on_observation=lambda _: None,
            on_sample=lambda _, stamp_ns: heard.append(stamp_ns),
        )
        listener.wait_for(lambda: bool(heard))
        count, begun_s = len(heard), thread_time()
        listener.spin(seconds)
        took_s = thread_time() - begun_s
        source.close()
    return 1e6 * took_s / max(1, len(heard) - count)


def compare(robot: Robot, seconds: float) -> dict[str, float | str]:
    """Return the cost in both executors, and their ratio."""
    lean, stock = us_per_message(robot, LeanExecutor, seconds), us_per_message(robot, SingleThreadedExecutor, seconds)
    return {
        "us_per_message_heard": lean,
        "us_per_message_heard_stock_executor": stock,
        "executor_ratio": lean / stock,
    }
