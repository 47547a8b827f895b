# SPDX-License-Identifier: Apache-2.0
"""Where on a chunk's path a moving robot already is.

A policy's next chunk often asks for the same path a tenth of a second earlier or later. Were it entered at the row of
now, the difference of place and speed would have to be faded out, and a fade carries arms beyond both paths: 2 cm below
the table where hands come down. So it is entered a little before or after the row of now (docs/adr/0016-in-step.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.methods import delayed
from wam_ros.core.reference import smooth
from wam_ros.core.spline import Spline, State
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray

MOST_S = 0.2
"""No chunk is entered farther from the row of now than this, nor than the row of now is from its first."""
_GRID_S = 0.01
#: Speeds count as the way they make in this time: two passes of one place are told apart.
_SPEED_S = 0.1
#: Speed of all joints together below which the row of now counts more than the place: nobody drifts away from the times.
_SLOW_RAD_S = 0.6


def in_step(chunk: Chunk, arms: NDArray[np.intp], state: State, now_ns: int, cutoff_hz: float) -> Chunk:
    """Return a chunk with times by which a moving robot is where it is on the chunk's path; grippers keep to it.

    Args:
        chunk: to be entered now.
        arms: (A,) places of the arms' joints in its rows.
        state: (A,) of the committed motion now.
        now_ns: time of the take-over.
        cutoff_hz: rows are believed up to this frequency.
    """
    rows, since_s = chunk.positions[:, arms], (now_ns - chunk.times_ns[0]) / NS_PER_S
    last_s = (chunk.offsets_ns[-1] - chunk.offsets_ns[0]) / NS_PER_S
    ahead_s = _ahead_s(state, smooth(chunk.offsets_ns, rows, cutoff_hz), since_s, last_s)
    return delayed(chunk, -round(NS_PER_S * ahead_s))


def _ahead_s(state: State, path: Spline, since_s: float, last_s: float) -> float:
    """How far beyond the row of now a robot is; negative before it, 0 for one that stands."""
    most_s = min(MOST_S, since_s)  # as far back as forward: what begins now is a plan with times of its own
    if state.rests or most_s <= 0:
        return 0.0
    steps = int(most_s / _GRID_S)
    shifts: FloatArray = _GRID_S * np.arange(-steps, steps + 1, dtype=np.float64)
    shifts = shifts[since_s + shifts < last_s]
    if not len(shifts):
        return 0.0
    places, speeds, _ = path.sample(np.maximum(since_s + shifts, 0.0))
    off = np.square(places - state.position).sum(axis=1) + _SPEED_S**2 * np.square(speeds - state.velocity).sum(axis=1)
    return float(shifts[np.argmin(off + np.square(_SLOW_RAD_S * shifts))])
