# SPDX-License-Identifier: Apache-2.0
"""Bring cameras and joints to one time: the capture time of the leader camera.

For each frame of the leader the nearest frame of every other camera is taken, and joint positions are
interpolated at the leader's stamp. A set is made as soon as nothing nearer can come, and at the latest
a deadline after the leader's frame arrived; what is too far away then is handed over as not fresh.
When the leader falls silent another camera leads until it is back.

Nothing here reads a clock: every call is told the time, in nanoseconds, of the clock of the stamps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.timeline import JUMP_NS, REORDER_NS, Match, StreamSpec, Timeline
from wam_ros.core.types import NS_PER_S, seconds

#: Measured with the traffic of the bench ``sync``, worst of ten seeds: 40 ms yields 98.9 % of the feasible
#: sets at 20 % loss, 44 ms 99.3 %, 50 ms 99.8 %; the longest gap in a stall is 88, 90 and 98 ms.
DEFAULT_DEADLINE_NS = 45_000_000
#: A leader that misses more periods is replaced until it is back.
_SILENT_PERIODS = 2
#: Sets over which statistics are taken.
_RECENT_SETS = 300
_BEFORE_ALL_NS = -(2**63)


class SyncedSet(NamedTuple):
    """Samples of all streams that belong to one time.

    Attributes:
        stamp_ns: capture time of the leading frame.
        leader: the stream that led.
        matches: stream name to its sample.
        wait_ns: how long after the arrival of the leading frame the set was made.
    """

    stamp_ns: int
    leader: str
    matches: Mapping[str, Match]
    wait_ns: int

    @property
    def complete(self) -> bool:
        """True when every sample is fresh."""
        return all(match.fresh for match in self.matches.values())


@dataclass(frozen=True)
class SyncStatistics:
    """How synchronising goes, over the last 300 sets; counters since the start.

    Attributes:
        sets, incomplete: sets made, and those of them with a sample that was not fresh.
        missing: stream name to the number of sets that could not be made for want of it.
        irregular: arrivals that were ``duplicate`` or ``late`` (dropped), or ``reordered`` (put in place).
        clock_jumps: how often everything was forgotten because time jumped.
        leader: the stream that leads now.
        sets_per_s: rate.
        skew_ms_p50, skew_ms_p99: largest distance of a frame from the leader's, of complete sets.
        wait_ms_p99: time from the leader's arrival to the set.
        age_ms: stream name to the age of its newest sample.
    """

    sets: int
    incomplete: int
    missing: Mapping[str, int]
    irregular: Mapping[str, int]
    clock_jumps: int
    leader: str
    sets_per_s: float
    skew_ms_p50: float
    skew_ms_p99: float
    wait_ms_p99: float
    age_ms: Mapping[str, float]


class Synchroniser:
    """Turn stamped samples of several streams into sets.

    Args:
        streams: all streams; those that may lead stand in the order in which they take over.
        leader: the stream that leads while it is alive.
        deadline_ns: longest wait after the arrival of a leading frame.

    Raises:
        ConfigError: the leader is not a stream that may lead.
    """

    def __init__(self, streams: Sequence[StreamSpec], leader: str, deadline_ns: int = DEFAULT_DEADLINE_NS) -> None:
        able = [s.name for s in streams if s.may_lead]
        if leader not in able:
            raise ConfigError(mismatch("leader", f"one of {able}", leader, "name a stream that may lead"))
        specs = {spec.name: spec for spec in streams}
        reach_ns = deadline_ns + (_SILENT_PERIODS + 1) * specs[leader].period_ns
        self._lines = {name: Timeline(spec, reach_ns + spec.max_skew_ns) for name, spec in specs.items()}
        self._all = tuple(self._lines.values())
        self._deadline_ns = deadline_ns
        self._preferred = self._lines[leader]
        self._able = (self._preferred, *(self._lines[name] for name in able if name != leader))
        self._leader = self._preferred
        self._done_ns = _BEFORE_ALL_NS
        self._now_ns: int | None = None
        self._sets = 0
        self._incomplete = 0
        self._jumps = 0
        self._missing: Counter[str] = Counter()
        self._irregular: Counter[str] = Counter()
        self._recent: deque[tuple[int, int, int, bool]] = deque(maxlen=_RECENT_SETS)

    def add(self, stream: str, stamp_ns: int, item: Any, now_ns: int) -> Sequence[SyncedSet]:
        """Take a sample; return the sets it makes possible, in the order of their stamps.

        Args:
            stream: name of its stream.
            stamp_ns: time of capture.
            item: anything; an array for interpolated streams. Must not be changed afterwards.
            now_ns: time of arrival.
        """
        now_ns = self._advance(now_ns)
        line = self._lines[stream]
        if line.jumped(stamp_ns, now_ns):
            self._restart()
        kind = line.insert(stamp_ns, item, now_ns)
        if kind != "new":
            self._irregular[kind] += 1
        return self._make(now_ns)

    def poll(self, now_ns: int) -> Sequence[SyncedSet]:
        """Return the sets whose deadline has passed; call it a few times per deadline."""
        return self._make(self._advance(now_ns))

    def newest_ns(self, stream: str) -> int | None:
        """Return the stamp of a stream's newest sample; None before the first."""
        stamps = self._lines[stream].stamps_ns
        return stamps[-1] if stamps else None

    def newest(self, stream: str) -> Any:
        """Return a stream's newest sample; None before the first."""
        items = self._lines[stream].items
        return items[-1] if items else None

    def statistics(self, now_ns: int) -> SyncStatistics:
        """Return how it goes; a few dozen microseconds."""
        skews = [skew for _, skew, _, complete in self._recent if complete]
        waits = [wait for _, _, wait, _ in self._recent]
        span_ns = now_ns - self._recent[0][0] if self._recent else 0
        ages = {n: (now_ns - t.stamps_ns[-1]) / 1e6 for n, t in self._lines.items() if t.stamps_ns}
        return SyncStatistics(
            sets=self._sets,
            incomplete=self._incomplete,
            missing=dict(self._missing),
            irregular=dict(self._irregular),
            clock_jumps=self._jumps,
            leader=self._leader.spec.name,
            sets_per_s=len(self._recent) / seconds(span_ns) if span_ns > 0 else 0.0,
            skew_ms_p50=_percentile_ms(skews, 50),
            skew_ms_p99=_percentile_ms(skews, 99),
            wait_ms_p99=_percentile_ms(waits, 99),
            age_ms=ages,
        )

    def _advance(self, now_ns: int) -> int:
        """Return the time to act at: a clock set back a little stands still, a jump forgets everything."""
        before_ns = self._now_ns
        if before_ns is not None:
            if now_ns - before_ns > JUMP_NS or before_ns - now_ns > REORDER_NS:
                self._restart()
            elif now_ns < before_ns:
                return before_ns
        self._now_ns = now_ns
        return now_ns

    def _restart(self) -> None:
        """Forget all samples."""
        self._jumps += any(line.stamps_ns for line in self._all)
        for line in self._all:
            line.clear()
        self._recent.clear()

    def _make(self, now_ns: int) -> Sequence[SyncedSet]:
        leader = self._leader = self._lead(now_ns)
        stamps = leader.stamps_ns
        if not stamps or self._done_ns - REORDER_NS <= stamps[-1] <= self._done_ns:
            return ()
        if stamps[-1] < self._done_ns:  # far behind: the leader lives in a new epoch, order begins anew
            self._done_ns = _BEFORE_ALL_NS
        made: list[SyncedSet] = []
        for at in range(bisect_right(stamps, self._done_ns), len(stamps)):
            wait_ns = now_ns - leader.arrivals_ns[at]
            if wait_ns < self._deadline_ns and not self._settled(stamps[at]):
                break
            self._done_ns = stamps[at]
            self._assemble(stamps[at], wait_ns, now_ns, made)
        return made

    def _lead(self, now_ns: int) -> Timeline:
        """Return the preferred leader while it is alive, else the first camera that is."""
        for line in self._able:
            if line.arrivals_ns and now_ns - line.arrivals_ns[-1] <= _SILENT_PERIODS * line.period_ns:
                return line
        return self._preferred

    def _settled(self, stamp_ns: int) -> bool:
        return all(line.settled(stamp_ns) for line in self._all)

    def _assemble(self, stamp_ns: int, wait_ns: int, now_ns: int, made: list[SyncedSet]) -> None:
        matches: dict[str, Match] = {}
        skew_ns, complete = 0, True
        for name, line in self._lines.items():
            match = line.match(stamp_ns)
            if match is not None:
                matches[name] = match
                skew_ns = max(skew_ns, abs(match.skew_ns))
                complete = complete and match.fresh
            elif line.spec.required:
                self._missing[name] += 1
                return
        self._sets += 1
        self._incomplete += not complete
        self._recent.append((now_ns, skew_ns, wait_ns, complete))
        made.append(SyncedSet(stamp_ns, self._leader.spec.name, matches, wait_ns))


def _percentile_ms(values_ns: Sequence[int], percent: float) -> float:
    return float(np.percentile(values_ns, percent)) / (NS_PER_S / 1000) if values_ns else 0.0
