# SPDX-License-Identifier: Apache-2.0
"""What the robot is committed to: chunks joined without a seam, within the limits, ending at rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np

from wam_ros.core.chunk import Admission, Outcome, outcome_of
from wam_ros.core.errors import ShapeError, UnsafeCommandError, WamError, mismatch
from wam_ros.core.grippers import Grippers, Openings
from wam_ros.core.limits import Limits
from wam_ros.core.methods import Newest, at_times, begin_ns, create_method, delayed
from wam_ros.core.robot import Robot
from wam_ros.core.spline import Spline, State
from wam_ros.core.task import Method
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray, Trajectory, frozen
from wam_ros.motion.phase import in_step
from wam_ros.motion.planner import Plan, Planner, Tuning
from wam_ros.motion.space import Free, Space
from wam_ros.motion.statistics import Statistics

__all__ = ["Outcome", "Setpoint", "Splicer", "Statistics", "Tuning"]


@dataclass(frozen=True)
class Setpoint:
    """What the joints are told at one time: (J,) in robot order, grippers normalised."""

    position: FloatArray
    velocity: FloatArray
    acceleration: FloatArray


class Splicer:
    """Joins chunks into one motion that is continuous, within limits and always ends at rest.

    Pure: time enters as nanoseconds on the clock of the chunks' stamps. Until ``start`` it has no
    position and refuses chunks. All positions are (J,) in robot order.

    Args:
        names: of the joints.
        limits: (J,) velocity, acceleration, jerk.
        bounds: (J,) lower, upper.
        gripper_mask: (J,) True for grippers.
        method: what of the chunks is followed, see ``core.methods``.
        tick_ns: distance of the points of ``committed``.
        tuning: how chunks are joined.
        gripper_latency_s: (G,) time from command to motion of each gripper.
        free: (N, J) positions to (N,) whether the robot may be there; chunks are followed as far as it may.
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
        gripper_latency_s: Sequence[float] | None = None,
        free: Free | None = None,
    ) -> None:
        self.names = tuple(names)
        self.method = method
        self.tuning = tune = tuning or Tuning()
        self.statistics = Statistics()
        self._tick_ns = tick_ns
        grips = np.array(gripper_mask, dtype=bool)
        self._grips, self._arms = np.flatnonzero(grips), np.flatnonzero(~grips)
        arms = Limits(*(np.asarray(x)[self._arms] for x in (*bounds, *limits)))
        latency_s = gripper_latency_s or [0.0] * len(self._grips)
        self._planner, self._space = Planner(arms, tune), Space(free, self._arms)
        self._grippers = Grippers(np.asarray(limits[0])[self._grips].tolist(), latency_s, tune.hysteresis)
        self._admission = Admission(names, tune.least_rows)
        self._running = False
        self._motion: Spline | None = None
        self._origin_ns = 0
        self._forget()

    @classmethod
    def for_robot(
        cls, robot: Robot, *, method: Method = "governed", tuning: Tuning | None = None, free: Free | None = None
    ) -> Splicer:
        """Return the splicer of a robot's joints, limits and command rate."""
        return cls(
            robot.joint_names,
            robot.motion_limits(),
            robot.bounds(),
            robot.gripper_mask,
            method=method,
            tick_ns=round(NS_PER_S / robot.command_rate_hz),
            tuning=tuning,
            gripper_latency_s=[arm.gripper.latency_s for arm in robot.arms],
            free=free,
        )

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Hold a position and accept chunks from now on."""
        position = np.asarray(position, dtype=np.float64)
        if position.shape != (len(self.names),):
            raise ShapeError(mismatch("start position", (len(self.names),), position.shape, "give one per joint"))
        self._forget()
        self._commit(Spline.rest(position[self._arms]), Openings.hold(position[self._grips]), now_ns)
        self._running = True

    def offer(self, chunk: Chunk, now_ns: int, live_fade_s: float | None = None) -> Outcome:
        """Join a chunk to what is committed, or say why not; what was committed then goes on.

        Args:
            chunk: to follow.
            now_ns: time of the take-over.
            live_fade_s: given where a person leads, who sees what the arms do: the rows are then followed as they
                are, whatever the method, and the difference to them is faded out over this time.
        """
        outcome = self._refusal(chunk, now_ns, live_fade_s) or self._join(chunk, now_ns, live_fade_s)
        self.statistics.count(outcome)
        return outcome

    def change_hands(self) -> None:
        """From now on somebody else's chunks come: what was remembered of the last ones says nothing about them."""
        self._forget()

    def refuse(self, error: WamError) -> Outcome:
        """Count a message that was not even a chunk, by the error that said so."""
        outcome = outcome_of(error)
        self.statistics.count(outcome)
        return outcome

    def approach(self, position: FloatArray, now_ns: int) -> None:
        """Go slowly to a position and rest there, for example to the first row of a chunk that was too far.

        Raises:
            UnsafeCommandError: when the position, or the way to it, lies where the robot may not be, or it is stopped.
        """
        motion = self._planner.approach(self._state(now_ns), np.asarray(position)[self._arms])
        if not self._running or motion is None:
            raise UnsafeCommandError("cannot approach this position; expected one inside the bounds, while running")
        if not self._space.holds(motion, self._evaluate(np.array([now_ns]))[0][0]):
            raise UnsafeCommandError(
                "cannot approach this position; the way to it leaves the workspace, lead the arms there"
            )
        grip = np.stack((self._opening(now_ns), np.clip(np.asarray(position)[self._grips], 0.0, 1.0)))
        span_s = max(motion.duration_s, 1.0)
        self._commit(motion, self._grippers.follow(grip[0], np.array([0.0, span_s]), grip), now_ns)

    def stop(self, now_ns: int) -> None:
        """Decelerate to rest, grippers as they are, and accept no chunk captured before now."""
        self._running = False
        self._admission.forget_before(now_ns)
        if self._motion is None:
            return
        # Where the shortest stop would leave the bounds, the committed motion keeps them and ends at rest too.
        motion = self._planner.stop(self._state(now_ns)) or self._motion.after(self._since_s(now_ns))
        self._commit(motion, Openings.hold(self._opening(now_ns)), now_ns)

    def sample(self, now_ns: int) -> Setpoint:
        """Return what to command now."""
        if self._joined_ns:
            self.statistics.tick(idle=now_ns >= self.at_rest_ns)
        return Setpoint(*(frozen(values[0]) for values in self._evaluate(np.array([now_ns]))))

    def committed(self, now_ns: int) -> Trajectory:
        """Return what will be executed from now on, tick by tick; its last row is at rest."""
        count = -(-max(self.at_rest_ns - now_ns, 0) // self._tick_ns) + 1
        return self.trajectory(now_ns + self._tick_ns * np.arange(count))

    def trajectory(self, times_ns: np.ndarray) -> Trajectory:
        """Return what is committed at (N,) rising times, none of them before the newest change."""
        return Trajectory(self.names, tuple(times_ns.tolist()), *self._evaluate(times_ns))

    @property
    def at_rest_ns(self) -> int:
        """Time from which the committed motion rests."""
        return self._origin_ns + int(np.ceil(self._committed().duration_s * NS_PER_S))

    def _refusal(self, chunk: Chunk, now_ns: int, live_fade_s: float | None) -> Outcome | None:
        if not self._running:
            return Outcome.NOT_RUNNING
        if refusal := self._admission.refusal(chunk, now_ns):
            return refusal
        waits = self._method.waits and live_fade_s is None
        return Outcome.NOT_AT_REST if waits and chunk.stamp_ns < self.at_rest_ns else None

    def _join(self, chunk: Chunk, now_ns: int, live_fade_s: float | None) -> Outcome:
        state, here = self._state(now_ns), self._evaluate(np.array([now_ns]))[0][0]
        method = self._method if live_fade_s is None else Newest()
        lag_ns = self._lag_ns(chunk, here, now_ns, method, stands=state.rests)
        if lag_ns is None:
            return Outcome.TOO_FAR
        follow = method.follow(delayed(chunk, lag_ns), here, now_ns)
        if live_fade_s is None:
            follow = in_step(follow, self._arms, state, now_ns, self.tuning.cutoff_hz)
        fades_s = self._fades_s(now_ns) if live_fade_s is None else [live_fade_s]
        plan = self._plan(state, follow, now_ns, fades_s)
        if plan is not None and not self._space.holds(plan.motion, here):
            follow = self._space.cut(follow, here, now_ns)
            plan = self._plan(state, follow, now_ns, fades_s)
            if plan is None or not self._space.holds(plan.motion, here):
                return Outcome.OUTSIDE
        if plan is None:
            return Outcome.TOO_FAST
        times_s = plan.slower * (np.array(follow.times_ns) - now_ns) / NS_PER_S
        openings = self._grippers.follow(here[self._grips], times_s, follow.positions[:, self._grips])
        self._commit(plan.motion, openings, now_ns)
        self._admission.took(chunk)
        method.took(chunk, follow, now_ns)
        self._joined_ns.append(now_ns)
        self.statistics.seam(state, self._state(now_ns))
        if lag_ns:
            return Outcome.BEHIND
        return Outcome.ACCEPTED if plan.slower == 1.0 else Outcome.SLOWED

    def _plan(self, state: State, follow: Chunk, now_ns: int, fades_s: Sequence[float]) -> Plan | None:
        """Return the motion that follows a chunk's future, None when it has too little or breaks a limit."""
        if follow.times_ns[-1] <= now_ns:
            return None
        since_s = (now_ns - follow.times_ns[0]) / NS_PER_S
        rows = follow.positions[:, self._arms]
        return self._planner.follow(state, follow.offsets_ns, rows, since_s, self._gap_s(now_ns), fades_s)

    def _lag_ns(self, chunk: Chunk, here: FloatArray, now_ns: int, method: Newest, *, stands: bool) -> int | None:
        """Time by which the robot is behind a chunk, None when it is nowhere near the path up to now.

        As a rule none: rows belong to their times. But a robot that stands has missed nothing: it walks the path from
        where it is, mostly the beginning, instead of hurrying after the row of now. So does one that was slowed, and
        is nowhere near that row.
        """
        off = self._distances(at_times(chunk, (now_ns,))[0], here)[0]
        past = [time for time in chunk.times_ns if time <= now_ns]
        if method.waits or off <= (self.tuning.near_rad if stands and past else self.tuning.far_rad):
            return 0
        distances = self._distances(chunk.positions[: len(past)], here)
        nearest = int(np.argmin(distances)) if past else 0
        if not past or distances[nearest] > self.tuning.far_rad:
            return None
        return now_ns - (past[nearest] if nearest else begin_ns(chunk))

    def _distances(self, rows: FloatArray, here: FloatArray) -> FloatArray:
        return np.asarray(np.abs(rows - here)[:, self._arms].max(axis=1))

    def _fades_s(self, now_ns: int) -> list[float]:
        """Times over which to fade into a chunk that lands now: until the next one as far as can be known, and longer."""
        landed, tune = sorted({*self._joined_ns, now_ns}), self.tuning
        gaps = [later - earlier for earlier, later in pairwise(landed)]
        gap_s = median(gaps or [0]) / NS_PER_S  # one chunk that is late or early does not change the rhythm
        return [min(max(tune.least_fade_s, gap_s), tune.fade_s), tune.fade_s]

    def _gap_s(self, now_ns: int) -> float:
        """Time until the next chunk is expected; one late chunk is not yet a slow policy."""
        before = [joined for joined in self._joined_ns if joined < now_ns][-3:]
        gaps = [later - earlier for earlier, later in pairwise(before)]
        return min(gaps) / NS_PER_S if len(gaps) == 2 and not self._method.waits else 0.0

    def _forget(self) -> None:
        self._method = create_method(self.method, self._grip_mask, self.tuning.wait_rows)
        self._joined_ns: deque[int] = deque(maxlen=4)

    @property
    def _grip_mask(self) -> list[bool]:
        return [i in self._grips for i in range(len(self.names))]

    def _commit(self, motion: Spline, openings: Openings, now_ns: int) -> None:
        self._motion, self._openings, self._origin_ns = motion, openings, now_ns

    def _committed(self) -> Spline:
        if self._motion is None:
            raise UnsafeCommandError("the splicer has no position yet; call start with the measured one first")
        return self._motion

    def _since_s(self, now_ns: int) -> float:
        return (now_ns - self._origin_ns) / NS_PER_S

    def _state(self, now_ns: int) -> State:
        return self._committed().at(self._since_s(now_ns))

    def _opening(self, now_ns: int) -> FloatArray:
        return np.asarray(self._openings.sample(np.array([self._since_s(now_ns)]))[0][0])

    def _evaluate(self, times_ns: np.ndarray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(N,) times to (N, J) positions, velocities, accelerations of arms and grippers."""
        since_s = (times_ns - self._origin_ns) / NS_PER_S
        arms = self._committed().sample(since_s)
        grips = self._openings.sample(since_s)
        position, velocity, acceleration = (np.zeros((len(times_ns), len(self.names))) for _ in range(3))
        for whole, values in zip((position, velocity, acceleration), arms, strict=True):
            whole[:, self._arms] = values
        position[:, self._grips], velocity[:, self._grips] = grips
        return position, velocity, acceleration
