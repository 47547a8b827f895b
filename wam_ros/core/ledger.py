# SPDX-License-Identifier: Apache-2.0
"""What was heard of each stream during an episode: how much, how evenly, and what must have been lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wam_ros.core.types import NS_PER_S

#: A longer wait than so many periods is a gap.
_GAP_PERIODS = 1.5


@dataclass
class Heard:
    """One stream.

    Attributes:
        period_ns: nominal; 0 for a stream without a rate.
        count: samples.
        first_ns, last_ns: stamps.
        gaps: waits of more than one and a half periods.
        lost: samples that such waits were long enough for.
        longest_ns: the longest wait.
        backwards: stamps that did not rise; they are in ``count``.
        worst_skew_ns: largest distance from the row's time; of cameras.
    """

    period_ns: int = 0
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    gaps: int = 0
    lost: int = 0
    longest_ns: int = 0
    backwards: int = 0
    worst_skew_ns: int = 0

    def add(self, stamp_ns: int) -> None:
        """Take the stamp of the next sample."""
        wait_ns = stamp_ns - self.last_ns
        self.count += 1
        if self.count == 1:
            self.first_ns = self.last_ns = stamp_ns
            return
        if wait_ns <= 0:
            self.backwards += 1
            return
        self.last_ns = stamp_ns
        self.longest_ns = max(self.longest_ns, wait_ns)
        if self.period_ns and wait_ns > _GAP_PERIODS * self.period_ns:
            self.gaps += 1
            self.lost += round(wait_ns / self.period_ns) - 1

    def figures(self) -> dict[str, float]:
        """Return it as plain numbers."""
        span_ns = self.last_ns - self.first_ns
        return {
            "count": self.count,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "rate_hz": round((self.count - 1) * NS_PER_S / span_ns, 3) if span_ns > 0 else 0.0,
            "gaps": self.gaps,
            "lost": self.lost,
            "longest_gap_s": round(self.longest_ns / NS_PER_S, 6),
            "backwards": self.backwards,
            "worst_skew_s": round(self.worst_skew_ns / NS_PER_S, 6),
        }


class Ledger:
    """All streams of an episode.

    Args:
        periods_ns: stream to its nominal period, of those that are expected; they are listed even when
            nothing was heard of them.
    """

    def __init__(self, periods_ns: Mapping[str, int]) -> None:
        self._streams = {name: Heard(period_ns) for name, period_ns in periods_ns.items()}

    def add(self, stream: str, stamp_ns: int) -> None:
        """Count a sample."""
        self._streams.setdefault(stream, Heard()).add(stamp_ns)

    def skew(self, stream: str, skew_ns: int) -> None:
        """Note how far a sample lay from the time of the row it was used for."""
        heard = self._streams.setdefault(stream, Heard())
        heard.worst_skew_ns = max(heard.worst_skew_ns, abs(skew_ns))

    def figures(self) -> dict[str, dict[str, float]]:
        """Return stream to its figures."""
        return {name: heard.figures() for name, heard in self._streams.items()}
