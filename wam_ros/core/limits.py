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

    def slowing(self, motion: Spline) -> float:
        """Factor by which a motion must at least be slowed to keep velocity, acceleration and jerk; 1 when it does."""
        factors = (
            _largest(motion.velocities, self.velocity),
            _largest(_velocity_peaks(motion), self.velocity),
            _largest(motion.accelerations, self.acceleration) ** (1 / 2),
            _largest(motion.jerks, self.jerk) ** (1 / 3),
        )
        worst = max(factors)
        return worst if worst > ROUNDING else 1.0

    def overshoot(self, motion: Spline) -> tuple[FloatArray, FloatArray]:
        """(J,), (J,) how far a motion goes below and above the position bounds, beyond where it starts."""
        positions = np.concatenate((motion.positions, _position_turns(motion)))
        below = np.minimum(self.lower, motion.positions[0]) - positions.min(axis=0)
        above = positions.max(axis=0) - np.maximum(self.upper, motion.positions[0])
        return np.where(below > ROUNDING_RAD, below, 0.0), np.where(above > ROUNDING_RAD, above, 0.0)

    def contains(self, motion: Spline) -> bool:
        """True when no position leaves the bounds, or leaves them farther than where the motion starts."""
        return not any(amount.any() for amount in self.overshoot(motion))

    def admit(self, motion: Spline) -> bool:
        """True when a motion keeps every bound at every time, not only at its knots."""
        return self.slowing(motion) == 1.0 and self.contains(motion)


def _largest(values: FloatArray, bound: FloatArray) -> float:
    return float((np.abs(values) / bound).max(initial=0.0))


def _velocity_peaks(motion: Spline) -> FloatArray:
    """(M, J) velocity where the acceleration of a piece crosses zero; the piece's start where it does not."""
    a, j = motion.accelerations[:-1], motion.jerks
    crosses = (a * motion.accelerations[1:] < 0) & (j != 0)
    drop = np.divide(a * a, 2 * j, out=np.zeros_like(a), where=crosses)
    return motion.velocities[:-1] - drop


def _position_turns(motion: Spline) -> FloatArray:
    """(2 M, J) positions where the velocity of a piece crosses zero; the piece's start where it does not."""
    p, v, a, j = motion.positions[:-1], motion.velocities[:-1], motion.accelerations[:-1], motion.jerks
    h = np.diff(motion.knots_s)[:, None]
    root = np.sqrt(np.maximum(a * a - 2 * j * v, 0.0))
    stable = -(a + np.where(a >= 0, root, -root))
    safe_j, safe_stable = np.where(j == 0, 1.0, j), np.where(stable == 0, 1.0, stable)
    with np.errstate(over="ignore"):  # a jerk of almost nothing puts the turn far outside the piece
        turns = np.stack((np.where(j == 0, 0.0, stable / safe_j), np.where(stable == 0, 0.0, 2 * v / safe_stable)))
    s = np.clip(turns, 0.0, h)
    return np.concatenate(p + (v + (a / 2 + j * s / 6) * s) * s)
