# SPDX-License-Identifier: Apache-2.0
"""What the grippers are told: the newest intent, early by their latency, never faster than they are.

Grippers are not smoothed, averaged or faded: half open is neither what the old nor what the new
chunk meant. Small changes are ignored, so that noise does not wear the drive, and values near an
end mean the end, so that a grasp is firm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wam_ros.core.types import FloatArray


@dataclass(frozen=True)
class Openings:
    """Straight lines between normalised openings of G grippers; constant after the last.

    Attributes:
        times_s: (N,) rising, the first is 0.
        values: (N, G) 0 closed to 1 open.
    """

    times_s: FloatArray
    values: FloatArray

    @classmethod
    def hold(cls, value: FloatArray) -> Openings:
        """Return the openings that stay as they are."""
        return cls(np.zeros(1), np.asarray(value, dtype=np.float64)[None])

    def sample(self, times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(N,) times to (N, G) openings and their speed [1/s]."""
        piece = np.searchsorted(self.times_s, times_s, side="right")
        slopes = np.zeros((len(self.times_s) + 1, self.values.shape[1]))
        slopes[1:-1] = np.diff(self.values, axis=0) / np.diff(self.times_s)[:, None]
        start = np.maximum(piece - 1, 0)
        return self.values[start] + slopes[piece] * (times_s - self.times_s[start])[:, None], slopes[piece]


class Grippers:
    """Turns rows of openings into what the grippers are told.

    Args:
        speed_1_s: (G,) largest speed.
        latency_s: (G,) time from command to motion.
        hysteresis: a smaller change of intent is ignored, a value this near to an end is the end.
    """

    def __init__(self, speed_1_s: Sequence[float], latency_s: Sequence[float], hysteresis: float) -> None:
        self._speed = [float(speed) for speed in speed_1_s]
        self._latency = [float(latency) for latency in latency_s]
        self._hysteresis = hysteresis

    def follow(self, opening: FloatArray, times_s: FloatArray, rows: FloatArray) -> Openings:
        """Return what to tell from time 0 on.

        Args:
            opening: (G,) what they are told at time 0.
            times_s: (K,) time of each row, rising; may begin before 0.
            rows: (K, G) openings.
        """
        knots = np.concatenate((np.zeros(1), times_s[times_s > 0]))
        columns = [self._column(i, opening[i], knots, times_s, rows[:, i]) for i in range(len(self._speed))]
        return Openings(knots, np.array(columns).reshape(len(self._speed), len(knots)).T)

    def _column(self, i: int, opening: float, knots: FloatArray, times_s: FloatArray, rows: FloatArray) -> list[float]:
        near = self._hysteresis
        wanted = np.interp(knots + self._latency[i], times_s, np.clip(rows, 0.0, 1.0))
        wanted = np.where(wanted < near, 0.0, np.where(wanted > 1 - near, 1.0, wanted))
        told = [float(opening)]
        intent = wanted[0] if abs(wanted[0] - opening) > near else float(opening)
        for step_s, target in zip(np.diff(knots).tolist(), wanted[1:].tolist(), strict=True):
            if abs(target - intent) > near or target in (0.0, 1.0):
                intent = target
            reach = self._speed[i] * step_s
            told.append(told[-1] + min(max(intent - told[-1], -reach), reach))
        return told
