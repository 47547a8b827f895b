# SPDX-License-Identifier: Apache-2.0
"""Wait for conditions on spinning nodes; never for time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from time import monotonic

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from wam_ros.ros.executor import LeanExecutor

#: Only what never comes costs this much; what comes late on a busy machine is no failure.
PATIENCE_S = 240.0


def wait_until(executor: SingleThreadedExecutor, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Spin until the condition holds; fail with its name when it never does."""
    deadline = monotonic() + timeout_s
    while not condition():
        if monotonic() > deadline:
            raise AssertionError(f"condition did not come true within {timeout_s} s")
        executor.spin_once(timeout_sec=0.02)


@contextmanager
def spinning(context, *nodes: Node):
    """The nodes' own executor with these nodes; destroys them at the end."""
    executor = LeanExecutor(context=context)
    for node in nodes:
        executor.add_node(node)
    try:
        yield executor
    finally:
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
