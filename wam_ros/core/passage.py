# SPDX-License-Identifier: Apache-2.0
"""A slow way through joint space: straight lines, at rest at every corner.

All joints keep one pace along a line, s(t) = 10 t^3 - 15 t^4 + 6 t^5, so that nothing leaves the line that was looked at
beforehand, and velocity, acceleration and jerk have known peaks (1.875 / T, 5.774 / T^2, 60 / T^3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wam_ros.core.types import FloatArray

PEAKS = (1.875, 5.774, 60.0)
"""Largest first, second and third derivative of the pace, for a duration of one."""
SHORTEST_S = 0.2


class Passage:
    """From rest at the first point to rest at the last.

    Args:
        points: (J,) positions, two or more.
        limits: (J,) velocity, acceleration and jerk.
        share: of the limits that is used.

    Attributes:
        duration_s: of the whole.
    """

    def __init__(
        self, points: Sequence[FloatArray], limits: tuple[FloatArray, FloatArray, FloatArray], share: float
    ) -> None:
        self._points = np.array(points, dtype=np.float64)
        moves = np.abs(np.diff(self._points, axis=0))
        needed = [
            (peak * moves / (limit * share)) ** (1 / order)
            for order, (peak, limit) in enumerate(zip(PEAKS, limits, strict=True), start=1)
        ]
        self._spans_s = np.maximum(np.max(needed, axis=(0, 2)), SHORTEST_S)
        self._begins_s = np.concatenate([[0.0], np.cumsum(self._spans_s)])
        self.duration_s = float(self._begins_s[-1])

    @property
    def goal(self) -> FloatArray:
        """(J,) where it ends."""
        goal: FloatArray = self._points[-1].copy()
        return goal

    def at(self, time_s: FloatArray) -> FloatArray:
        """(N, J) positions at (N,) times since the start; before it the start, after the end the goal."""
        time_s = np.clip(np.asarray(time_s, dtype=np.float64), 0.0, self.duration_s)
        line = np.clip(np.searchsorted(self._begins_s, time_s, side="right") - 1, 0, len(self._spans_s) - 1)
        t = (time_s - self._begins_s[line]) / self._spans_s[line]
        pace = t**3 * (10 + t * (6 * t - 15))
        way: FloatArray = self._points[line] + pace[:, None] * (self._points[line + 1] - self._points[line])
        return way
