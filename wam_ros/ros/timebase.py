# SPDX-License-Identifier: Apache-2.0
"""Control time: one monotone count of nanoseconds for all decisions, and its way to and from stamps.

On a robot it is the steady clock, set to the wall clock once at the start. Stamps live on the wall
clock; when that jumps (NTP, PTP, an operator), only the mapping of stamps is anchored anew and control
does not notice. Under ``use_sim_time`` stamps and control both live on ``/clock``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.node import Node

#: A disagreement of wall and steady clock above this is a jump, not a drift [ns].
JUMP_NS = 50_000_000
#: The mapping follows a drift in steps of this size, so that one stamp keeps one control time for long [ns].
DRIFT_NS = 1_000_000


class Timebase(Protocol):
    """Control time and its mapping to stamps.

    Attributes:
        jumps: how often the stamps' clock has jumped.
    """

    jumps: int

    def now_ns(self) -> int:
        """Return control time."""
        ...

    def from_stamp(self, stamp_ns: int) -> int:
        """Return the control time of a sensor stamp."""
        ...

    def to_stamp(self, control_ns: int) -> int:
        """Return the stamp of a control time."""
        ...


class SteadyTimebase:
    """The steady clock, on the wall clock's numbers.

    Args:
        steady, wall: read the two clocks [ns].

    The mapping follows a drift of the wall clock (NTP slewing) in small steps; a jump is counted as well.
    """

    def __init__(self, steady: Callable[[], int], wall: Callable[[], int]) -> None:
        self.jumps = 0
        self._steady, self._wall = steady, wall
        self._origin_ns = wall() - steady()
        self._shift_ns = 0

    def now_ns(self) -> int:
        """Return control time; monotone whatever the wall clock does."""
        control_ns = self._steady() + self._origin_ns
        shift_ns = self._wall() - control_ns
        moved_ns = abs(shift_ns - self._shift_ns)
        self.jumps += moved_ns > JUMP_NS
        if moved_ns > DRIFT_NS:
            self._shift_ns = shift_ns
        return control_ns

    def from_stamp(self, stamp_ns: int) -> int:
        """Return the control time of a stamp taken since the last jump."""
        return stamp_ns - self._shift_ns

    def to_stamp(self, control_ns: int) -> int:
        """Return the stamp of a control time on today's wall clock."""
        return control_ns + self._shift_ns


class SimTimebase:
    """ROS time under ``use_sim_time``; a step back (a new attempt) is counted as a jump."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.jumps = 0
        self._clock = clock
        self._last_ns = clock()

    def now_ns(self) -> int:
        """Return simulated time; 0 until the first ``/clock``."""
        now_ns = self._clock()
        if now_ns < self._last_ns:
            self.jumps += 1
        self._last_ns = now_ns
        return now_ns

    def from_stamp(self, stamp_ns: int) -> int:
        """Return the stamp."""
        return stamp_ns

    def to_stamp(self, control_ns: int) -> int:
        """Return the control time."""
        return control_ns


class PeriodMeter:
    """How punctual a timer is.

    Args:
        nominal_ns: the period it should have.

    Attributes:
        missed: ticks that did not come, since the start.
    """

    def __init__(self, nominal_ns: int) -> None:
        self.missed = 0
        self._nominal_ns = nominal_ns
        self._last_ns: int | None = None
        self._recent_ns: deque[int] = deque(maxlen=1000)

    def tick(self, now_ns: int) -> None:
        """Count a tick at a time of the steady clock."""
        if self._last_ns is not None:
            period_ns = now_ns - self._last_ns
            self._recent_ns.append(period_ns)
            self.missed += max(0, round(period_ns / self._nominal_ns) - 1)
        self._last_ns = now_ns

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the last thousand periods [ms]; 0 before the second tick."""
        return float(np.percentile(self._recent_ns, percent)) / 1e6 if self._recent_ns else 0.0


def steady_clock() -> Clock:
    """Return a clock that never jumps: for timers that must go on when simulated time rests."""
    return Clock(clock_type=ClockType.STEADY_TIME)


def timebase_of(node: Node) -> Timebase:
    """Return the control time of a node: simulated if its ``use_sim_time`` is set, else steady."""
    if node.get_parameter("use_sim_time").value:
        return SimTimebase(reader(node.get_clock()))
    return SteadyTimebase(reader(steady_clock()), reader(Clock(clock_type=ClockType.SYSTEM_TIME)))


def reader(clock: Clock) -> Callable[[], int]:
    """Return a function that reads a clock [ns]."""
    return lambda: int(clock.now().nanoseconds)
