# SPDX-License-Identifier: Apache-2.0
"""What the robot is sent at each tick: nothing, the committed motion, or a stop that is then held.

    SILENT -- safety says ARMED, feedback is fresh --> FOLLOWING
       ^                                                  | safety says anything else, or a fault
       +------ at rest, held for a while ------ BRAKING <-+

The stage never trusts that somebody else will stop it: it watches safety's heartbeat, the feedback, its
own ticks and how well the arms follow. A fault brakes first and is reported until safety has taken note.
Pure: time and measurements are passed in.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np

from wam_ros.core.chunk import Outcome
from wam_ros.core.control import Control
from wam_ros.core.errors import UnsafeCommandError, WamError
from wam_ros.core.robot import Robot
from wam_ros.core.safety import POLICY, TELEOP, Answer, State, bound
from wam_ros.core.types import Chunk, FloatArray, Trajectory, frozen, nanoseconds
from wam_ros.motion.meter import MotionMeter
from wam_ros.motion.splicer import Setpoint, Splicer

#: Ticks between two rows of what is published as committed: a quarter of the messages' cost, and a quintic
#: through position, velocity and acceleration 40 ms apart is the motion itself to a few microradians.
COMMITTED_EVERY = 4
#: A sound arm is at most so many times as late as its calibration found it.
LATER = 2.0


class Phase(Enum):
    """What the stage is doing."""

    SILENT = "silent"
    FOLLOWING = "following"
    BRAKING = "braking"


@dataclass(frozen=True, kw_only=True)
class StageBounds:
    """When the stage stops by itself, on control time; the descriptions are those of the ROS parameters."""

    heartbeat_s: float = bound(0.3, "silence of safety")
    feedback_s: float = bound(0.2, "silence of the joints")
    stall_s: float = bound(0.25, "gap between two ticks; a shorter one is bridged, for motion is a function of time")
    # Drivers that stop when commands stop then hold by themselves; those that keep the last target keep this one.
    hold_s: float = bound(0.5, "how long the rest is commanded after a stop")
    tracking_rad: float = bound(0.3, "how far a joint may be outside what was commanded within lag_s", "rad")
    lag_s: float = bound(0.3, "longest time by which a sound arm follows its command")
    takeover_rad: float = bound(0.2, "how far from the robot a leader may take over", "rad")
    live_fade_s: float = bound(0.4, "time over which the difference to a person's wish is faded out")


class MotionStage:
    """Decides what the robot is sent.

    Attributes:
        phase: what it is doing.
        view: the newest state heard from safety; None until there is one.
        fault: cause code of its own stop, empty when well; kept until safety says STOPPED or DISARMED.
        executing: a chunk has been accepted since the start.
        renewed: what is committed has changed, or a chunk has been judged, since :meth:`committed`.
        sees_ns: stamp of the newest chunk that was accepted.
        control: whose chunks are followed.
    """

    def __init__(self, splicer: Splicer, robot: Robot, bounds: StageBounds) -> None:
        self.phase = Phase.SILENT
        self.view: State | None = None
        self.fault = ""
        self.executing = False
        self.renewed = False
        self.sees_ns = 0
        self.control = Control(robot.joint_names, robot.gripper_mask, bounds.takeover_rad)
        self._live_fade_s = bounds.live_fade_s
        self._splicer = splicer
        self._names = robot.joint_names
        self._arms = ~np.array(robot.gripper_mask)
        self._heartbeat_ns, self._feedback_ns = nanoseconds(bounds.heartbeat_s), nanoseconds(bounds.feedback_s)
        self._stall_ns, self._hold_ns = nanoseconds(bounds.stall_s), nanoseconds(bounds.hold_s)
        self._tracking_rad = bounds.tracking_rad
        self._heard_ns = self._felt_ns = self._last_ns = 0
        self._slowest = ""
        self._measured: FloatArray | None = None
        self._begins: FloatArray | None = None
        self._meter = MotionMeter(1.0 / robot.command_rate_hz)
        lag_s = max([bounds.lag_s, *(LATER * arm.latency_s for arm in robot.arms)])
        self._sent: deque[FloatArray] = deque(maxlen=max(2, round(lag_s * robot.command_rate_hz)))
        self._silent_from_ns = 0

    # -- what is heard ---------------------------------------------------------------------

    def on_safety(self, state: State, now_ns: int) -> None:
        """Safety's heartbeat."""
        self.view, self._heard_ns = state, now_ns
        if not state.live:
            self.fault = ""

    def safety_lives(self, now_ns: int) -> None:
        """Safety is known to be alive, whatever it said last."""
        self._heard_ns = now_ns

    def on_joints(self, position: FloatArray, felt_ns: int, slowest: str) -> None:
        """(J,) measured in robot order; what is not finite counts as not measured.

        Args:
            position: of all joints.
            felt_ns: when the stream that is farthest behind has spoken.
            slowest: the name of that stream.
        """
        self._slowest = slowest
        if np.isfinite(position).all():
            self._measured, self._felt_ns = frozen(np.where(self._arms, position, np.clip(position, 0, 1))), felt_ns

    def on_chunk(self, chunk: Chunk, now_ns: int, source: str = POLICY) -> bool:
        """Join a chunk to the committed motion; False when it was refused, or its source does not lead, and counted."""
        self._turn(now_ns)
        self.renewed = True
        if not self.control.follows(source, chunk):
            return False
        outcome = self._splicer.offer(chunk, now_ns, self._live_fade_s if source == TELEOP else None)
        self._begins = frozen(chunk.positions[0]) if outcome is Outcome.TOO_FAR else None
        if outcome.accepted:
            self.executing = True
            self.sees_ns = chunk.stamp_ns
        return outcome.accepted

    def on_bad_chunk(self, error: WamError) -> None:
        """Count a message that could not be read as a chunk."""
        self._splicer.refuse(error)

    def take_over(self, now_ns: int) -> Answer:
        """Follow the person from now on; what is committed goes on until the next chunk is joined to it."""
        return self._after(self.control.source, self.control.take_over(self._here(now_ns), now_ns))

    def hand_back(self) -> Answer:
        """Follow the policy from now on; what is committed goes on until the next chunk is joined to it."""
        return self._after(self.control.source, self.control.hand_back())

    def approach(self, now_ns: int) -> Answer:
        """Go slowly to where the newest chunk begins, if it was refused for beginning too far away, and rest there."""
        self._turn(now_ns)
        if self._begins is None or self.phase is not Phase.FOLLOWING:
            got = "no such chunk" if self._begins is None else "arms that are not armed"
            return Answer(False, f"approach refused: expected a chunk that begins too far from the arms, got {got}")
        try:
            self._splicer.approach(self._begins, now_ns)
        except UnsafeCommandError as error:
            return Answer(False, f"approach refused: {error}")
        self._begins, self.executing, self.renewed = None, True, True
        return Answer(True, "the arms go slowly to where the policy wants to begin")

    # -- what is sent ----------------------------------------------------------------------

    def tick(self, now_ns: int) -> Setpoint | None:
        """Return what to send now, None for nothing."""
        self._check_time(now_ns)
        self._turn(now_ns)
        if self.phase is Phase.FOLLOWING:
            self._watch(now_ns)
        if self.phase is Phase.SILENT:
            return None
        setpoint = self._splicer.sample(now_ns)
        self._sent.append(setpoint.position)
        self._meter.add(setpoint.position[self._arms], None if self._measured is None else self._measured[self._arms])
        return setpoint

    def brake(self, now_ns: int) -> None:
        """Come to rest, hold, then send nothing more."""
        if self.phase is Phase.FOLLOWING:
            self._splicer.stop(now_ns)
            self._enter_braking(now_ns)

    def moving(self, now_ns: int) -> bool:
        """True until the committed motion is at rest."""
        return self.phase is not Phase.SILENT and now_ns < self._splicer.at_rest_ns

    def committed(self, now_ns: int) -> Trajectory | None:
        """Return what will be executed from now on, its last row at rest; None when nothing is sent."""
        self.renewed = False
        if self.phase is Phase.SILENT:
            return None
        whole = self._splicer.committed(now_ns)
        rows = [*range(0, len(whole.times_ns) - 1, COMMITTED_EVERY), len(whole.times_ns) - 1]
        return Trajectory(
            whole.names,
            tuple(whole.times_ns[row] for row in rows),
            whole.positions[rows],
            whole.velocities[rows],
            whole.accelerations[rows],
        )

    def account(self) -> dict[str, bool | int | float | str]:
        """Return what it sees, does and has done, for diagnostics; ``sees_ns`` aside."""
        done = self._splicer.statistics
        return {
            "state": self.view.value if self.view is not None else "UNKNOWN",
            "phase": self.phase.value,
            "executing": self.executing,
            "source": self.control.source,
            "takeovers": self.control.takeovers,
            "too_far": self.control.astray(self._begins, self._measured, self._splicer.tuning.far_rad),
            "accepted": done.accepted,
            **{f"ignored_{source}": count for source, count in self.control.ignored.items()},
            **{f"refused_{outcome.value}": count for outcome, count in done.refused.items()},
            "seam_step_rad_max": done.seam_step_rad_max,
            "seam_step_rad_s_max": done.seam_step_rad_s_max,
            "idle_share": done.idle_share,
            "jerk_rms_rad_s3": self._meter.jerk_rms_rad_s3,
            "tracking_lag_ms": 1e3 * self._meter.tracking_lag_s,
            "tracking_rms_rad": self._meter.tracking_rms_rad,
        }

    # -- inside ----------------------------------------------------------------------------

    def _after(self, led: str, answer: Answer) -> Answer:
        """Forget how chunks were joined, if others come from now on."""
        if self.control.source != led:
            self._splicer.change_hands()
            self._begins = None
        return answer

    def _here(self, now_ns: int) -> FloatArray | None:
        """(J,) where the robot is told to be; where it is, while it is told nothing."""
        if self.phase is Phase.SILENT:
            return self._measured
        return np.asarray(self._splicer.trajectory(np.array([now_ns])).positions[0])

    def _turn(self, now_ns: int) -> None:
        """Change phase as safety wishes."""
        heard = now_ns - self._heard_ns <= self._heartbeat_ns
        live = self.view is not None and self.view.live
        if self.phase is Phase.FOLLOWING and live and not heard:
            self._fail("SAFETY_SILENT", now_ns)
        elif self.phase is Phase.FOLLOWING and not live:
            self.brake(now_ns)
        elif self.phase is Phase.BRAKING and now_ns >= self._silent_from_ns:
            self.phase = Phase.SILENT
        elif self.phase is Phase.SILENT and live and heard and not self.fault:
            self._start(now_ns)

    def _start(self, now_ns: int) -> None:
        if self.view is State.RUNNING:
            # Safety believes that we are moving: this process has restarted, or forgot.
            self.fault = "MOTION_RESTARTED"
        elif self._measured is not None and now_ns - self._felt_ns <= self._feedback_ns:
            self._splicer.start(self._measured, now_ns)
            self._sent.clear()
            self._meter.restart()
            self._last_ns = now_ns
            self.phase, self.executing, self.renewed = Phase.FOLLOWING, False, True

    def _watch(self, now_ns: int) -> None:
        if now_ns - self._felt_ns > self._feedback_ns or self._measured is None:
            self._fail(f"JOINTS_STALE:{self._slowest}", now_ns)
            return
        if not self._sent:
            return
        sent = np.array(self._sent)
        error = np.maximum(sent.min(axis=0) - self._measured, self._measured - sent.max(axis=0)) * self._arms
        worst = int(error.argmax())
        if error[worst] > self._tracking_rad:
            # Braking along the command would press on against whatever holds the arm: rest where it is.
            self._rest_at(self._measured, now_ns)
            self._fail(f"TRACKING:{self._names[worst]}", now_ns)

    def _check_time(self, now_ns: int) -> None:
        gap_ns, self._last_ns = now_ns - self._last_ns, now_ns
        if self.phase is Phase.SILENT or 0 <= gap_ns <= self._stall_ns:
            return
        # The robot has stood still since the last command: going on in time would be a jump.
        self._rest_at(self._sent[-1] if self._sent else self._require_measured(), now_ns)
        self._heard_ns, self._felt_ns = min(self._heard_ns, now_ns), min(self._felt_ns, now_ns)
        self._fail("MOTION_STALLED" if gap_ns > 0 else "CLOCK_BACK", now_ns)

    def _rest_at(self, position: FloatArray, now_ns: int) -> None:
        self._splicer.start(position, now_ns)
        self._splicer.stop(now_ns)
        self._silent_from_ns = now_ns + self._hold_ns

    def _fail(self, cause: str, now_ns: int) -> None:
        if self.phase is Phase.FOLLOWING:
            self.fault = self.fault or cause
            self.brake(now_ns)

    def _enter_braking(self, now_ns: int) -> None:
        self.phase, self.executing, self.renewed = Phase.BRAKING, False, True
        self._silent_from_ns = max(self._splicer.at_rest_ns, now_ns) + self._hold_ns

    def _require_measured(self) -> FloatArray:
        assert self._measured is not None  # FOLLOWING is entered with a measurement only
        return self._measured
