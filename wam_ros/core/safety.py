# SPDX-License-Identifier: Apache-2.0
"""The safety machine: what may move now, and why it was stopped.

    DISARMED -- arm --> ARMED -- motion executes a chunk --> RUNNING
        ^                 |                                    |
        |               any fault                          any fault
        +---- reset ---- STOPPED <-----------------------------+

Everything must prove itself alive; nothing is assumed. While ARMED or RUNNING the first stale stream,
reported fault or gap in time stops, and the stop is latched with exactly one cause code until somebody
resets it. DISARMED shows what would refuse arming. Events in, state and cause out; time is passed in.

Bounds: the fault matrix in docs/safety.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from wam_ros.core.robot import Arm, Robot
from wam_ros.core.types import nanoseconds

OPERATOR = "OPERATOR"
POLICY = "policy"
MOTION = "motion"


class State(Enum):
    """What the robot may do."""

    DISARMED = "DISARMED"
    ARMED = "ARMED"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"

    @property
    def live(self) -> bool:
        """True where motion may command the robot."""
        return self in (State.ARMED, State.RUNNING)


class Answer(NamedTuple):
    """A service's answer: whether the wish was granted, and the state or the reason why not."""

    granted: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class SafetyBounds:
    """How long each part may be silent, on control time.

    Attributes:
        camera_periods: periods of a camera's nominal rate.
        joints_periods, joints_s: periods of a joint stream's nominal rate, or this time if it is longer.
        policy_s, motion_s: silence of the node's status.
        overdue_s: from the last row of the newest chunk until the policy counts as silent; the arms
            already rest then, so a late chunk within this time goes on smoothly.
        stall_s: gap between two ticks after which the watch itself has failed.
        tick_s: pace of the ticks; a tick that comes late by as much again looks, but does not judge,
            because the messages that arrived meanwhile are read after it.
    """

    camera_periods: float = 3.0
    joints_periods: float = 5.0
    joints_s: float = 0.05
    policy_s: float = 1.0
    motion_s: float = 0.5
    overdue_s: float = 2.0
    stall_s: float = 0.3
    tick_s: float = 0.01


@dataclass(frozen=True)
class Watch:
    """One thing that must keep proving itself alive.

    Attributes:
        name: what :meth:`SafetyMachine.saw` calls it.
        cause: the cause code when it falls silent.
        limit_ns: the longest silence.
    """

    name: str
    cause: str
    limit_ns: int


def camera_watch(name: str) -> str:
    """Return the watch name of a camera."""
    return f"camera:{name}"


def joints_watch(name: str) -> str:
    """Return the watch name of a joint stream: the arm's name, or the gripper's joint for its own stream."""
    return f"joints:{name}"


def watches_for(robot: Robot, bounds: SafetyBounds) -> tuple[Watch, ...]:
    """Return what is watched on this robot; where two fail in one tick, the first is named."""
    joints = [watch for arm in robot.arms for watch in _arm_watches(arm, bounds)]
    cameras = [
        Watch(camera_watch(c.name), f"CAMERA_STALE:{c.name}", nanoseconds(bounds.camera_periods / c.rate_hz))
        for c in robot.cameras
    ]
    motion = Watch(MOTION, "MOTION_SILENT", nanoseconds(bounds.motion_s))
    policy = Watch(POLICY, "POLICY_SILENT", nanoseconds(bounds.policy_s))
    return (*joints, motion, *cameras, policy)


def _arm_watches(arm: Arm, bounds: SafetyBounds) -> Iterable[Watch]:
    streams = {arm.name: arm.state}
    if arm.gripper_state.topic != arm.state.topic:
        streams[arm.gripper.joint] = arm.gripper_state
    for name, stream in streams.items():
        limit_s = max(bounds.joints_s, bounds.joints_periods / stream.rate_hz)
        yield Watch(joints_watch(name), f"JOINTS_STALE:{name}", nanoseconds(limit_s))


class SafetyMachine:
    """Latching supervisor of a set of watches.

    Attributes:
        state: what may move.
        cause: why it was stopped; empty unless STOPPED.
        sequence: counts state changes.
    """

    def __init__(self, watches: Iterable[Watch], bounds: SafetyBounds) -> None:
        self.state = State.DISARMED
        self.cause = ""
        self.sequence = 0
        self._watches = {watch.name: watch for watch in watches}
        self._seen_ns: dict[str, int] = {}
        self._faults: dict[str, str] = {}
        self._rows_end_ns: int | None = None
        self._last_tick_ns: int | None = None
        self._excused = False
        self._stall_ns = nanoseconds(bounds.stall_s)
        self._late_ns = nanoseconds(2 * bounds.tick_s)
        self._overdue_ns = nanoseconds(bounds.overdue_s)

    # -- what is seen ----------------------------------------------------------------------

    def saw(self, name: str, now_ns: int, fault: str | None = None) -> None:
        """A watched part is alive.

        Args:
            name: of the watch.
            now_ns: control time.
            fault: the cause code it reports, empty when it is well; None says nothing about it.
        """
        self._seen_ns[name] = now_ns
        if fault is not None:
            self._faults[name] = fault
            self._stop_if_live(fault)

    def executing(self, now_ns: int) -> None:
        """Motion executes a chunk."""
        if self.state is State.ARMED:
            self._rows_end_ns = now_ns if self._rows_end_ns is None else self._rows_end_ns
            self._enter(State.RUNNING)

    def chunk(self, stamp_ns: int, length_ns: int, now_ns: int) -> None:
        """The policy has sent rows up to ``length_ns`` after the capture; no capture lies in the future."""
        end_ns = min(stamp_ns, now_ns) + length_ns
        self._rows_end_ns = end_ns if self._rows_end_ns is None else max(end_ns, self._rows_end_ns)

    def tick(self, now_ns: int) -> None:
        """Judge all ages; call it at a steady pace."""
        last_ns = now_ns if self._last_tick_ns is None else self._last_tick_ns
        self._last_tick_ns = now_ns
        if now_ns < last_ns:
            self._time_went_back(now_ns)
        elif now_ns - last_ns > self._stall_ns:
            self._stop_if_live("SAFETY_STALLED")
        elif now_ns - last_ns > self._late_ns and not self._excused:
            self._excused = True
        else:
            self._excused = False
            self._stop_if_live(next(iter(self.standing(now_ns)), ""))

    def standing(self, now_ns: int) -> tuple[str, ...]:
        """Return the cause codes of everything that is wrong now, most telling first."""
        faults = [fault for fault in self._faults.values() if fault]
        silent = [watch.cause for watch in self._watches.values() if self._silent(watch, now_ns)]
        overdue = self._rows_end_ns is not None and now_ns > self._rows_end_ns + self._overdue_ns
        if overdue and self.state is State.RUNNING:
            silent.append(self._watches[POLICY].cause)
        return tuple(dict.fromkeys(faults + silent))

    # -- what is wished --------------------------------------------------------------------

    def stop(self, cause: str = OPERATOR) -> Answer:
        """Stop from any state; a stop that is already latched keeps its cause."""
        if self.state is State.STOPPED:
            return Answer(True, f"already stopped: {self.cause}")
        self._enter(State.STOPPED, cause)
        return Answer(True, f"stopped: {cause}")

    def reset(self, now_ns: int) -> Answer:
        """Leave STOPPED for DISARMED, if what caused the stop is over."""
        if self.state is not State.STOPPED:
            return Answer(False, f"nothing to reset: {self.state.value}")
        if self.cause in self.standing(now_ns):
            return Answer(False, f"{self.cause} has not been cured; cure it, then reset")
        self._enter(State.DISARMED)
        return Answer(True, State.DISARMED.value)

    def arm(self, now_ns: int) -> Answer:
        """Leave DISARMED for ARMED, if every watch is fresh and reports no fault."""
        if self.state is State.STOPPED:
            return Answer(False, f"stopped: {self.cause}; reset first")
        if self.state.live:
            return Answer(True, f"already {self.state.value}")
        wrong = self.standing(now_ns)
        if wrong:
            return Answer(False, f"not armed: {', '.join(wrong)}")
        self._rows_end_ns = None
        self._enter(State.ARMED)
        return Answer(True, State.ARMED.value)

    def disarm(self) -> Answer:
        """Leave ARMED or RUNNING for DISARMED; a latched stop stays."""
        if self.state.live:
            self._enter(State.DISARMED)
        return Answer(True, self.state.value)

    # -- inside ----------------------------------------------------------------------------

    def _enter(self, state: State, cause: str = "") -> None:
        self.state, self.cause = state, cause
        self.sequence += 1

    def _stop_if_live(self, cause: str) -> None:
        if cause and self.state.live:
            self.stop(cause)

    def _silent(self, watch: Watch, now_ns: int) -> bool:
        seen_ns = self._seen_ns.get(watch.name)
        return seen_ns is None or now_ns - seen_ns > watch.limit_ns

    def _time_went_back(self, now_ns: int) -> None:
        """Stop, and count every age from now: what was seen lies in a future that will come again."""
        self._stop_if_live("CLOCK_BACK")
        self._seen_ns = {name: min(seen_ns, now_ns) for name, seen_ns in self._seen_ns.items()}
        self._rows_end_ns = None
