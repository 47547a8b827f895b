# SPDX-License-Identifier: Apache-2.0
"""Where the arms shall be while a calibration leads them: on a slow way, or resting at the end of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wam_ros.core.passage import Passage
from wam_ros.core.robot import Robot
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray

ROWS = 16
OFFSETS_NS = 50_000_000 * np.arange(ROWS)
"""Of a chunk's rows: as far as the arms go on when nothing more is said."""


class Drive:
    """The wish that motion is told.

    Args:
        robot: whose arms.
        speed_share: of the robot's limits.

    Attributes:
        at: (J,) where the arms rest, or set out from; None while they are not ours.
    """

    def __init__(self, robot: Robot, speed_share: float) -> None:
        self._names, self._limits, self._speed_share = robot.joint_names, robot.motion_limits(), speed_share
        self.at: FloatArray | None = None
        self._passage: Passage | None = None
        self._begun_ns = 0

    @property
    def under_way(self) -> bool:
        """A way has been begun, and has not been left."""
        return self._passage is not None

    @property
    def goal(self) -> FloatArray:
        """(J,) where the way ends."""
        assert self._passage is not None
        return self._passage.goal

    def take(self, here: FloatArray) -> None:
        """The arms are ours, and are told to be at (J,)."""
        if self.at is None:
            self.at = np.array(here)

    def lose(self) -> None:
        """The arms are somebody else's."""
        self.at, self._passage = None, None

    def set_out(self, way: Sequence[FloatArray], now_ns: int) -> None:
        """Begin a way at control time ``now_ns``."""
        self._passage, self._begun_ns = Passage(way, self._limits, self._speed_share), now_ns

    def leave(self) -> None:
        """Rest where the way ends."""
        if self._passage is not None:
            self.at, self._passage = self._passage.goal, None

    def over_s(self, now_ns: int) -> float:
        """Time since the end of the way; negative before it."""
        assert self._passage is not None
        return (now_ns - self._begun_ns) / NS_PER_S - self._passage.duration_s

    def chunk(self, now_ns: int, stamp_ns: int) -> Chunk | None:
        """Return where the arms shall be from control time ``now_ns`` on, which stamps call ``stamp_ns``.

        None while they are not ours. At rest it says so: what leads must prove itself alive.
        """
        if self.at is None:
            return None
        rows = np.tile(self.at, (ROWS, 1))
        if self._passage is not None:
            rows = self._passage.at((now_ns - self._begun_ns + OFFSETS_NS) / NS_PER_S)
        return Chunk(stamp_ns, self._names, rows, tuple(OFFSETS_NS.tolist()))
