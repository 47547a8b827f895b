# SPDX-License-Identifier: Apache-2.0
"""Chunks of the policy and of a person as they come, until somebody takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.control import SOURCES
from wam_ros.core.errors import ShapeError, UnsafeCommandError, WamError
from wam_ros.core.safety import POLICY
from wam_ros.core.types import Chunk
from wam_ros.ros.convert import chunk_from_msg, stamp_to_ns
from wam_ros.ros.qos import COMMAND


class ChunkMail:
    """Subscribes to ``<source>/chunk`` of each source.

    Args:
        node: owner of the subscriptions.
        from_stamp: a stamp to control time.
        on_bad: told why a message could not be read as a chunk.
        on_arrival: called after each message.

    Attributes:
        policy_stamp_ns: stamp of the policy's newest message, readable or not.
    """

    def __init__(
        self,
        node: Node,
        from_stamp: Callable[[int], int],
        on_bad: Callable[[WamError], None],
        on_arrival: Callable[[], None],
    ) -> None:
        self.policy_stamp_ns = 0
        self._from_stamp, self._on_bad, self._on_arrival = from_stamp, on_bad, on_arrival
        self._waiting: list[tuple[str, Chunk]] = []
        for source in SOURCES:
            node.create_subscription(JointTrajectory, f"{source}/chunk", partial(self._on_message, source), COMMAND)

    def take(self) -> list[tuple[str, Chunk]]:
        """Return source and chunk of what has come, stamped in control time."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def _on_message(self, source: str, msg: JointTrajectory) -> None:
        if source == POLICY:
            self.policy_stamp_ns = stamp_to_ns(msg.header.stamp)
        try:
            chunk = chunk_from_msg(msg)
            self._waiting.append((source, replace(chunk, stamp_ns=self._from_stamp(chunk.stamp_ns))))
        except (ShapeError, UnsafeCommandError) as error:
            self._on_bad(error)
        self._on_arrival()
