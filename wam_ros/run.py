# SPDX-License-Identifier: Apache-2.0
"""``wam run``: start the graph, let the operator make the attempts, and write down how it went."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from secrets import token_urlsafe
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from wam_ros.core.errors import ConfigError, MissingDependencyError, mismatch
from wam_ros.environment import additions
from wam_ros.files.folders import require_place
from wam_ros.graph import Plan, RunOptions, make_plan
from wam_ros.overrides import Assignment, apply, node_parameters, parse
from wam_ros.runner import NodeEndedError, Runner

if TYPE_CHECKING:
    from wam_ros.report.summary import Attempt, Run


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        lost: the required node that ended by itself, if one did.
    """

    run: Run
    folder: Path
    lost: NodeEndedError | None
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """0 every attempt succeeded, 1 the task or a node failed, 2 something the user can correct, 130 interrupted."""
        if self.interrupted:
            return 130
        if self.run.complete:
            return 0 if self.run.successes == len(self.run.attempts) else 1
        return 1 if self.lost and self.lost.exit_code != 2 else 2


class Interrupts:
    """While open, SIGINT and SIGTERM both raise KeyboardInterrupt, and are remembered.

    Args:
        patient: the first one waits for a check (:meth:`before`), as not every library survives an exception from nowhere.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.seen = False
        self._patient = patient
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A shell lets its background jobs ignore Ctrl-C; that stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def before(self, check: Callable[[], None]) -> Callable[[], None]:
        """Return a check that raises KeyboardInterrupt if one has come, and else makes the other check."""

        def both() -> None:
            if self.seen:
                raise KeyboardInterrupt
            check()

        return both

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        waits, self.seen = self._patient and not self.seen, True
        if not waits:
            raise KeyboardInterrupt


def prepare(options: RunOptions, assignments: Sequence[str], episodes: int, folder: Path) -> Plan:
    """Return the plan of a run, or say what is wrong before anything is started.

    Raises:
        ConfigError, MissingDependencyError: one sentence.
    """
    if episodes < 1:
        raise ConfigError(mismatch("episodes", "1 or more", episodes, "give a positive number"))
    require_new(folder)
    given = [parse(text) for text in assignments]
    if options.teleop == "keyboard" and not any((a.place, *a.path) == ("teleop", "terminal") for a in given):
        given.append(Assignment("teleop", ("terminal",), terminal_name()))
    if options.console and not any((a.place, *a.path) == ("viewer", "token") for a in given):
        given.append(Assignment("viewer", ("token",), token_urlsafe(9)))
    plan = make_plan(replace(options, params=node_parameters(given)))
    plan = make_plan(apply(plan, given, folder / "config"))
    if find_spec("rclpy") is None:
        raise MissingDependencyError("ROS 2 is not installed (no module rclpy); source your ROS, or run make demo")
    return plan


def calibrated(file: Path | None) -> list[str]:
    """Return the assignment that puts a calibration file in force; none without one."""
    return [] if file is None else [f"robot.calibration={file.resolve()}"]


def require_new(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        ConfigError: naming it.
    """
    require_place(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"--out {folder}: expected a new or empty folder, got one that holds files; choose another")


def terminal_name() -> str:
    """Return the name of the terminal that this process reads; its nodes have none of their own."""
    try:
        return os.ttyname(sys.stdin.fileno())
    except (OSError, ValueError) as error:
        remedy = "run it in one, or name one: --set teleop.terminal=/dev/pts/N"
        raise ConfigError(mismatch("--teleop keyboard", "a terminal", "none", remedy)) from error


def play(
    plan: Plan,
    episodes: int,
    folder: Path,
    console: Console,
    shown_as: str = "",
    on_attempt: Callable[[int, Attempt], None] = lambda _number, _attempt: None,
) -> Result:
    """Run the attempts of a plan; whatever happens, the graph has ended when this returns.

    Args:
        plan: what to run.
        episodes: attempts to make.
        folder: of the run.
        console: shows how it goes.
        shown_as: the policy's name for the operator, who must not know its own.
        on_attempt: is given each attempt, and its number from 1, as soon as it is over.

    Raises:
        ConfigError: the ROS domain is in use.
    """
    os.environ.update(additions(os.environ, simulated=plan.staged))
    from wam_ros.nodes.operator import run_attempts
    from wam_ros.report.blinded import Blinded
    from wam_ros.report.folder import write_run
    from wam_ros.report.progress import Progress
    from wam_ros.report.trial_log import Handing
    from wam_ros.ros.presence import require_free_domain

    with Interrupts(patient=True) as interrupts:
        require_free_domain([spec.name for spec in plan.specs])
        folder.mkdir(parents=True, exist_ok=True)
        with Runner(plan.specs, folder, os.environ) as runner, Progress(console) as progress:
            _say_where(plan, console)
            parts = plan.robot, plan.task, plan.policy, plan.options
            shown = Blinded(progress, shown_as) if shown_as else progress
            listener = Handing(shown, on_attempt)
            check = interrupts.before(runner.check)
            run = run_attempts(*parts, folder, listener, episodes=episodes, check=check)
        run.memory_mb.update(runner.peak_memory_mb)
        write_run(folder, run, plan.robot, plan.policy)
    return Result(run, folder, runner.lost, interrupts.seen)


def _say_where(plan: Plan, console: Console) -> None:
    """Print where the page is, and what opens its buttons."""
    pages = (spec.params for spec in plan.specs if spec.name == "viewer" and spec.params.get("port") != 0)
    for page in pages:
        opens = f"    token: {page['token']}" if page.get("console") else ""
        console.print(f"look at http://127.0.0.1:{page.get('port', 8080)}{opens}", soft_wrap=True, markup=False)


def show(result: Result, console: Console) -> None:
    """Print what a run came to."""
    run, good = result.run, result.exit_code == 0
    memory = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in run.memory_mb.items())
    console.print(f"peak memory [MB]: {memory}", style="dim", soft_wrap=True)
    if run.error:
        Console(stderr=True, highlight=False).print(f"wam: {run.error}", markup=False, soft_wrap=True)
    console.print(run.verdict, style="bold green" if good else "bold red")
    console.print(f"report: {result.folder / 'report.html'}", markup=False, soft_wrap=True)
