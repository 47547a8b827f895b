# SPDX-License-Identifier: Apache-2.0
"""Ready a graph and arm its robot, as a person would: look that all is there, ask safety, see that it is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from wam_ros.core.safety import State
from wam_ros.ros.wait import Patience, Waiter

#: Nodes whose consent is needed before anything moves.
ACTORS = ("policy", "motion", "safety")
_LIVE = {state.value for state in State if state.live}


#: Between two requests for safety's consent [s].
ASK_AGAIN_S = 0.5


class Said(Protocol):
    """What a node said last of itself."""

    @property
    def message(self) -> str:
        """One word or sentence."""
        ...

    @property
    def values(self) -> Mapping[str, str]:
        """Keys and values of its diagnostics; empty before its first report."""
        ...

    @property
    def count(self) -> int:
        """How often it has spoken."""
        ...


class Seen(Protocol):
    """What is seen of the graph."""

    state: str

    def report(self, node: str) -> Said:
        """Return what a node said last."""
        ...

    def missing(self) -> list[str]:
        """Return a sentence for each sensor of which nothing has come."""
        ...


class Arming:
    """Asks for what must be true before a robot moves.

    Args:
        node: that asks.
        waiter: spins it.
        seen: what it sees.
        on_wait: told what is waited for.
        patience: how long for what.

    Raises:
        RunError: from every method, saying what never came.
    """

    def __init__(
        self, node: Node, waiter: Waiter, seen: Seen, on_wait: Callable[[str], None], patience: Patience
    ) -> None:
        self._waiter, self._seen, self._on_wait = waiter, seen, on_wait
        self._patience = patience
        self._arm = node.create_client(SetBool, "arm")
        self._reset = node.create_client(Trigger, "safety_reset")
        self._answer = ""

    def get_ready(self) -> None:
        """Wait until every node reports and the policy can infer."""
        for name in ACTORS:
            self.await_report(name)
        self._on_wait("the policy to load")
        self._waiter.until(
            lambda: self._seen.report("policy").values.get("active") == "1",
            self._patience.ready_s,
            lambda: f"the policy never became active: {self._seen.report('policy').message}; look at its log",
        )

    def arm(self) -> None:
        """Arm, and wait until those who act on it know."""
        self._on_wait("cameras and joints")
        self._waiter.until(lambda: not self._seen.missing(), self._patience.arm_s, self._name_missing)
        self._on_wait("safety's consent")
        self._waiter.until(
            self._armed, self._patience.arm_s, lambda: f"safety refused to arm: {self._answer}", every_s=ASK_AGAIN_S
        )
        for name in ("motion", "policy"):
            self._await_live(name)

    def ask(self) -> str:
        """Ask safety once, after a stop as well, and return its answer."""
        self._armed()
        return self._answer

    def disarm(self) -> None:
        """Take the consent back, and wait until the arms rest; time must run for that."""
        self._waiter.call(self._arm, SetBool.Request(data=False))
        self._on_wait("the arms to rest")
        self._waiter.until(
            lambda: self._seen.report("motion").values.get("phase") == "silent",
            self._patience.arm_s,
            lambda: f"the arms never came to rest; motion says {self._seen.report('motion').message}; look at its log",
        )

    def let_go(self) -> None:
        """Take the consent back without waiting for an answer: whoever asks will not be there to hear it."""
        self._arm.call_async(SetBool.Request(data=False))

    def await_report(self, name: str) -> None:
        """Wait until a node says something of itself."""
        self._on_wait(f"node {name}")
        self._waiter.until(
            lambda: bool(self._seen.report(name).values),
            self._patience.ready_s,
            lambda: f"node {name} never reported on diagnostics; look at its log",
        )

    def _await_live(self, name: str) -> None:
        self._on_wait(f"node {name} to see that the robot is armed")
        self._waiter.until(
            lambda: self._seen.report(name).values.get("state") in _LIVE,
            self._patience.arm_s,
            lambda: (
                f"node {name} never saw that the robot is armed: {self._seen.report(name).message}; look at its log"
            ),
        )

    def _armed(self) -> bool:
        if self._seen.state == State.STOPPED.value:
            self._waiter.call(self._reset, Trigger.Request())
        response = self._waiter.call(self._arm, SetBool.Request(data=True))
        self._answer = response.message
        return bool(response.success)

    def _name_missing(self) -> str:
        return f"{'; '.join(self._seen.missing())}; check that the driver runs and publishes there"
