# SPDX-License-Identifier: Apache-2.0
"""The newest samples of one stream, in the order of their stamps."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from wam_ros.core.types import NS_PER_S

#: A stamp this far behind the newest is another epoch; nearer ones are late arrivals [ns].
REORDER_NS = NS_PER_S // 4
#: Stamps that run ahead of their arrivals by more are another epoch [ns].
JUMP_NS = NS_PER_S
#: Frames after which a burst of close stamps is forgotten.
_MEMORY_FRAMES = 64


@dataclass(frozen=True)
class StreamSpec:
    """One stream of a synchroniser.

    Attributes:
        name: unique name.
        period_ns: nominal period.
        max_skew_ns: ``nearest``: largest believed distance from the leader's stamp;
            ``interpolate``: largest hole between two samples that may be bridged.
        match: take the nearest sample as it is, or interpolate arrays linearly.
        may_lead: whether its stamps may become those of sets.
        required: a set without it is not made; otherwise it is left out of the set.
    """

    name: str
    period_ns: int
    max_skew_ns: int
    match: Literal["nearest", "interpolate"] = "nearest"
    may_lead: bool = False
    required: bool = True


class Match(NamedTuple):
    """What one stream gives to a set.

    Attributes:
        stamp_ns: time of the sample; the set's own for an interpolated one.
        item: the sample.
        skew_ns: its stamp minus the set's.
        fresh: whether the skew lies within the stream's limit.
    """

    stamp_ns: int
    item: Any
    skew_ns: int
    fresh: bool


class Timeline:
    """Sorted, bounded samples of one stream.

    Args:
        spec: the stream.
        window_ns: how far back sets may reach; decides how many samples are kept.
    """

    __slots__ = (
        "_forget_ns",
        "_interpolates",
        "arrivals_ns",
        "items",
        "keep",
        "period_ns",
        "shortest_ns",
        "spec",
        "stamps_ns",
    )

    def __init__(self, spec: StreamSpec, window_ns: int) -> None:
        self.spec = spec
        self.period_ns = spec.period_ns
        self.stamps_ns: list[int] = []
        self.items: list[Any] = []
        self.arrivals_ns: list[int] = []
        self.keep = max(8, window_ns // spec.period_ns + 3)
        #: Recent lower bound of the distance between frames; 0 until known, and for interpolated streams.
        self.shortest_ns = 0
        self._interpolates = spec.match == "interpolate"
        self._forget_ns = spec.period_ns // _MEMORY_FRAMES

    def clear(self) -> None:
        """Forget all samples."""
        for column in (self.stamps_ns, self.items, self.arrivals_ns):
            column.clear()
        self.shortest_ns = 0

    def jumped(self, stamp_ns: int, now_ns: int) -> bool:
        """Whether a new stamp belongs to another epoch: far back, or ahead by more than the time that passed."""
        if not self.stamps_ns:
            return False
        step = stamp_ns - self.stamps_ns[-1]
        return step < -REORDER_NS or step - (now_ns - self.arrivals_ns[-1]) > JUMP_NS

    def insert(self, stamp_ns: int, item: Any, now_ns: int) -> str:
        """Put a sample in its place; return what it was: ``new``, ``reordered``, ``duplicate`` or ``late``."""
        stamps = self.stamps_ns
        kind = "new"
        if not stamps or stamp_ns > stamps[-1]:
            if stamps and not self._interpolates:
                self.shortest_ns = min(stamp_ns - stamps[-1], self.shortest_ns + self._forget_ns)
            stamps.append(stamp_ns)
            self.items.append(item)
            self.arrivals_ns.append(now_ns)
        else:
            at = bisect_left(stamps, stamp_ns)
            if stamps[at] == stamp_ns:
                return "duplicate"
            if at == 0 and len(stamps) >= self.keep:
                return "late"
            kind = "reordered"
            stamps.insert(at, stamp_ns)
            self.items.insert(at, item)
            self.arrivals_ns.insert(at, now_ns)
        if len(stamps) > self.keep:
            del stamps[0], self.items[0], self.arrivals_ns[0]
        return kind

    def settled(self, stamp_ns: int) -> bool:
        """Whether no later frame can come nearer to a stamp than those held already.

        That is so once a frame at or past the stamp is here, or when the next one, due no earlier than
        the shortest recent distance after the newest, would lie farther away than the newest.
        """
        if not self.stamps_ns:
            return False
        behind_ns = stamp_ns - self.stamps_ns[-1]
        return behind_ns <= 0 or 2 * behind_ns <= self.shortest_ns

    def match(self, stamp_ns: int) -> Match | None:
        """Return what this stream gives to a set at a stamp; None if it has nothing to give."""
        at = bisect_left(self.stamps_ns, stamp_ns)
        if self._interpolates:
            return self._interpolated(stamp_ns, at)
        if not self.stamps_ns:
            return None
        stamps = self.stamps_ns
        if at == len(stamps) or (at and stamp_ns - stamps[at - 1] <= stamps[at] - stamp_ns):
            at -= 1
        skew_ns = stamps[at] - stamp_ns
        return Match(stamps[at], self.items[at], skew_ns, abs(skew_ns) <= self.spec.max_skew_ns)

    def _interpolated(self, stamp_ns: int, at: int) -> Match | None:
        if at == len(self.stamps_ns):
            return None
        after_ns = self.stamps_ns[at]
        if after_ns == stamp_ns:
            return Match(stamp_ns, self.items[at], 0, True)
        if at == 0 or after_ns - self.stamps_ns[at - 1] > self.spec.max_skew_ns:
            return None
        before_ns, before = self.stamps_ns[at - 1], self.items[at - 1]
        weight = (stamp_ns - before_ns) / (after_ns - before_ns)
        return Match(stamp_ns, before + weight * (self.items[at] - before), 0, True)
