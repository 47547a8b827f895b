# SPDX-License-Identifier: Apache-2.0
"""From where a person wants the arms now to a short chunk that says where he is going, and ends at rest.

The end is what makes letting go safe: without a next chunk the arms follow this one to its end and stand. Looking
ahead makes up for part of the time that joining takes: the arms are about 0.16 s behind a hand, 0.25 s without it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from wam_ros.core.types import Chunk, FloatArray, nanoseconds, seconds

#: Time constant with which the hand is expected to come to rest, the rows' spacing, and their number.
REST_S, ROW_S, ROWS = 0.1, 0.05, 9
#: Speed is taken over this time: shorter, a leader's encoder noise is multiplied; longer, it comes late.
SPEED_S = 0.1


def ahead(stamp_ns: int, names: Sequence[str], position: FloatArray, velocity: FloatArray) -> Chunk:
    """Return the chunk of a hand at (J,) ``position`` with (J,) ``velocity`` [1/s] that comes to rest."""
    times_s = ROW_S * np.arange(ROWS)
    way_s = REST_S * (1 - np.exp(-times_s / REST_S))
    rows = position + way_s[:, None] * velocity
    return Chunk(stamp_ns, tuple(names), rows, tuple(nanoseconds(t) for t in times_s))


class Speedometer:
    """The speed of a hand whose positions are told one by one; grippers have none, for nobody foresees a grip."""

    def __init__(self, gripper_mask: Sequence[bool]) -> None:
        self._arms = ~np.array(gripper_mask)
        self._told: deque[tuple[int, FloatArray]] = deque()

    def forget(self) -> None:
        """The hand has been put somewhere else."""
        self._told.clear()

    def tell(self, now_ns: int, position: FloatArray) -> FloatArray:
        """Take (J,) the position now; return (J,) the velocity over the last moment."""
        if self._told and now_ns <= self._told[-1][0]:
            self._told.clear()
        self._told.append((now_ns, np.array(position)))
        while len(self._told) > 2 and now_ns - self._told[1][0] >= nanoseconds(SPEED_S):
            self._told.popleft()
        since_ns, before = self._told[0]
        if since_ns == now_ns:
            return np.zeros(len(position))
        return np.asarray((position - before) * self._arms / seconds(now_ns - since_ns))
