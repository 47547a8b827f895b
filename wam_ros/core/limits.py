# SPDX-License-Identifier: Apache-2.0
"""What a motion may do, and the exact check that it does no more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.spline import Spline
from wam_ros.core.types import FloatArray

# Bounds hold to rounding of the integration; a thousandth of a milliradian is far below any encoder.
ROUNDING_RAD = 1e-9
ROUNDING = 1 + 1e-9


@dataclass(frozen=True)
class Limits:
    """Bounds of J joints.

    Attributes:
        lower, upper: (J,) positions [rad].
        velocity, acceleration, jerk: (J,) magnitudes [rad/s, rad/s^2, rad/s^3].
    """

    lower: FloatArray
    upper: FloatArray
    velocity: FloatArray
    acceleration: FloatArray
    jerk: FloatArray

    def __post_init__(self) -> None:
        shapes = {np.shape(x) for x in (self.lower, self.upper, self.velocity, self.acceleration, self.jerk)}
        if len(shapes) != 1:
            raise ConfigError(mismatch("limits", "arrays of one length", sorted(shapes), "give one value per joint"))

    def scaled(self, share: float) -> Limits:
        """Return the same bounds with a share of velocity, acceleration and jerk."""
        return Limits(self.lower, self.upper, share * self.velocity, share * self.acceleration, share * self.jerk)

    def excess(self, motion: Spline) -> float:
        """Largest of |v|, |a|, |j| over their bounds anywhere in a motion; 1 is just allowed."""
        ratios = (
            np.abs(motion.jerks) / self.jerk,
            np.abs(motion.accelerations) / self.acceleration,
            np.abs(motion.velocities) / self.velocity,
            np.abs(_velocity_peaks(motion)) / self.velocity,
        )
        return float(max((ratio.max() for ratio in ratios if ratio.size), default=0.0))

    def contains(self, motion: Spline) -> bool:
        """True when no position leaves the bounds, or leaves them farther than it did at the start."""
        lower = np.minimum(self.lower, motion.positions[0]) - ROUNDING_RAD
        upper = np.maximum(self.upper, motion.positions[0]) + ROUNDING_RAD
        turns = _position_turns(motion)
        return bool(
            (motion.positions >= lower).all()
            and (motion.positions <= upper).all()
            and (turns >= lower).all()
            and (turns <= upper).all()
        )

    def admit(self, motion: Spline) -> bool:
        """True when a motion keeps every bound at every time, not only at its knots."""
        return self.excess(motion) <= ROUNDING and self.contains(motion)


def _velocity_peaks(motion: Spline) -> FloatArray:
    """(M, J) velocity where the acceleration of a piece crosses zero; the piece's start where it does not."""
    a, j = motion.accelerations[:-1], motion.jerks
    crosses = (a * motion.accelerations[1:] < 0) & (j != 0)
    drop = np.divide(a * a, 2 * j, out=np.zeros_like(a), where=crosses)
    return motion.velocities[:-1] - drop


def _position_turns(motion: Spline) -> FloatArray:
    """(2, M, J) positions where the velocity of a piece crosses zero; the piece's start where it does not."""
    p, v, a, j = motion.positions[:-1], motion.velocities[:-1], motion.accelerations[:-1], motion.jerks
    h = np.diff(motion.knots_s)[:, None]
    root = np.sqrt(np.maximum(a * a - 2 * j * v, 0.0))
    stable = -(a + np.where(a >= 0, root, -root))
    safe_j, safe_stable = np.where(j == 0, 1.0, j), np.where(stable == 0, 1.0, stable)
    turns = np.stack((np.where(j == 0, 0.0, stable / safe_j), np.where(stable == 0, 0.0, 2 * v / safe_stable)))
    s = np.clip(turns, 0.0, h)
    return p + (v + (a / 2 + j * s / 6) * s) * s
