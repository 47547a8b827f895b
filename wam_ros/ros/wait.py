# SPDX-License-Identifier: Apache-2.0
"""Wait for something to come true in a graph, and say what never came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any

from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor

from wam_ros.core.errors import RunError
from wam_ros.ros.listen import take_all

#: Messages are taken in gulps of this spacing: what is listened to at the side costs next to nothing.
GULP_S = 0.03


@dataclass(frozen=True)
class Patience:
    """How long is waited, by the wall clock [s]; an attempt's own limit is the task's, by the robot's clock.

    Attributes:
        ready_s: for a node that starts, and a model that loads.
        arm_s: for sensors, and for safety's consent.
        still_s: while the robot's clock stands still.
    """

    ready_s: float = 300.0
    arm_s: float = 30.0
    still_s: float = 30.0


class Waiter:
    """Spins an executor until conditions hold.

    Args:
        executor: of the waiting node.
        check: called at each gulp; raises when waiting is in vain because a process has ended.
    """

    def __init__(self, executor: SingleThreadedExecutor, check: Callable[[], None]) -> None:
        self._executor = executor
        self._check = check
        self._pause = Event()

    def gulp(self) -> None:
        """Let a moment pass, and take what has come."""
        self._pause.wait(GULP_S)
        self._check()
        take_all(self._executor)

    def until(
        self, condition: Callable[[], bool], timeout_s: float, complaint: Callable[[], str], every_s: float = 0.0
    ) -> None:
        """Return when the condition holds; it is asked at each gulp, but not more often than ``every_s``.

        Raises:
            RunError: with the complaint, when it has not come true in time.
        """
        deadline_s = monotonic() + timeout_s
        while not condition():
            asked_s = monotonic()
            if asked_s > deadline_s:
                raise RunError(f"{complaint()} (waited {timeout_s:g} s)")
            self.gulp()
            while monotonic() - asked_s < every_s:
                self.gulp()

    def call(self, client: Client, request: Any, timeout_s: float = 10.0) -> Any:
        """Return a service's response.

        Raises:
            RunError: the service is not offered, or does not answer in time.
        """
        name = client.srv_name
        self.until(client.service_is_ready, timeout_s, lambda: f"service {name} is offered by nobody")
        future = client.call_async(request)
        self.until(future.done, timeout_s, lambda: f"service {name} did not answer")
        return future.result()
