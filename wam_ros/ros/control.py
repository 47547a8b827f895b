# SPDX-License-Identifier: Apache-2.0
"""The ports by which people lead: services ``takeover`` and ``approach``, topic ``control/source`` (core/control.py)."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from wam_ros.core.safety import TELEOP, Answer
from wam_ros.motion.stage import MotionStage
from wam_ros.ros.qos import LATCHED

TELEOP_CHUNK = f"{TELEOP}/chunk"


class ControlPorts:
    """Offers the takeover to people, and says who leads.

    Args:
        node: owner of the ports.
        stage: whose control it is.
        now_ns: reads control time.
        on_change: called when control has changed hands.
    """

    def __init__(
        self, node: Node, stage: MotionStage, now_ns: Callable[[], int], on_change: Callable[[], None]
    ) -> None:
        self._node, self._stage, self._now_ns, self._on_change = node, stage, now_ns, on_change
        self._publisher = node.create_publisher(String, "control/source", LATCHED)
        node.create_service(SetBool, "takeover", self._on_takeover)
        node.create_service(Trigger, "approach", self._on_approach)
        self._tell()

    @property
    def source(self) -> str:
        """Who leads."""
        return self._stage.control.source

    def rival(self) -> str:
        """Return the topic on which two speak for the person who leads; empty as a rule."""
        return TELEOP_CHUNK if self.source == TELEOP and len(self._speakers()) > 1 else ""

    def _speakers(self) -> list[str]:
        return [info.node_name for info in self._node.get_publishers_info_by_topic(TELEOP_CHUNK)]

    def _on_takeover(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        before = self.source
        response.success, response.message = self._take_over() if request.data else self._stage.hand_back()
        self._node.get_logger().info(response.message)
        if self.source != before:
            self._tell()
            self._on_change()
        return response

    def _on_approach(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._stage.approach(self._now_ns())
        self._node.get_logger().info(response.message)
        return response

    def _take_over(self) -> Answer:
        speakers = self._speakers()
        if len(speakers) > 1:
            who = f"takeover refused: expected one node on {TELEOP_CHUNK}, got {', '.join(sorted(speakers))}; end the others"
            return Answer(False, who)
        return self._stage.take_over(self._now_ns())

    def _tell(self) -> None:
        self._publisher.publish(String(data=self.source))
