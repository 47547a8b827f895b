# SPDX-License-Identifier: Apache-2.0
"""What the robot is committed to: chunks joined without a seam, within the limits, ending at rest."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from wam_ros.core.errors import ShapeError, WamError, mismatch
from wam_ros.core.limits import Limits
from wam_ros.core.reference import joined, play, smooth
from wam_ros.core.robot import Robot
from wam_ros.core.spline import Spline, State
from wam_ros.core.task import Method
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray, Trajectory, frozen
from wam_ros.motion.governor import Governor


class Outcome(enum.Enum):
    """What became of a chunk."""

    ACCEPTED = "accepted"
    SLOWED = "slowed"  # accepted, but the limits allow it only at a slower pace
    LATE = "late"  # too few rows lie in the future
    DUPLICATE = "duplicate"
    OLDER = "older"  # a chunk of a later observation is already committed
    PAST = "past"  # no row lies in the future
    FUTURE = "future"  # captured later than now: two clocks
    WRONG_JOINTS = "wrong_joints"
    BAD_TIMES = "bad_times"  # unsorted, repeated or negative
    NOT_FINITE = "not_finite"
    TOO_FAR = "too_far"  # starts far from where the robot is; approach it slowly first
    TOO_FAST = "too_fast"  # beyond the limits even at the slowest pace
    NOT_RUNNING = "not_running"  # before start, or after stop

    @property
    def accepted(self) -> bool:
        """True when the chunk is now what the robot executes."""
        return self in (Outcome.ACCEPTED, Outcome.SLOWED)


@dataclass(frozen=True)
class Setpoint:
    """What the joints are told at one time: (J,) in robot order, grippers normalised."""

    position: FloatArray
    velocity: FloatArray
    acceleration: FloatArray


@dataclass
class Statistics:
    """Counts since the splicer was made, and the largest steps at a seam."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    seam_step_rad_max: float = 0.0
    seam_step_rad_s_max: float = 0.0
    ticks: int = 0
    idle_ticks: int = 0

    @property
    def accepted(self) -> int:
        """Chunks that were executed, slowed or not."""
        return sum(n for outcome, n in self.outcomes.items() if outcome.accepted)

    @property
    def refused(self) -> dict[Outcome, int]:
        """Count of each refusal that happened."""
        return {outcome: n for outcome, n in self.outcomes.items() if not outcome.accepted}

    @property
    def idle_share(self) -> float:
        """Share of the samples at which the arms were told to stand still."""
        return self.idle_ticks / self.ticks if self.ticks else 0.0


@dataclass(frozen=True)
class Tuning:
    """How a chunk is joined.

    Attributes:
        fade_s: time over which the difference between two chunks is faded out.
        far_rad: a chunk that starts farther from the commanded position than this is refused.
        least_rows: a chunk with fewer rows in the future is late.
        approach_share: share of the limits used to approach a far chunk.
        stop_share: share of the limits used by the tail and by a stop.
    """

    fade_s: float = 0.8
    far_rad: float = 0.5
    least_rows: int = 2
    approach_share: float = 0.2
    stop_share: float = 0.9


PACES = (1.0, 1.2, 1.5, 2.0, 3.0)


class Splicer:
    """Joins chunks into one motion that is continuous, within limits and always ends at rest.

    Pure: time enters as nanoseconds on the clock of the chunks' stamps. Until ``start`` it has no
    position and refuses chunks. All positions are (J,) in robot order.
    """

    def __init__(
        self,
        names: Sequence[str],
        limits: tuple[FloatArray, FloatArray, FloatArray],
        bounds: tuple[FloatArray, FloatArray],
        gripper_mask: Sequence[bool],
        *,
        method: Method = "governed",
        tick_ns: int = 10_000_000,
        tuning: Tuning | None = None,
    ) -> None:
        self.names = tuple(names)
        self.method = method
        self.tuning = tuning or Tuning()
        self.statistics = Statistics()
        self._tick_ns = tick_ns
        self._arms = ~np.array(gripper_mask, dtype=bool)
        self._limits = Limits(*(np.asarray(x)[self._arms] for x in (*bounds, *limits)))
        self._grips = ~self._arms
        self._speed = np.asarray(limits[0])[self._grips]
        self._governor = Governor(self._limits)
        self._motion: Spline | None = None
        self._origin_ns = 0
        self._grip(0, np.zeros(1), np.zeros((1, int(self._grips.sum()))))
        self._newest_ns: int | None = None
        self._running = False

    @classmethod
    def for_robot(cls, robot: Robot, *, method: Method = "governed", tuning: Tuning | None = None) -> Splicer:
        """Return the splicer of a robot's joints, limits and command rate."""
        tick_ns = round(NS_PER_S / robot.command_rate_hz)
        return cls(
            robot.joint_names,
            robot.motion_limits(),
            robot.bounds(),
            robot.gripper_mask,
            method=method,
            tick_ns=tick_ns,
            tuning=tuning,
        )

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Hold a position and accept chunks from now on."""
        position = np.asarray(position, dtype=np.float64)
        if position.shape != (len(self.names),):
            raise ShapeError(mismatch("start position", (len(self.names),), position.shape, "give one per joint"))
        self._commit(Spline.rest(position[self._arms]), now_ns)
        self._grip(now_ns, np.zeros(1), position[self._grips][None])
        self._running = True

    def refuse(self, error: WamError) -> Outcome:
        """Count a message that was not even a chunk, by the error that said so."""
        outcome = Outcome.BAD_TIMES if "times" in str(error) else Outcome.WRONG_JOINTS
        if not isinstance(error, ShapeError):
            outcome = Outcome.NOT_FINITE
        self.statistics.outcomes[outcome] += 1
        return outcome

    def offer(self, chunk: Chunk, now_ns: int) -> Outcome:
        """Join a chunk to what is committed, or say why not; what was committed then goes on."""
        outcome = self._unfit(chunk, now_ns) or self._join(chunk, now_ns)
        self.statistics.outcomes[outcome] += 1
        return outcome

    def stop(self, now_ns: int) -> None:
        """Decelerate to rest as fast as the limits allow, and accept no chunk until the next start."""
        self._running = False
        if self._motion is None:
            return
        state = self._state(now_ns)
        grip = self._grip_at(np.array([now_ns]))[0]
        for motion in (self._governor.stop(state, self.tuning.stop_share), self._governor.stop(state)):
            if motion is not None and self._limits.admit(motion):
                self._commit(motion, now_ns)
                break
        self._grip(now_ns, np.zeros(1), grip[:1])

    def sample(self, now_ns: int) -> Setpoint:
        """Return what to command now."""
        trajectory = self._evaluate(np.array([now_ns]))
        moving = np.abs(trajectory[1][0][self._arms]).max(initial=0.0) > 1e-4
        self.statistics.ticks += 1
        self.statistics.idle_ticks += not moving
        return Setpoint(*(frozen(x[0]) for x in trajectory))

    def committed(self, now_ns: int) -> Trajectory:
        """Return what will be executed from now on, tick by tick; its last row is at rest."""
        end_ns = max(self._origin_ns + round(self._require().duration_s * NS_PER_S), now_ns)
        count = -(-(end_ns - now_ns) // self._tick_ns) + 1
        times = now_ns + self._tick_ns * np.arange(count)
        return Trajectory(self.names, tuple(times.tolist()), *self._evaluate(times))

    @property
    def at_rest_ns(self) -> int:
        """Time at which the committed motion is at rest."""
        return self._origin_ns + round(self._require().duration_s * NS_PER_S)

    def _unfit(self, chunk: Chunk, now_ns: int) -> Outcome | None:
        future = sum(time > now_ns for time in chunk.times_ns)
        checks = (
            (not self._running, Outcome.NOT_RUNNING),
            (chunk.names != self.names, Outcome.WRONG_JOINTS),
            (chunk.offsets_ns[0] < 0, Outcome.BAD_TIMES),
            (not np.isfinite(chunk.positions).all(), Outcome.NOT_FINITE),
            (chunk.stamp_ns > now_ns, Outcome.FUTURE),
            (chunk.stamp_ns == self._newest_ns, Outcome.DUPLICATE),
            (self._newest_ns is not None and chunk.stamp_ns < self._newest_ns, Outcome.OLDER),
            (future == 0, Outcome.PAST),
            (future < min(self.tuning.least_rows, len(chunk.offsets_ns)), Outcome.LATE),
        )
        return next((outcome for bad, outcome in checks if bad), None)

    def _join(self, chunk: Chunk, now_ns: int) -> Outcome:
        state = self._state(now_ns)
        rows = np.clip(chunk.positions[:, self._arms], self._limits.lower, self._limits.upper)
        reference = smooth(chunk.offsets_ns, rows)
        since_s = (now_ns - chunk.times_ns[0]) / NS_PER_S
        first = reference.sample(np.array([since_s]))[0][0]
        if np.abs(first - state.position).max() > self.tuning.far_rad:
            return Outcome.TOO_FAR
        for pace in PACES:
            motion = self._planned(state, play(reference, max(since_s, 0.0), pace))
            if motion is not None:
                break
        else:
            return Outcome.TOO_FAST
        self._record_seam(state, State(motion.positions[0], motion.velocities[0], motion.accelerations[0]))
        self._retime_grippers(chunk, now_ns, pace)
        self._commit(motion, now_ns)
        self._newest_ns = chunk.stamp_ns
        return Outcome.ACCEPTED if pace == 1.0 else Outcome.SLOWED

    def _planned(self, state: State, reference: Spline) -> Spline | None:
        motion = joined(state, reference, self.tuning.fade_s)
        if self._limits.excess(motion) > 1.0:
            return None
        tail = self._governor.stop(motion.end, self.tuning.stop_share)
        if tail is None:
            return None
        whole = motion.then(tail)
        return whole if self._limits.admit(whole) else None

    def _record_seam(self, before: State, after: State) -> None:
        step = after - before
        statistics = self.statistics
        statistics.seam_step_rad_max = max(statistics.seam_step_rad_max, float(np.abs(step.position).max()))
        statistics.seam_step_rad_s_max = max(statistics.seam_step_rad_s_max, float(np.abs(step.velocity).max()))

    def _retime_grippers(self, chunk: Chunk, now_ns: int, pace: float) -> None:
        """Follow the newest rows of the grippers at most at their speed; they are never averaged."""
        times = [0.0] + [(t - now_ns) / NS_PER_S * pace for t in chunk.times_ns if t > now_ns]
        values = [self._grip_at(np.array([now_ns]))[0][0]]
        targets = np.clip(chunk.positions[-(len(times) - 1) :, self._grips], 0.0, 1.0)
        for target, step_s in zip(targets, np.diff(times), strict=True):
            reach = self._speed * step_s
            values.append(values[-1] + np.clip(target - values[-1], -reach, reach))
        self._grip(now_ns, np.array(times), np.array(values))

    def _grip(self, origin_ns: int, times_s: FloatArray, values: FloatArray) -> None:
        self._grip_origin_ns, self._grip_times, self._gripper = origin_ns, times_s, values

    def _grip_at(self, times_ns: np.ndarray) -> tuple[FloatArray, FloatArray]:
        s = (times_ns - self._grip_origin_ns) / NS_PER_S
        columns = range(self._gripper.shape[-1])
        value = np.stack([np.interp(s, self._grip_times, self._gripper[:, i]) for i in columns], axis=1)
        if len(self._grip_times) < 2:
            return value, np.zeros_like(value)
        slopes = np.diff(self._gripper, axis=0) / np.diff(self._grip_times)[:, None]
        slopes = np.vstack((np.zeros_like(slopes[:1]), slopes, np.zeros_like(slopes[:1])))
        return value, slopes[np.searchsorted(self._grip_times, s, side="right")]

    def _commit(self, motion: Spline, now_ns: int) -> None:
        self._motion, self._origin_ns = motion, now_ns

    def _require(self) -> Spline:
        if self._motion is None:
            raise ShapeError("the splicer has no position yet; call start with the measured one first")
        return self._motion

    def _state(self, now_ns: int) -> State:
        return self._require().at((now_ns - self._origin_ns) / NS_PER_S)

    def _evaluate(self, times_ns: np.ndarray) -> tuple[FloatArray, FloatArray, FloatArray]:
        arms = self._require().sample((times_ns - self._origin_ns) / NS_PER_S)
        grips = (*self._grip_at(times_ns), np.zeros((len(times_ns), int(self._grips.sum()))))
        out = tuple(np.zeros((len(times_ns), len(self.names))) for _ in range(3))
        for whole, arm, grip in zip(out, arms, grips, strict=True):
            whole[:, self._arms] = arm
            whole[:, self._grips] = grip
        return out[0], out[1], out[2]
