# SPDX-License-Identifier: Apache-2.0
"""Run one node in this process: init, spin one executor, end cleanly.

SIGINT and SIGTERM only ask the loop to end. The callback that runs is finished, the ROS context stays
valid until the node is destroyed, so a node may still publish in ``destroy_node`` (motion comes to rest).
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, TypeVar

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from wam_ros.core.errors import WamError
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.orphan import end_with_runner

#: How long an idle process may take to notice a signal: rcl's wait is not interrupted by one [s].
_NOTICE_S = 0.1

N = TypeVar("N", bound=Node)


class _StopRequest:
    """Remembers that SIGINT or SIGTERM has come."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.received = True


def run_node(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """Spin the node until SIGINT, SIGTERM or shutdown; return the exit code of the process.

    Args:
        make_node: usually the node's class. A WamError raised by it, or later by a callback, is
            logged as one sentence and gives exit code 2; any other error is a bug and keeps its traceback.
        args: the command line for rclpy, ``sys.argv`` when None.
    """
    stop = _StopRequest()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node: Node | None = None
    try:
        end_with_runner()
        node = make_node()
        _keep()
        _spin(node, stop)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except WamError as error:
        get_logger(node.get_name() if node else "wam").fatal(str(error))
        return 2
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        gc.unfreeze()  # the interpreter's last collection shall find all; libraries complain of what it leaves
    return 0


def _keep() -> None:
    """Keep the garbage collector from what there is: looking through it took 40 to 120 ms, and joints may be silent for 50."""
    gc.collect()
    gc.freeze()


def _spin(node: Node, stop: _StopRequest) -> None:
    executor = LeanExecutor()
    executor.add_node(node)
    try:
        while not stop.received:
            executor.spin_once(timeout_sec=_NOTICE_S)
    finally:
        executor.shutdown()


@contextmanager
def node_of_its_own(make: Callable[..., N], *parts: Any) -> Iterator[N]:
    """Make a node of these parts in a ROS context of its own; both end with the block. Signals stay the caller's."""
    context = Context()
    with ExitStack() as stack:
        rclpy.init(context=context, args=[], signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown, context=context)
        node = make(*parts, context=context)
        stack.callback(node.destroy_node)
        yield node
