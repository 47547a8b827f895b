# SPDX-License-Identifier: Apache-2.0
"""Who is alive in this ROS domain: two graphs in one domain would both command the same robot."""

from __future__ import annotations

import os
from collections.abc import Collection
from threading import Event
from time import monotonic

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from wam_ros.core.errors import ConfigError, mismatch

#: Highest domain whose ports exist.
LAST_DOMAIN = 232
#: Discovery between processes of one computer takes a third of this [s].
DISCOVERY_S = 1.0


def domain_id() -> int:
    """Return the ROS domain of this environment.

    Raises:
        ConfigError: ``ROS_DOMAIN_ID`` is not a domain.
    """
    text = os.environ.get("ROS_DOMAIN_ID") or "0"
    if not text.isdecimal() or int(text) > LAST_DOMAIN:
        raise ConfigError(mismatch("ROS_DOMAIN_ID", f"0 to {LAST_DOMAIN}", repr(text), "export another one"))
    return int(text)


def nodes_alive(names: Collection[str], patience_s: float = DISCOVERY_S) -> list[str]:
    """Return those of the names that some node of this domain has; returns early when it finds one."""
    context = rclpy.Context()
    rclpy.init(context=context, args=[], domain_id=domain_id(), signal_handler_options=SignalHandlerOptions.NO)
    node = Node(f"presence_{os.getpid()}", context=context, enable_rosout=False, start_parameter_services=False)
    pause, deadline_s = Event(), monotonic() + patience_s
    try:
        while not (found := sorted(set(names) & set(node.get_node_names()))) and monotonic() < deadline_s:
            pause.wait(0.05)
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    return found


def require_free_domain(names: Collection[str]) -> None:
    """Refuse a domain in which nodes of these names live.

    Raises:
        ConfigError: naming them.
    """
    if found := nodes_alive(names):
        raise ConfigError(
            f"ROS domain {domain_id()}: expected no {', '.join(names)}, but {', '.join(found)} already runs there; "
            "end that graph, or choose another domain with ROS_DOMAIN_ID"
        )
