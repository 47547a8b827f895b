# SPDX-License-Identifier: Apache-2.0
"""Peers' ways of joining chunks as their users run them: no limits, no tail.

Re-created from their published descriptions and played at their best: rows are interpolated evenly
in time although most send one target per row, and late rows are dropped by time, not by counting.
"""

from __future__ import annotations

import numpy as np

from wam_ros.core.methods import Newest, at_times
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray
from wam_ros.motion.splicer import Setpoint


class Rows:
    """Plays a method's rows as straight lines; after the last row it stands there."""

    def __init__(self, method: Newest) -> None:
        self._method = method
        self._times_ns: list[int] = []
        self._rows = np.zeros((0, 0))

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at a position."""
        self._times_ns, self._rows = [now_ns], np.asarray(position)[None]

    def offer(self, chunk: Chunk, now_ns: int) -> None:
        """Play the method's rows from now on."""
        followed = self._method.follow(chunk, self.positions(np.array([now_ns]))[0], now_ns)
        self._method.took(chunk, followed, now_ns)
        here, known = at_times(followed, (now_ns,))
        future = [i for i, time in enumerate(followed.times_ns) if time > now_ns]
        first = here if known[0] else self.positions(np.array([now_ns]))
        self._times_ns = [now_ns, *(followed.times_ns[i] for i in future)]
        self._rows = np.concatenate((first, followed.positions[future]))

    def positions(self, times_ns: np.ndarray) -> FloatArray:
        """(N,) times to (N, J) commanded positions."""
        at = (times_ns - self._times_ns[0]) / NS_PER_S
        knots = (np.array(self._times_ns) - self._times_ns[0]) / NS_PER_S
        return np.stack([np.interp(at, knots, column) for column in self._rows.T], axis=1)

    def sample(self, now_ns: int) -> Setpoint:
        """Return what to command now; only positions are sent."""
        position = self.positions(np.array([now_ns]))[0]
        return Setpoint(position, np.zeros_like(position), np.zeros_like(position))

    def velocity(self, now_ns: int) -> FloatArray:
        """(J,) commanded velocity just after a time."""
        step = 1_000
        here, next_ = self.positions(np.array([now_ns, now_ns + step]))
        return np.asarray((next_ - here) * (NS_PER_S / step))


class Polynomial(Rows):
    """A polynomial through all rows, and a quintic of 0.3 s that leads into it (VLA-RAIL, arXiv 2512.24673)."""

    DEGREE, BLEND_S = 7, 0.3

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at a position."""
        self._fit = self._blend = np.stack((position, np.zeros_like(position), np.zeros_like(position)))
        self._origin_ns = self._end_ns = now_ns
        self._blend_s = 0.0

    def offer(self, chunk: Chunk, now_ns: int) -> None:
        """Fit the rows, and lead from the present position, velocity and acceleration into the fit."""
        before = np.stack([d[0] for d in self._derivatives(np.array([now_ns]))])
        t = (np.array(chunk.times_ns) - now_ns) / NS_PER_S
        left = max(t[-1], 1e-3)
        basis = np.vander(t / left, self.DEGREE + 1, increasing=True)
        scale = left ** -np.arange(self.DEGREE + 1.0)[:, None]
        self._fit = np.linalg.lstsq(basis, chunk.positions, rcond=None)[0] * scale
        self._origin_ns, self._end_ns = now_ns, max(chunk.times_ns[-1], now_ns + round(self.BLEND_S * NS_PER_S))
        self._blend_s = self.BLEND_S
        after = np.stack([_power(self._fit, np.array([self.BLEND_S]), n)[0] for n in range(3)])
        self._blend = _quintic(before, after, self.BLEND_S)

    def positions(self, times_ns: np.ndarray) -> FloatArray:
        """(N,) times to (N, J) commanded positions."""
        return self._derivatives(times_ns)[0]

    def _derivatives(self, times_ns: np.ndarray) -> list[FloatArray]:
        moving = (times_ns < self._end_ns)[:, None]
        s = (np.minimum(times_ns, self._end_ns) - self._origin_ns) / NS_PER_S
        blending = (s < self._blend_s)[:, None]
        curves = [np.where(blending, _power(self._blend, s, n), _power(self._fit, s, n)) for n in range(3)]
        return [curves[0], np.where(moving, curves[1], 0.0), np.where(moving, curves[2], 0.0)]

    def velocity(self, now_ns: int) -> FloatArray:
        """(J,) commanded velocity just after a time."""
        velocity: FloatArray = self._derivatives(np.array([now_ns]))[1][0]
        return velocity


def _power(coefficients: FloatArray, s: FloatArray, derivative: int) -> FloatArray:
    """(N, J) a derivative of polynomials with (D, J) rising coefficients."""
    for _ in range(derivative):
        coefficients = coefficients[1:] * np.arange(1, len(coefficients))[:, None]
    return np.asarray(np.vander(s, len(coefficients), increasing=True) @ coefficients)


def _quintic(before: FloatArray, after: FloatArray, span_s: float) -> FloatArray:
    """(6, J) coefficients between two (3, J) states of position, velocity and acceleration."""
    ends = np.zeros((6, 6))
    for derivative in range(3):
        for power in range(derivative, 6):
            factor = np.prod(np.arange(power - derivative + 1, power + 1))
            ends[derivative, power] = factor * (power == derivative)
            ends[3 + derivative, power] = factor * span_s ** (power - derivative)
    return np.asarray(np.linalg.solve(ends, np.concatenate((before, after))), dtype=np.float64)
