# SPDX-License-Identifier: Apache-2.0
"""How smooth, how late and how idle a motion is, from nothing but its evenly sampled positions.

The five figures are read together: jerk alone rewards lag, lag alone rewards jumps. All take (N, J)
positions of the arms [rad] at one step, so that commanded, measured and demonstrated motions and
peers that publish no derivative are judged alike.
"""

from __future__ import annotations

import numpy as np

from wam_ros.core.limits import Limits
from wam_ros.core.types import FloatArray

# Third differences of rounded doubles at 5 ms are wrong by 1e-8; a real excess is far above this.
ROUNDING = 1e-6


def jerk_rms(positions: FloatArray, step_s: float) -> float:
    """Root mean square of the third difference over all joints and times [rad/s^3]."""
    return float(np.sqrt(np.mean((np.diff(positions, 3, axis=0) / step_s**3) ** 2)))


def violations(positions: FloatArray, step_s: float, limits: Limits) -> int:
    """Number of samples at which some joint leaves its position, velocity, acceleration or jerk bound.

    Differences of a motion within its bounds are within them too, whatever the step.
    """
    outside = np.maximum(limits.lower - positions, positions - limits.upper) > ROUNDING
    broken = np.asarray(outside.any(axis=1))
    for order, bound in ((1, limits.velocity), (2, limits.acceleration), (3, limits.jerk)):
        beyond = np.abs(np.diff(positions, order, axis=0)) / step_s**order > bound * (1 + ROUNDING)
        broken[order:] |= beyond.any(axis=1)
    return int(broken.sum())


def idle_share(positions: FloatArray, step_s: float, still_rad_s: float) -> float:
    """Share of the time in which no joint moves faster than a threshold."""
    speed = np.abs(np.diff(positions, axis=0)).max(axis=1) / step_s
    return float(np.mean(speed < still_rad_s))


def lag_s(positions: FloatArray, wanted: FloatArray, step_s: float, longest_s: float = 0.5) -> float:
    """Delay at which a motion is nearest to the wanted one, in the mean square over all joints [s].

    Negative where it is ahead. Between two steps the least of a parabola is taken.
    """
    reach = min(round(longest_s / step_s), (len(positions) - 1) // 2)
    shifts = np.arange(-reach, reach + 1)
    inner = slice(reach, len(positions) - reach)
    here = positions[inner]
    cost = np.array([np.mean((here - wanted[reach - k : len(wanted) - reach - k]) ** 2) for k in shifts])
    best = int(np.argmin(cost))
    if 0 < best < len(cost) - 1:
        left, middle, right = cost[best - 1 : best + 2]
        bend = left - 2 * middle + right
        return float((shifts[best] + (0.5 * (left - right) / bend if bend > 0 else 0.0)) * step_s)
    return float(shifts[best] * step_s)


def error_rms(positions: FloatArray, wanted: FloatArray) -> float:
    """Root mean square distance to the wanted motion [rad]."""
    return float(np.sqrt(np.mean((positions - wanted) ** 2)))
