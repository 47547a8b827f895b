# SPDX-License-Identifier: Apache-2.0
"""Which chunks are taken, and the name of each reason not to."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np

from wam_ros.core.errors import ShapeError, WamError
from wam_ros.core.types import NS_PER_S, Chunk

# A chunk speaks of what comes next; one that begins later than this has another clock or rate.
LONGEST_LEAD_NS = round(0.3 * NS_PER_S)


class Outcome(enum.Enum):
    """What became of a chunk."""

    ACCEPTED = "accepted"
    SLOWED = "slowed"  # accepted, but the limits allow it only at a slower pace
    BEHIND = "behind"  # accepted, but begun at an earlier row, where the robot still is: it stood, or was slowed
    LATE = "late"  # too few rows lie in the future
    DUPLICATE = "duplicate"
    OLDER = "older"  # a chunk of a later observation is committed, or the robot was stopped after this one
    PAST = "past"  # no row lies in the future
    FUTURE = "future"  # captured or beginning later than it can be: two clocks
    WRONG_JOINTS = "wrong_joints"  # other names, another order or another number
    BAD_TIMES = "bad_times"  # unsorted, repeated or negative
    NOT_FINITE = "not_finite"
    NOT_AT_REST = "not_at_rest"  # captured in motion, by a method that waits
    TOO_FAR = "too_far"  # begins far from where the robot is; approach it slowly first
    OUTSIDE = "outside"  # would take a tool out of the workspace before anything is executed
    TOO_FAST = "too_fast"  # beyond the limits even at the slowest pace
    NOT_RUNNING = "not_running"  # before start, or after stop

    @property
    def accepted(self) -> bool:
        """True when the chunk is now what the robot executes."""
        return self in (Outcome.ACCEPTED, Outcome.SLOWED, Outcome.BEHIND)


def outcome_of(error: WamError) -> Outcome:
    """Name the reason why a message could not even be read as a chunk."""
    if not isinstance(error, ShapeError):
        return Outcome.NOT_FINITE
    return Outcome.BAD_TIMES if "row times" in str(error) else Outcome.WRONG_JOINTS


class Admission:
    """Takes chunks of the right joints, in the order of their observations, that still speak of the future."""

    def __init__(self, names: Sequence[str], least_rows: int) -> None:
        self._names = tuple(names)
        self._least_rows = least_rows
        self._taken_ns: int | None = None
        self._oldest_ns: int | None = None

    def refusal(self, chunk: Chunk, now_ns: int) -> Outcome | None:
        """Return why a chunk is not taken, None if it is; nothing is remembered yet."""
        future = sum(time > now_ns for time in chunk.times_ns)
        oldest = chunk.stamp_ns if self._oldest_ns is None else self._oldest_ns
        checks = (
            (chunk.names != self._names, Outcome.WRONG_JOINTS),
            (not np.isfinite(chunk.positions).all(), Outcome.NOT_FINITE),
            (chunk.offsets_ns[0] < 0, Outcome.BAD_TIMES),
            (chunk.stamp_ns > now_ns, Outcome.FUTURE),
            (chunk.times_ns[0] > now_ns + LONGEST_LEAD_NS, Outcome.FUTURE),
            (chunk.stamp_ns == self._taken_ns, Outcome.DUPLICATE),
            (chunk.stamp_ns < oldest, Outcome.OLDER),
            (future == 0, Outcome.PAST),
            (future < min(self._least_rows, len(chunk.offsets_ns)), Outcome.LATE),
        )
        return next((outcome for bad, outcome in checks if bad), None)

    def took(self, chunk: Chunk) -> None:
        """Remember a chunk that is executed now."""
        self._taken_ns = self._oldest_ns = chunk.stamp_ns

    def forget_before(self, now_ns: int) -> None:
        """Refuse from now on what was captured before a time."""
        self._oldest_ns = now_ns
