# SPDX-License-Identifier: Apache-2.0
"""A node that a bench starts as a process, and whose log it reads when that has ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rclpy.node import Node

from wam_ros.ros.main import run_node

N = TypeVar("N", bound=Node)


def run_logged(make: Callable[[], N], log: Callable[[N], Mapping[Any, Any]], path: Path, args: Sequence[str]) -> int:
    """Run a node until it is interrupted, then write its log as JSON; returns the exit code.

    Args:
        make: makes the node.
        log: reads what is to be written; not called when the node was never made.
        path: of the log.
        args: of ROS.
    """
    made: list[N] = []

    def make_and_keep() -> N:
        made.append(make())
        return made[0]

    code = run_node(make_and_keep, list(args))
    if made:
        path.write_text(json.dumps(log(made[0])))
    return code
