# SPDX-License-Identifier: Apache-2.0
"""Finds the motion that follows a chunk, stops or approaches, and lets none pass that breaks a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wam_ros.core.limits import Limits
from wam_ros.core.reference import joined, play, smooth
from wam_ros.core.spline import Spline, State
from wam_ros.core.types import NS_PER_S, FloatArray
from wam_ros.motion.governor import Governor

# Each try repairs what the one before broke; chunks of real policies need one, two near a bound.
TRIES = 8


@dataclass(frozen=True)
class Tuning:
    """How chunks are joined.

    Attributes:
        fade_s: time over which the difference to a new chunk is faded out, at most: it is over before the next one is
            expected. A policy whose corrections were never done would miss what it aims at.
        least_fade_s: the same, at least, and where no rhythm is known yet.
        cutoff_hz: rows are believed up to this frequency; above it they are noise.
        margin_rad: rows nearer than this to a position bound are moved away, for room to overshoot a little.
        slowest: a chunk that must be slowed by more than this is refused.
        stop_share: share of the limits used to stop, when that is enough.
        approach_share: share of the limits used to approach a far chunk.
        near_rad: a robot that stands, and is nearer than this to the row of now, has not missed the beginning of the path.
        far_rad: a chunk whose path up to now is farther from the commanded position is refused.
        least_rows: a chunk with fewer rows in the future is late.
        wait_rows: rows executed at a time by the method that waits.
        hysteresis: smallest change of a gripper's opening.
    """

    fade_s: float = 0.9
    least_fade_s: float = 0.4
    cutoff_hz: float = 2.5
    margin_rad: float = 0.01
    slowest: float = 5.0
    stop_share: float = 0.9
    approach_share: float = 0.2
    near_rad: float = 0.01
    far_rad: float = 0.5
    least_rows: int = 2
    wait_rows: int = 16
    hysteresis: float = 0.02


@dataclass(frozen=True)
class Plan:
    """A motion within the limits that ends at rest, and by what factor it is slower than the chunk."""

    motion: Spline
    slower: float


class Planner:
    """Plans for the joints of all arms together; all its motions keep every limit at every time."""

    def __init__(self, limits: Limits, tuning: Tuning) -> None:
        self._limits, self._tuning = limits, tuning
        self._governor = Governor(limits)

    def follow(
        self,
        state: State,
        offsets_ns: tuple[int, ...],
        rows: FloatArray,
        since_s: float,
        last_s: float,
        fades_s: Sequence[float],
    ) -> Plan | None:
        """Return the motion that follows rows at the pace of the chunk, or as much slower as needed.

        Slowing is the same for all joints, so that both arms stay together. None when even the slowest
        pace breaks a limit.

        Args:
            state: of the committed motion at the take-over.
            offsets_ns: (K,) times of the rows.
            rows: (K, J) positions.
            since_s: take-over minus the time of the first row.
            last_s: time that the motion should last, because no other chunk is expected earlier.
            fades_s: times over which the difference to the rows may be faded out, at the pace of the chunk, shortest
                first. A longer one is taken before all is slowed, and the longest where it must be slowed anyway.
        """
        if self._hurry(offsets_ns, rows) > self._tuning.slowest:
            return None
        slower = self._stretch(offsets_ns, since_s, last_s)
        fade_s, *longer = fades_s if slower == 1.0 else fades_s[-1:]
        lower, upper = self._limits.lower + self._tuning.margin_rad, self._limits.upper - self._tuning.margin_rad
        for _ in range(TRIES):
            reference = play(smooth(offsets_ns, np.clip(rows, lower, upper), self._tuning.cutoff_hz), since_s, slower)
            motion = joined(state, reference, fade_s * slower)
            needed = self._limits.slowing(motion)
            if needed == 1.0 and self._limits.contains(motion):
                return Plan(motion, slower)
            if needed > 1.0 and longer:
                fade_s = longer.pop(0)
            elif needed > 1.0:
                slower *= 1.02 * needed
            elif self._limits.contains(reference):
                fade_s *= 0.6
            else:
                below, above = self._limits.overshoot(reference)
                lower, upper = lower + 1.5 * below, upper - 1.5 * above
            if slower > self._tuning.slowest:
                break
        return None

    def _hurry(self, offsets_ns: tuple[int, ...], rows: FloatArray) -> float:
        """Largest speed from row to row over its limit; what is far beyond it is no noise to be smoothed away."""
        steps_s = np.diff(offsets_ns)[:, None] / NS_PER_S
        return float((np.abs(np.diff(rows, axis=0)) / steps_s / self._limits.velocity).max(initial=0.0))

    def _stretch(self, offsets_ns: tuple[int, ...], since_s: float, last_s: float) -> float:
        """Factor by which a motion is slowed to last until the next chunk instead of resting before it."""
        left_s = (offsets_ns[-1] - offsets_ns[0]) / NS_PER_S - since_s
        return min(max(1.0, last_s / left_s), self._tuning.slowest) if left_s > 0 else 1.0

    def stop(self, state: State) -> Spline | None:
        """Return the shortest way to rest; None when it would leave the position bounds."""
        for share in (self._tuning.stop_share, 1.0):
            motion = self._governor.stop(state, share)
            if motion is not None and self._limits.admit(motion):
                return motion
        return None

    def approach(self, state: State, position: FloatArray) -> Spline | None:
        """Return a slow way to rest at a position; None when it lies outside the bounds."""
        motion = self._governor.move(state, State.at_rest(position), self._tuning.approach_share)
        return motion if motion is not None and self._limits.admit(motion) else None
