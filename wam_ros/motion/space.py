# SPDX-License-Identifier: Apache-2.0
"""Chunks are followed only as far as the robot may go: a workspace, or whatever else is asked about positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.spline import Spline
from wam_ros.core.types import Chunk, FloatArray

Free = Callable[[FloatArray], NDArray[np.bool_]]
# Between two looks a tool at 1 m/s moves 10 cm; the rows in between were looked at as well.
LOOK_S = 0.1


class Space:
    """Where the robot may be.

    Args:
        free: (N, J) positions in robot order to (N,) whether the robot may be there; None: everywhere.
        arms: indices of the arms' joints.
    """

    def __init__(self, free: Free | None, arms: NDArray[np.int64]) -> None:
        self._free, self._arms = free, arms

    def cut(self, chunk: Chunk, here: FloatArray, now_ns: int) -> Chunk:
        """Return the rows before the first future one at which the robot may not be, but at least the first row."""
        if self._free is None:
            return chunk
        first = sum(time <= now_ns for time in chunk.times_ns)
        allowed = _from_first_free(self._free(np.concatenate((here[None], chunk.positions[first:]))))[1:]
        kept = max(first + (len(allowed) if allowed.all() else int(np.argmin(allowed))), 1)
        return replace(chunk, positions=chunk.positions[:kept], offsets_ns=chunk.offsets_ns[:kept])

    def holds(self, motion: Spline, here: FloatArray) -> bool:
        """True when a motion of the arms stays where the robot may be; (J,) here is the whole position."""
        if self._free is None:
            return True
        times_s = np.append(np.arange(0.0, motion.duration_s, LOOK_S), motion.duration_s)
        positions = np.repeat(here[None], len(times_s), axis=0)
        positions[:, self._arms] = motion.sample(times_s)[0]
        return bool(_from_first_free(self._free(positions)).all())


def _from_first_free(free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) count what comes before the first free position as free: who is outside may come in."""
    return np.asarray(free | ~np.maximum.accumulate(free) if free.any() else free)
