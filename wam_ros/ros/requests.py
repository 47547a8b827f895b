# SPDX-License-Identifier: Apache-2.0
"""What a person may ask a running graph for; every answer is a sentence, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from wam_ros.ros.qos import EVENT, LATCHED

#: Name of each service that a person may call, and its type.
SERVICES = {
    "safety_stop": Trigger,
    "safety_reset": Trigger,
    "arm": SetBool,
    "takeover": SetBool,
    "sim/play": SetBool,
    "record/start": Trigger,
    "record/stop": Trigger,
    "record/discard": Trigger,
}
#: What a person says of an attempt: these words, or the name of a stage.
START, SUCCESS, FAILURE = "start", "success", "failure"
MARKS, INSTRUCTION = "operator/mark", "instruction"


class Requests:
    """Calls services and says marks; for nodes at which a person sits.

    Args:
        node: that asks.
        on_answer: told whether it was granted, and what was said.
    """

    def __init__(self, node: Node, on_answer: Callable[[bool, str], None]) -> None:
        self._node, self._on_answer = node, on_answer
        self._services = {name: node.create_client(kind, name) for name, kind in SERVICES.items()}
        self._publishers = {MARKS: node.create_publisher(String, MARKS, EVENT)}

    def ask(self, name: str, wish: bool | str | None = None) -> None:
        """Call a service, or say a mark or an instruction; ``wish`` is what a SetBool is asked for, or the words."""
        if name in (MARKS, INSTRUCTION):
            self._say(name, str(wish))
            return
        client = self._services[name]
        if not client.service_is_ready():
            self._on_answer(False, f"{name}: expected a node that offers it, got none; start it")
            return
        request = Trigger.Request() if wish is None else SetBool.Request(data=bool(wish))
        client.call_async(request).add_done_callback(partial(self._on_done, name))

    def _say(self, topic: str, words: str) -> None:
        if topic not in self._publishers:  # a latched instruction must not be said before it is asked for
            self._publishers[topic] = self._node.create_publisher(String, topic, LATCHED)
        self._publishers[topic].publish(String(data=words))
        self._on_answer(True, f"{topic}: {words}")

    def _on_done(self, name: str, future: Future) -> None:
        response: Any = future.result()
        self._on_answer(response.success, f"{name}: {response.message}")
