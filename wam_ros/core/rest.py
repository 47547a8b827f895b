# SPDX-License-Identifier: Apache-2.0
"""Whether arms rest, and since when, by their measured joints alone: whoever moves them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wam_ros.core.types import FloatArray


class Rest:
    """Watches measured joints.

    Args:
        names: (J,) of the joints.
        arms: (J,) True where a joint counts; grippers do not.
        tolerance_rad: a joint that stays within this is at rest; encoders tremble.

    Attributes:
        since_ns: time since which nothing has moved; None before the first measurement.
        mover: the joint that moved last.
        at: (J,) where the arms rest.
    """

    def __init__(self, names: Sequence[str], arms: Sequence[bool], tolerance_rad: float = 0.003) -> None:
        self._names, self._arms, self._tolerance_rad = tuple(names), np.array(arms), tolerance_rad
        self.since_ns: int | None = None
        self.mover = ""
        self.at: FloatArray = np.full(len(self._names), np.nan)

    def feel(self, stamp_ns: int, position: FloatArray) -> None:
        """Take a (J,) measurement."""
        apart = np.abs(position - self.at) * self._arms
        if self.since_ns is None or not apart.max() <= self._tolerance_rad:
            self.mover = "" if self.since_ns is None else self._names[int(apart.argmax())]
            self.since_ns, self.at = stamp_ns, np.array(position)

    def lasted_ns(self, now_ns: int) -> int:
        """How long the arms have rested; 0 before the first measurement."""
        return 0 if self.since_ns is None else max(0, now_ns - self.since_ns)
