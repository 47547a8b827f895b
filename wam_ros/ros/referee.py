# SPDX-License-Identifier: Apache-2.0
"""Who sets the scene and says how an attempt went: the simulator's judge, or a person."""

from __future__ import annotations

import select
import sys
from dataclasses import replace
from typing import Protocol, TextIO

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from wam_ros.core.errors import ConfigError, RunError
from wam_ros.core.task import Task
from wam_ros.core.verdict import Verdict
from wam_ros.ros.qos import EVENT
from wam_ros.ros.requests import FAILURE, MARKS, START, SUCCESS
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
        fresh = "the simulator never judged the new attempt on sim/judge; look at the log of sim_robot or double"
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
    """A person, who sets the scene and says how it went: at the terminal, at the console, or with a pad's buttons.

    Args:
        node: hears what is said on ``operator/mark``: start, success, failure, or the name of a stage.
        task: its stages.
        waiter: spins the node.
        remote: a terminal is not needed, because there is a console.
        keyboard, screen: of the terminal.

    Raises:
        ConfigError: there is neither a terminal nor a console to ask at.
    """

    def __init__(
        self,
        node: Node,
        task: Task,
        waiter: Waiter,
        *,
        remote: bool = False,
        keyboard: TextIO | None = None,
        screen: TextIO | None = None,
    ) -> None:
        self._keyboard, self._screen = keyboard or sys.stdin, screen or sys.stdout
        self._shares = {stage.name: stage.share for stage in task.stages}
        self._waiter = waiter
        self._verdict, self._begun = Verdict(), False
        self._typed = self._keyboard.isatty()
        if not (remote or self._typed):
            raise ConfigError(
                "a run on a real robot needs a terminal, where a person says how it went; run it in one, or --console"
            )
        node.create_subscription(String, MARKS, self._on_word, EVENT)

    def reset(self, number: int) -> None:
        """Ask for the scene to be set."""
        self._begun = False
        self._say(f"attempt {number}: set the scene, then press Enter or Start. The arms will move.")
        self._waiter.until(self._is_begun, PERSON_S, lambda: "nobody pressed Enter or Start")
        self._verdict = Verdict()
        self._say("s Enter: success    f Enter: failure")

    def play(self, on: bool) -> None:
        """Real time is nobody's to hold."""

    def verdict(self) -> Verdict:
        """Return what has been said."""
        word = {"s": SUCCESS, "f": FAILURE}.get((self._line() or "").strip().lower())
        if word is not None:
            self._on_mark(word)
        return self._verdict

    def _on_word(self, msg: String) -> None:
        self._on_mark(msg.data)

    def _on_mark(self, word: str) -> None:
        said = self._verdict
        if word == START:
            self._begun = True
        elif word in (SUCCESS, FAILURE):
            success = word == SUCCESS
            self._verdict = replace(said, progress=1.0 if success else said.progress, success=success)
        elif word in self._shares:
            stages = said.stages | {word}
            self._verdict = replace(said, stages=stages, progress=sum(self._shares[name] for name in stages))

    def _is_begun(self) -> bool:
        return self._line() is not None or self._begun

    def _line(self) -> str | None:
        ready = select.select([self._keyboard], [], [], 0.0)[0] if self._typed else []
        return self._keyboard.readline() if ready else None

    def _say(self, text: str) -> None:
        self._screen.write(text + "\n")
        self._screen.flush()
