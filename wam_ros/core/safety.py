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
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from wam_ros.core.joint_topics import feedback_topics
from wam_ros.core.robot import Robot, Stream
from wam_ros.core.types import nanoseconds

OPERATOR = "OPERATOR"
POLICY = "policy"
TELEOP = "teleop"
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


def bound(default: float, description: str, unit: str = "s") -> float:
    """Return a dataclass field with a description: the one declaration of a bound, also for ROS parameters."""
    return field(default=default, metadata={"description": description, "unit": unit})


@dataclass(frozen=True, kw_only=True)
class SafetyBounds:
    """How long each part may be silent, on control time; the descriptions are those of the ROS parameters.

    A tick that comes late by as much again as ``tick_s`` looks, but does not judge: the messages that
    arrived meanwhile are read after it.
    """

    camera_periods: float = bound(3.0, "silence of a camera, in periods of its nominal rate", "periods")
    joints_periods: float = bound(5.0, "silence of a joint stream, in periods of its nominal rate", "periods")
    joints_s: float = bound(0.05, "silence of a joint stream that is allowed in any case")
    policy_s: float = bound(1.0, "silence of the policy's status, while it leads")
    teleop_s: float = bound(1.0, "silence of the teleop node's status, while it leads")
    motion_s: float = bound(0.5, "silence of motion's status")
    overdue_s: float = bound(2.0, "from the last row of the newest chunk, when the arms rest, to POLICY_SILENT")
    stall_s: float = bound(0.3, "gap between two ticks after which the watch itself has failed")
    clock_s: float = bound(1.0, "how long simulated time may stand still, by the steady clock")
    tick_s: float = bound(0.01, "pace of the judgement of ages")
    beat_s: float = bound(0.1, "pace of the heartbeat")


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
    joints = [
        Watch(joints_watch(topic.name), f"JOINTS_STALE:{topic.name}", _joints_limit_ns(topic.stream, bounds))
        for topic in feedback_topics(robot)
    ]
    cameras = [
        Watch(camera_watch(c.name), f"CAMERA_STALE:{c.name}", nanoseconds(bounds.camera_periods / c.rate_hz))
        for c in robot.cameras
    ]
    motion = Watch(MOTION, "MOTION_SILENT", nanoseconds(bounds.motion_s))
    policy = Watch(POLICY, "POLICY_SILENT", nanoseconds(bounds.policy_s))
    teleop = Watch(TELEOP, "TELEOP_SILENT", nanoseconds(bounds.teleop_s))
    return (*joints, motion, *cameras, policy, teleop)


def _joints_limit_ns(stream: Stream, bounds: SafetyBounds) -> int:
    return nanoseconds(max(bounds.joints_s, bounds.joints_periods / stream.heard_hz))


class SafetyMachine:
    """Latching supervisor of a set of watches.

    Attributes:
        state: what may move.
        cause: why it was stopped; empty unless STOPPED.
        leader: whom motion follows, ``policy`` or ``teleop``; nothing is asked of the other one.
        sequence: counts state changes.
    """

    def __init__(self, watches: Iterable[Watch], bounds: SafetyBounds) -> None:
        self.state = State.DISARMED
        self.cause = ""
        self.leader = POLICY
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
        self._last_beat_ns: int | None = None
        self._still_beats = 0
        self._patient_beats = round(bounds.clock_s / bounds.beat_s)

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
            if self._counts(name):
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

    def led_by(self, leader: str, now_ns: int) -> None:
        """Motion follows this one; a policy that has got control back may take its time for a chunk."""
        if leader == self.leader:
            return
        self.leader = leader
        if self._rows_end_ns is not None:
            self._rows_end_ns = max(self._rows_end_ns, now_ns)

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

    def beat(self, now_ns: int) -> None:
        """Compare control time with the steady pace of these calls; not while simulated time waits on purpose."""
        self._still_beats = self._still_beats + 1 if now_ns == self._last_beat_ns else 0
        self._last_beat_ns = now_ns
        if self._clock_stands():
            self._stop_if_live("CLOCK_SILENT")

    def standing(self, now_ns: int) -> tuple[str, ...]:
        """Return the cause codes of everything that is wrong now, most telling first."""
        faults = [fault for name, fault in self._faults.items() if fault and self._counts(name)]
        silent = [watch.cause for watch in self._watches.values() if self._silent(watch, now_ns)]
        overdue = self._rows_end_ns is not None and now_ns > self._rows_end_ns + self._overdue_ns
        if overdue and self.state is State.RUNNING and self.leader == POLICY:
            silent.append(self._watches[POLICY].cause)
        clock = ["CLOCK_SILENT"] if self._clock_stands() else []
        return tuple(dict.fromkeys(faults + clock + silent))

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
        return self._counts(watch.name) and (seen_ns is None or now_ns - seen_ns > watch.limit_ns)

    def _counts(self, name: str) -> bool:
        """Whether the arms depend on it: of policy and teleop only the one that leads."""
        return name not in (POLICY, TELEOP) or name == self.leader

    def _clock_stands(self) -> bool:
        return self._still_beats >= self._patient_beats

    def _time_went_back(self, now_ns: int) -> None:
        """Stop, and count every age from now: what was seen lies in a future that will come again."""
        self._stop_if_live("CLOCK_BACK")
        self._seen_ns = {name: min(seen_ns, now_ns) for name, seen_ns in self._seen_ns.items()}
        self._rows_end_ns = None
