# SPDX-License-Identifier: Apache-2.0
"""A motion of constant jerk pieces: exact to evaluate, to join and to check against limits.

Between two knots the jerk of each joint is constant, so acceleration is linear, velocity quadratic and
position cubic in time; p, v and a are continuous by construction, because they are integrals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wam_ros.core.types import FloatArray


@dataclass(frozen=True)
class State:
    """Position, velocity and acceleration of J joints at one time [rad, rad/s, rad/s^2]."""

    position: FloatArray
    velocity: FloatArray
    acceleration: FloatArray

    @classmethod
    def at_rest(cls, position: FloatArray) -> State:
        """Return the state that stands still at a position."""
        position = np.asarray(position, dtype=np.float64)
        return cls(position, np.zeros_like(position), np.zeros_like(position))

    @property
    def rests(self) -> bool:
        """True when it neither moves nor is about to, but for rounding."""
        # Far below what can be seen [rad/s, rad/s^2], far above what integration leaves.
        return bool(max(np.abs(self.velocity).max(), np.abs(self.acceleration).max()) < 1e-6)

    def __sub__(self, other: State) -> State:
        return State(
            self.position - other.position,
            self.velocity - other.velocity,
            self.acceleration - other.acceleration,
        )


@dataclass(frozen=True)
class Spline:
    """M pieces of constant jerk for J joints.

    Attributes:
        knots_s: (M + 1,) rising times, the first is 0.
        positions, velocities, accelerations: (M + 1, J) state at each knot.
        jerks: (M, J) jerk of each piece [rad/s^3].
    """

    knots_s: FloatArray
    positions: FloatArray
    velocities: FloatArray
    accelerations: FloatArray
    jerks: FloatArray

    @classmethod
    def from_jerks(cls, start: State, knots_s: FloatArray, jerks: FloatArray) -> Spline:
        """Integrate pieces of constant jerk from a state."""
        h = np.diff(knots_s)[:, None]
        a = _running(start.acceleration, jerks * h)
        v = _running(start.velocity, (a[:-1] + jerks * h / 2) * h)
        p = _running(start.position, (v[:-1] + (a[:-1] / 2 + jerks * h / 6) * h) * h)
        return cls(np.asarray(knots_s, dtype=np.float64), p, v, a, jerks)

    @classmethod
    def rest(cls, position: FloatArray) -> Spline:
        """Return the motion that stays where it is."""
        return cls.from_jerks(State.at_rest(position), np.zeros(1), np.zeros((0, len(position))))

    @property
    def start(self) -> State:
        """State at the first knot."""
        return State(self.positions[0], self.velocities[0], self.accelerations[0])

    @property
    def duration_s(self) -> float:
        """Time of the last knot."""
        return float(self.knots_s[-1])

    @property
    def end(self) -> State:
        """State at the last knot."""
        return State(self.positions[-1], self.velocities[-1], self.accelerations[-1])

    def at(self, time_s: float) -> State:
        """Return the state at a time; before the first knot the first state, after the last one rest there."""
        if time_s >= self.duration_s:
            return State.at_rest(self.positions[-1])
        p, v, a = self.sample(np.array([time_s]))
        return State(p[0], v[0], a[0])

    def sample(self, times_s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(N,) times to (N, J) positions, velocities, accelerations; at rest from the last knot on."""
        times = np.clip(times_s, 0.0, self.duration_s)
        piece = np.clip(np.searchsorted(self.knots_s, times, side="right") - 1, 0, max(len(self.jerks) - 1, 0))
        if not len(self.jerks):
            still = np.zeros((len(times), self.positions.shape[1]))
            return self.positions[piece], still, still
        s = (times - self.knots_s[piece])[:, None]
        j, a0, v0 = self.jerks[piece], self.accelerations[piece], self.velocities[piece]
        moving = (np.asarray(times_s) < self.duration_s)[:, None]
        a = np.where(moving, a0 + j * s, 0.0)
        v = np.where(moving, v0 + (a0 + j * s / 2) * s, 0.0)
        return self.positions[piece] + (v0 + (a0 / 2 + j * s / 6) * s) * s, v, a

    def after(self, time_s: float) -> Spline:
        """Return the rest of the motion, with the time counted from there."""
        time_s = min(max(time_s, 0.0), self.duration_s)
        first = int(np.searchsorted(self.knots_s, time_s, side="right"))
        knots = np.concatenate(([time_s], self.knots_s[first:])) - time_s
        return Spline.from_jerks(self.at(time_s), knots, self.jerks[max(first - 1, 0) :])

    def slowed(self, factor: float) -> Spline:
        """Return the same path in ``factor`` times the time."""
        start = State(self.positions[0], self.velocities[0] / factor, self.accelerations[0] / factor**2)
        return Spline.from_jerks(start, self.knots_s * factor, self.jerks / factor**3)


def _running(start: FloatArray, steps: FloatArray) -> FloatArray:
    return np.concatenate((start[None], start + np.cumsum(steps, axis=0)))
