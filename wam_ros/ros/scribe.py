# SPDX-License-Identifier: Apache-2.0
"""Records each attempt of a run whole, as one episode of the graph's recorder, with the verdict as its mark."""

from __future__ import annotations

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from wam_ros.core.errors import RunError
from wam_ros.ros.arming import Seen
from wam_ros.ros.wait import Patience, Waiter

_RECORDER, _CLOSING = "recorder", "CLOSING"


class Scribe:
    """Asks the recorder for what a person would.

    Args:
        node: that asks.
        waiter: spins it.
        seen: what it hears of the recorder.
        patience: how long for what.
        wanted: there is a recorder; without one nothing is done.

    Raises:
        RunError: from every method, saying what never came.
    """

    def __init__(self, node: Node, waiter: Waiter, seen: Seen, patience: Patience, *, wanted: bool) -> None:
        self._waiter, self._seen, self._patience, self._wanted = waiter, seen, patience, wanted
        self._start, self._stop = (node.create_client(Trigger, f"record/{name}") for name in ("start", "stop"))
        self._mark = node.create_client(SetBool, "record/mark")

    def begin(self) -> None:
        """Begin an episode when the last one is closed; one that a person has begun goes on."""
        if not self._wanted:
            return
        before = self._seen.report(_RECORDER).count
        self._waiter.until(
            lambda: self._seen.report(_RECORDER).count > before and self._state != _CLOSING,
            self._patience.ready_s,
            lambda: f"the recorder never was ready, the last it said is {self._state or 'nothing'}; look at its log",
        )
        answer = self._waiter.call(self._start, Trigger.Request())
        if not answer.success and self._state != "RECORDING":
            raise RunError(f"the recorder began no episode: {answer.message}")

    def end(self, *, success: bool) -> None:
        """End the episode and mark it, if a person has not ended it before."""
        if self._wanted and self._waiter.call(self._stop, Trigger.Request()).success:
            self._waiter.call(self._mark, SetBool.Request(data=success))

    @property
    def _state(self) -> str:
        return self._seen.report(_RECORDER).values.get("state", "")
