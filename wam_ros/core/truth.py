# SPDX-License-Identifier: Apache-2.0
"""What the simulator tells demonstrators and judges about the towel; no policy that runs on a robot reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.types import FloatArray, frozen

CORNERS = ("near_left", "near_right", "far_left", "far_right")
MIDDLES = ("middle_left", "middle_right")


@dataclass(frozen=True)
class TowelTruth:
    """Where the towel is and who holds it, in the robot's base frame.

    Attributes:
        placed: (3,) x [m], y [m] and yaw [rad] at which the attempt began.
        corners_m: (4, 3) present positions in the order of ``CORNERS``, as seen from the robot at yaw 0.
        middles_m: (2, 3) of the middles of the left and the right edge; a towel that is folded in half ends there.
        held: (arms,) number of grasped points of each arm.
    """

    placed: FloatArray
    corners_m: FloatArray
    middles_m: FloatArray
    held: FloatArray

    @staticmethod
    def names(arms: Sequence[str]) -> tuple[str, ...]:
        """Return the labels of the packed values."""
        points = [f"{point}_{axis}_m" for point in (*CORNERS, *MIDDLES) for axis in "xyz"]
        return ("placed_x_m", "placed_y_m", "placed_yaw_rad", *points, *(f"held_{arm}" for arm in arms))

    def pack(self) -> FloatArray:
        """Return the values in the order of :meth:`names`."""
        return frozen(np.concatenate([self.placed, self.corners_m.ravel(), self.middles_m.ravel(), self.held]))

    @classmethod
    def unpack(cls, values: FloatArray, arms: int) -> TowelTruth:
        """Return the truth of packed values.

        Raises:
            ShapeError: if there are not as many values as names.
        """
        expected = 21 + arms
        if np.shape(values) != (expected,):
            raise ShapeError(mismatch("towel truth", (expected,), np.shape(values), "send the values of sim/truth"))
        points = np.reshape(values[3:21], (6, 3))
        return cls(frozen(values[:3]), frozen(points[:4]), frozen(points[4:]), frozen(values[21:]))
