# SPDX-License-Identifier: Apache-2.0
"""Who sets the scene and says how an attempt went: the simulator's judge, or a person."""

from __future__ import annotations

import select
import sys
from typing import Protocol, TextIO

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from wam_ros.core.errors import ConfigError, RunError
from wam_ros.core.task import Task
from wam_ros.core.verdict import Verdict
from wam_ros.ros.qos import EVENT
from wam_ros.ros.status import read_values
from wam_ros.ros.wait import Waiter

PERSON_S = 3600.0
RESET_S = 30.0


class Referee(Protocol):
    """Sets the scene and judges; used by the operator alone."""

    def reset(self, number: int) -> None:
        """Bring the scene to the start of an attempt; numbers count from 1."""
        ...

    def play(self, on: bool) -> None:
        """Let the scene's time run, or hold it; where time is nobody's to hold, nothing happens."""
        ...

    def verdict(self) -> Verdict:
        """Return how far the attempt has come."""
        ...


class SimulatorReferee:
    """The simulator's services and judge."""

    def __init__(self, node: Node, task: Task, waiter: Waiter) -> None:
        self._stages = tuple(stage.name for stage in task.stages)
        self._waiter = waiter
        self._verdict = Verdict()
        self._reset = node.create_client(Trigger, "sim/reset")
        self._play = node.create_client(SetBool, "sim/play")
        node.create_subscription(DiagnosticStatus, "sim/judge", self._on_judge, EVENT)

    def reset(self, number: int) -> None:
        """Start the simulator's next attempt; its time rests."""
        self._granted(self._waiter.call(self._reset, Trigger.Request(), RESET_S), "sim/reset")
        # A judgement of the attempt before may still be on its way.
        self._verdict = Verdict()
        fresh = "the simulator never judged the new attempt on sim/judge; look at the log of sim_robot"
        self._waiter.until(lambda: self._verdict.elapsed_s == 0.0, RESET_S, lambda: fresh)

    def play(self, on: bool) -> None:
        """Let simulated time run, or rest."""
        self._granted(self._waiter.call(self._play, SetBool.Request(data=on)), "sim/play")

    def verdict(self) -> Verdict:
        """Return the newest judgement."""
        return self._verdict

    def _granted(self, response: SetBool.Response | Trigger.Response, service: str) -> None:
        if not response.success:
            raise RunError(f"service {service} refused: {response.message}")

    def _on_judge(self, status: DiagnosticStatus) -> None:
        values = {key: float(text) for key, text in read_values(status).items()}
        stages = frozenset(name for name in self._stages if values.pop(name, 0.0) > 0)
        progress, success = values.pop("progress", 0.0), values.pop("success", 0.0) > 0
        elapsed_s = values.pop("elapsed_s", None)
        values.pop("attempt", None)
        self._verdict = Verdict(elapsed_s, progress, True if success else None, stages, values)


class PersonReferee:
    """A person at the terminal, who sets the scene and presses a key.

    Raises:
        ConfigError: there is no terminal to ask at.
    """

    def __init__(self, waiter: Waiter, keyboard: TextIO | None = None, screen: TextIO | None = None) -> None:
        self._keyboard, self._screen = keyboard or sys.stdin, screen or sys.stdout
        self._waiter = waiter
        self._verdict = Verdict()
        if not self._keyboard.isatty():
            raise ConfigError("a run on a real robot needs a terminal, where a person says how it went; run it in one")

    def reset(self, number: int) -> None:
        """Ask for the scene to be set."""
        self._verdict = Verdict()
        self._say(f"attempt {number}: set the scene, then press Enter. The arms will move.")
        self._waiter.until(lambda: self._line() is not None, PERSON_S, lambda: "nobody pressed Enter")
        self._say("s Enter: success    f Enter: failure")

    def play(self, on: bool) -> None:
        """Real time is nobody's to hold."""

    def verdict(self) -> Verdict:
        """Return what has been typed."""
        line = (self._line() or "").strip().lower()
        if line in {"s", "f"}:
            success = line == "s"
            self._verdict = Verdict(None, float(success), success)
        return self._verdict

    def _line(self) -> str | None:
        ready, _, _ = select.select([self._keyboard], [], [], 0.0)
        return self._keyboard.readline() if ready else None

    def _say(self, text: str) -> None:
        self._screen.write(text + "\n")
        self._screen.flush()
