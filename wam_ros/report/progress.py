# SPDX-License-Identifier: Apache-2.0
"""What the operator sees while a run goes on: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wam_ros.core.cures import cure_of
from wam_ros.report.summary import Attempt, Setup

REFRESH_HZ = 4
#: What the panel shows of the nodes' figures: node, key, label, unit.
SHOWN = (
    ("policy", "sets_per_s", "sets", "/s"),
    ("policy", "latency_ms_p50", "latency", "ms"),
    ("policy", "skew_ms_p99", "skew p99", "ms"),
    ("policy", "dropped", "dropped", ""),
    ("motion", "period_ms_p99", "command period p99", "ms"),
)
STATE_STYLES = {"RUNNING": "green", "ARMED": "cyan", "STOPPED": "bold red"}


@dataclass(frozen=True)
class Moment:
    """How a run stands now.

    Attributes:
        attempt: its number, from 1.
        stages: stage name to the time at which it was reached [s], None while it is not.
        robot_s, wall_s: since the attempt began, by the robot's clock and by the wall clock.
        figures: node to what it reports.
    """

    attempt: int
    seed: int
    state: str
    stages: Mapping[str, float | None]
    robot_s: float
    wall_s: float
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class Listener(Protocol):
    """Is told how a run goes on; called by the operator's thread a few times per second."""

    def begins(self, setup: Setup) -> None:
        """A run begins."""
        ...

    def waiting(self, what: str) -> None:
        """Something is awaited that may take a while."""
        ...

    def moment(self, moment: Moment) -> None:
        """The attempt goes on."""
        ...

    def ended(self, number: int, attempt: Attempt) -> None:
        """An attempt is over."""
        ...


class Progress:
    """A listener that shows the run on a console; a context manager.

    Args:
        console: decides by itself whether it is a terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live: Live | None = None
        self._said = ""
        self._episodes = 0
        self._cures: set[str] = set()

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=REFRESH_HZ, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def begins(self, setup: Setup) -> None:
        """Say what is run."""
        self._episodes = setup.episodes
        title = " · ".join((setup.task, setup.robot, setup.policy, setup.pace))
        self._console.print(Text(title, style="bold"))

    def waiting(self, what: str) -> None:
        """Say what is awaited."""
        self._say(f"waiting for {what}", Text(f"waiting for {what}", style="dim"))

    def moment(self, moment: Moment) -> None:
        """Show the attempt as it is; without a terminal, a line for each stage and state."""
        reached = [name for name, at_s in moment.stages.items() if at_s is not None]
        stage = reached[-1] if reached else "started"
        line = f"attempt {moment.attempt} of {self._episodes}: {moment.state}, {stage}"
        self._say(line, _panel(moment, self._episodes), f" at {moment.robot_s:.1f} s")

    def ended(self, number: int, attempt: Attempt) -> None:
        """Leave a line about the attempt."""
        what = attempt.stop_cause or attempt.ending
        text = Text.assemble(
            f"attempt {number}  seed {attempt.seed}  ",
            (what, "green" if attempt.success else "red"),
            f"  {attempt.duration_s:.1f} s  progress {100 * attempt.progress:.0f} %  ({attempt.wall_s:.1f} s wall)",
        )
        self._console.print(text)
        cure = cure_of(attempt.stop_cause)
        if cure and cure not in self._cures:
            self._cures.add(cure)
            self._console.print(f"  {cure} (docs/safety.md)", style="dim", soft_wrap=True)

    def _say(self, line: str, shown: Text | Group, detail: str = "") -> None:
        if self._live is not None:
            self._live.update(shown)
        elif line != self._said:
            self._said = line
            self._console.print(line + detail, markup=False, soft_wrap=True)


def _panel(moment: Moment, episodes: int) -> Group:
    head = Text.assemble(
        f"attempt {moment.attempt} of {episodes}  seed {moment.seed}  ",
        (moment.state, STATE_STYLES.get(moment.state, "yellow")),
        f"  {moment.robot_s:5.1f} s robot  {moment.wall_s:5.1f} s wall",
    )
    stages = Text()
    for name, at_s in moment.stages.items():
        done = f"● {name} {at_s:.1f} s   " if at_s is not None else f"○ {name}   "
        stages.append(done, "cyan" if at_s is not None else "dim")
    table = Table.grid(padding=(0, 3))
    table.add_row(*_figures(moment))
    return Group(head, stages, table)


def _figures(moment: Moment) -> list[Text]:
    found = [(label, moment.figures.get(node, {}).get(key), unit) for node, key, label, unit in SHOWN]
    return [
        Text.assemble((f"{label} ", "dim"), f"{value:.4g} {unit}") for label, value, unit in found if value is not None
    ]
