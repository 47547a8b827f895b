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

from wam_ros.ros.qos import EVENT

#: Name of each service that a person may call, and its type.
SERVICES = {
    "safety_stop": Trigger,
    "safety_reset": Trigger,
    "arm": SetBool,
    "takeover": SetBool,
    "record/start": Trigger,
    "record/stop": Trigger,
    "record/discard": Trigger,
}
#: What a person says of an attempt: these words, or the name of a stage.
START, SUCCESS, FAILURE = "start", "success", "failure"
MARKS = "operator/mark"


class Requests:
    """Calls services and says marks; for nodes at which a person sits.

    Args:
        node: that asks.
        on_answer: told whether it was granted, and what was said.
    """

    def __init__(self, node: Node, on_answer: Callable[[bool, str], None]) -> None:
        self._on_answer = on_answer
        self._services = {name: node.create_client(kind, name) for name, kind in SERVICES.items()}
        self._marks = node.create_publisher(String, MARKS, EVENT)

    def ask(self, name: str, wish: bool | str | None = None) -> None:
        """Call a service, or say a mark; ``wish`` is what a SetBool is asked for, or the mark."""
        if name == MARKS:
            self.mark(str(wish))
            return
        client = self._services[name]
        if not client.service_is_ready():
            self._on_answer(False, f"{name}: expected a node that offers it, got none; start it")
            return
        request = Trigger.Request() if wish is None else SetBool.Request(data=bool(wish))
        client.call_async(request).add_done_callback(partial(self._on_done, name))

    def mark(self, word: str) -> None:
        """Say how the attempt goes."""
        self._marks.publish(String(data=word))
        self._on_answer(True, f"marked: {word}")

    def _on_done(self, name: str, future: Future) -> None:
        response: Any = future.result()
        self._on_answer(response.success, f"{name}: {response.message}")
