# SPDX-License-Identifier: Apache-2.0
"""What it costs a process to hear a robot: CPU time for each message, in the nodes' own executor and in rclpy's."""

from __future__ import annotations

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
DISCOVERY_S = 2.0


def us_per_message(robot: Robot, kind: type[SingleThreadedExecutor], seconds: float) -> float:
    """Return the CPU time for each message of a robot that is speaking [us], synchronising included.

    Raises:
        RunError: the robot is silent.
    """
    context = rclpy.Context()
    rclpy.init(context=context, args=[], signal_handler_options=SignalHandlerOptions.NO)
    node, executor = Node("listener", context=context), kind(context=context)
    heard: list[int] = []
    source = ObservationSource(
        node, robot, on_observation=lambda _: None, on_sample=lambda _, stamp_ns: heard.append(stamp_ns)
    )
    executor.add_node(node)
    try:
        _spin(executor, DISCOVERY_S)
        count, begun_s = len(heard), thread_time()
        _spin(executor, seconds)
        if len(heard) == count:
            raise RunError("bench runtime: the synthetic robot was not heard; run it on an idle machine")
        return 1e6 * (thread_time() - begun_s) / (len(heard) - count)
    finally:
        source.close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def compare(robot: Robot, seconds: float) -> dict[str, float | str]:
    """Return the cost in both executors, and their ratio."""
    lean, stock = us_per_message(robot, LeanExecutor, seconds), us_per_message(robot, SingleThreadedExecutor, seconds)
    return {
        "us_per_message_heard": lean,
        "us_per_message_heard_stock_executor": stock,
        "executor_ratio": lean / stock,
    }


def _spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    end_s = monotonic() + seconds
    while monotonic() < end_s:
        executor.spin_once(timeout_sec=0.1)
