# SPDX-License-Identifier: Apache-2.0
"""What is committed, at the times of a chunk's rows: the prefix that real-time chunking plans on from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wam_ros.core.types import Trajectory


def row_times_ns(stamp_ns: int, rate_hz: float, horizon: int) -> tuple[int, ...]:
    """(K,) times of the rows of a chunk captured at ``stamp_ns``; the first lies one period later."""
    return tuple(stamp_ns + round((i + 1) * 1e9 / rate_hz) for i in range(horizon))


def committed_rows(committed: Trajectory, times_ns: Sequence[int]) -> Trajectory | None:
    """Return the committed motion at these times, linearly between its points.

    Times before its first point get the first point. Times after its end are left out: there the
    robot is at rest and free. None if nothing is left.
    """
    if not committed.times_ns:
        return None
    times = tuple(t for t in times_ns if t <= committed.times_ns[-1])
    if not times:
        return None
    # Differences first: nanoseconds since 1970 do not fit into a float's 53 bits.
    origin = committed.times_ns[0]
    knots = np.array([t - origin for t in committed.times_ns], dtype=np.float64)
    wanted = np.array([t - origin for t in times], dtype=np.float64)
    after = np.clip(np.searchsorted(knots, wanted), 1, len(knots) - 1) if len(knots) > 1 else np.zeros(len(times), int)
    before = np.maximum(after - 1, 0)
    span = np.maximum(knots[after] - knots[before], 1.0)
    weight = np.clip((wanted - knots[before]) / span, 0.0, 1.0)[:, None]
    columns = (committed.positions, committed.velocities, committed.accelerations)
    return Trajectory(committed.names, times, *(c[before] + weight * (c[after] - c[before]) for c in columns))
