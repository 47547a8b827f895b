# SPDX-License-Identifier: Apache-2.0
"""From observations, and what motion did about them, to the rows of an episode."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from wam_ros.core.control import SOURCES
from wam_ros.core.episode import COMMITTED, NEXT_STATE, Row
from wam_ros.core.safety import POLICY
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray, Observation, Trajectory, seconds

#: What motion committed to is said again several times a second; older than this, it no longer commands.
_IN_FORCE_NS = 500_000_000
#: A longer hole is not filled: nobody knows what happened in it.
_LONGEST_FILL_NS = NS_PER_S
#: More than is said while a pre-roll waits; a person's chunks make motion say it 20 times a second.
_REMEMBERED = 256


class RowMaker:
    """Makes one row of each observation, as soon as it is known what was done next.

    A row's action is the target for one period after its stamp: what motion had committed to by then, or,
    when nothing commanded the arms (hand guiding), the state that followed. Where the leader camera lost
    frames, rows are filled in and say so, so that rows stay evenly spaced in time.

    Args:
        names: (J,) joints in robot order.
        period_ns: between rows.

    Attributes:
        instruction: the task in words, from now on.
        filled: rows filled in.
        holes: stretches too long to fill.
        crowded: observations left out because they followed the last one too closely.
        ended: why no more rows can follow; empty while they can.
    """

    def __init__(self, names: Sequence[str], period_ns: int) -> None:
        self.instruction = self.ended = ""
        self.filled = self.holes = self.crowded = 0
        self._names, self._period_ns = tuple(names), period_ns
        self._pending: Row | None = None
        self._committed: deque[Trajectory] = deque(maxlen=_REMEMBERED)
        self._chunks: deque[Chunk] = deque(maxlen=_REMEMBERED)
        self._leaders: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)

    def renewed(self) -> RowMaker:
        """Return a maker for the next episode that remembers what has been said up to now."""
        new = RowMaker(self._names, self._period_ns)
        new.instruction = self.instruction
        new._committed, new._chunks, new._leaders = self._committed, self._chunks, self._leaders
        return new

    @property
    def leader(self) -> str:
        """Who leads the arms now; empty until somebody has said so."""
        return self._leaders[-1][1] if self._leaders else ""

    def on_leader(self, leader: str, now_ns: int) -> None:
        """Take who leads the arms from now on: a row is marked by who led at its time, not by who leads when it is made."""
        self._leaders.append((now_ns, leader))

    def on_committed(self, trajectory: Trajectory) -> None:
        """Take what motion will execute from now on; that of other joints is not ours."""
        if trajectory.names == self._names and trajectory.times_ns:
            self._committed.append(trajectory)

    def on_chunk(self, chunk: Chunk) -> None:
        """Take what the policy asks for."""
        if chunk.names == self._names:
            self._chunks.append(chunk)

    def add(self, observation: Observation) -> list[Row]:
        """Take an observation; return the rows that are complete now, in order."""
        row = self._row(observation)
        before = self._pending
        if before is None:
            self._pending = row
            return []
        gap_ns = row.stamp_ns - before.stamp_ns
        if gap_ns <= -_LONGEST_FILL_NS:
            self.ended = f"the clock went back {seconds(-gap_ns):.1f} s"
            return []
        if gap_ns < self._period_ns / 2:
            self.crowded += 1
            return []
        self._pending = row
        rows = [before, *self._between(before, row, gap_ns)]
        return [self._complete(now, after) for now, after in zip(rows, [*rows[1:], row], strict=True)]

    def finish(self) -> list[Row]:
        """Return the last row: without a command, its state is also its action."""
        last, self._pending = self._pending, None
        return [self._complete(last, last)] if last is not None else []

    def _row(self, seen: Observation) -> Row:
        return Row(
            stamp_ns=seen.stamp_ns,
            state=seen.joints.position,
            action=seen.joints.position,
            requested=None,
            action_source=NEXT_STATE,
            control_source="",
            capture_ns={name: view.stamp_ns for name, view in seen.views.items()},
            complete=seen.complete,
            filled=False,
            instruction=self.instruction,
            colors={name: view.color for name, view in seen.views.items()},
            depths={name: view.depth_m for name, view in seen.views.items() if view.depth_m is not None},
        )

    def _between(self, before: Row, after: Row, gap_ns: int) -> Iterator[Row]:
        """Rows in place of those whose leading frame was lost."""
        missing = round(gap_ns / self._period_ns) - 1
        if gap_ns > _LONGEST_FILL_NS:
            self.holes += 1
            return
        for number in range(1, missing + 1):
            share = number / (missing + 1)
            state = before.state + share * (after.state - before.state)
            stamp_ns = before.stamp_ns + round(share * gap_ns)
            self.filled += 1
            yield replace(before, stamp_ns=stamp_ns, state=state, filled=True, complete=False)

    def _complete(self, row: Row, after: Row) -> Row:
        at_ns = row.stamp_ns + self._period_ns
        command, requested = self._command(at_ns), self._request(at_ns)
        return replace(
            row,
            action=after.state if command is None else command,
            action_source=NEXT_STATE if command is None else COMMITTED,
            requested=requested,
            control_source=self._in_control(row.stamp_ns, command is not None, requested is not None),
        )

    def _in_control(self, stamp_ns: int, commanded: bool, requested: bool) -> str:
        """Who was in control: whom motion followed, if it commanded; where nobody says, a policy that asked for something."""
        said = next((leader for since_ns, leader in reversed(self._leaders) if since_ns <= stamp_ns), "")
        if said in SOURCES and not commanded:
            return ""
        return said or (POLICY if requested else "")

    def _command(self, at_ns: int) -> FloatArray | None:
        for trajectory in reversed(self._committed):
            if trajectory.times_ns[0] <= at_ns:
                stale = at_ns - trajectory.times_ns[0] > _IN_FORCE_NS
                return None if stale else _sample(trajectory.times_ns, trajectory.positions, at_ns)
        return None

    def _request(self, at_ns: int) -> FloatArray | None:
        for chunk in reversed(self._chunks):
            if chunk.times_ns[0] - self._period_ns <= at_ns:
                over = at_ns > chunk.times_ns[-1]
                return None if over else _sample(chunk.times_ns, chunk.positions, at_ns)
        return None


def _sample(times_ns: Sequence[int], positions: FloatArray, at_ns: int) -> FloatArray:
    """(N, J) positions at a time: straight lines between rows, constant beyond them."""
    after_ns = np.asarray(times_ns, dtype=np.int64) - times_ns[0]
    return np.array([np.interp(at_ns - times_ns[0], after_ns, column) for column in positions.T])
