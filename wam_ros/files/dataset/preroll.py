# SPDX-License-Identifier: Apache-2.0
"""What came before anybody asked for an episode, for as long as one may still begin with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class PreRoll(Generic[T]):
    """The items of the last moments.

    Args:
        length_ns: an item that is so far from the newest, or farther, is forgotten; 0 keeps nothing.
    """

    def __init__(self, length_ns: int) -> None:
        self._length_ns = length_ns
        self._kept: deque[tuple[int, T]] = deque()

    def add(self, time_ns: int, item: T) -> None:
        """Take the newest item. Where the clock jumped, what lies before is of another time."""
        self._kept.append((time_ns, item))
        while self._kept and abs(time_ns - self._kept[0][0]) >= self._length_ns:
            self._kept.popleft()

    def take(self) -> Iterator[T]:
        """Yield what is kept in the order in which it came, and keep nothing."""
        while self._kept:
            yield self._kept.popleft()[1]
