# SPDX-License-Identifier: Apache-2.0
"""How smooth the commanded motion is and how far the arms are behind it, kept up to date tick by tick."""

from __future__ import annotations

from collections import deque

import numpy as np

from wam_ros.core.types import FloatArray


class MotionMeter:
    """Sums over the ticks since :meth:`restart`; nothing else is kept, so that it costs the same after an hour.

    Args:
        step_s: time between two ticks.
    """

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self.restart()

    def restart(self) -> None:
        """Forget everything."""
        self._last: deque[FloatArray] = deque(maxlen=4)
        self._jerk_sum, self._jerks = 0.0, 0
        self._speed_sum = self._behind_sum = self._error_sum = 0.0
        self._errors = 0

    def add(self, commanded: FloatArray, measured: FloatArray | None) -> None:
        """Take one tick.

        Args:
            commanded: (J,) of the arms [rad].
            measured: the same joints, felt before this tick; None: unknown.
        """
        self._last.append(commanded)
        if len(self._last) == 4:
            a, b, c, d = self._last
            jerk = (d - 3 * c + 3 * b - a) / self._step_s**3
            self._jerk_sum += float(jerk @ jerk)
            self._jerks += len(jerk)
        if measured is not None and len(self._last) > 1:
            velocity, behind = (commanded - self._last[-2]) / self._step_s, commanded - measured
            self._speed_sum += float(velocity @ velocity)
            self._behind_sum += float(velocity @ behind)
            self._error_sum += float(behind @ behind)
            self._errors += len(behind)

    @property
    def jerk_rms_rad_s3(self) -> float:
        """Root mean square of the third difference of what is commanded, as :func:`wam_ros.core.seams.jerk_rms`."""
        return float(np.sqrt(self._jerk_sum / self._jerks)) if self._jerks else 0.0

    @property
    def tracking_lag_s(self) -> float:
        """Delay that explains best, in least squares, how far the arms are behind what is commanded; 0 at rest.

        To first order what is measured is the command less delay times velocity.
        """
        return self._behind_sum / self._speed_sum if self._speed_sum > 0 else 0.0

    @property
    def tracking_rms_rad(self) -> float:
        """Root mean square distance between what is commanded and what is measured."""
        return float(np.sqrt(self._error_sum / self._errors)) if self._errors else 0.0
