# SPDX-License-Identifier: Apache-2.0
"""One thread beside the executor for work that would hold up its callbacks, such as decoding JPEG.

Results come back in order on the executor, so that nothing else is touched by two threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, Full, Queue
from threading import Thread
from typing import Any

from rclpy.node import Node

from wam_ros.core.errors import ShapeError

#: Work that waits; beyond it the oldest is dropped, for a newer picture is on its way.
_WAITING = 8

Work = Callable[[], Any]
Done = Callable[[Any], None]
Failed = Callable[[ShapeError], None]


class DecodeThread:
    """Runs work in order on one thread and hands the results to the node's executor.

    Attributes:
        dropped: work that was given up because newer came faster than it could be done.
    """

    def __init__(self, node: Node) -> None:
        self.dropped = 0
        self._queue: Queue[tuple[Work, Done, Failed] | None] = Queue(maxsize=_WAITING)
        self._results: deque[Callable[[], None]] = deque()
        self._node, self._wake = node, node.create_guard_condition(self._deliver)
        self._thread = Thread(target=self._run, name="decode", daemon=True)
        self._thread.start()

    def submit(self, work: Work, done: Done, failed: Failed) -> None:
        """Queue work; ``done`` gets its result, or ``failed`` its ShapeError, on the executor."""
        self._put((work, done, failed))

    def close(self) -> None:
        """End the thread; work that waits is given up. Calling it twice is harmless."""
        while self._thread.is_alive():
            self._put(None)
            self._thread.join(timeout=1.0)
        self._node.destroy_guard_condition(self._wake)

    def _put(self, item: tuple[Work, Done, Failed] | None) -> None:
        while True:
            try:
                return self._queue.put_nowait(item)
            except Full:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._queue.get_nowait()
        except Empty:  # the thread was faster
            return
        self.dropped += 1

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            work, done, failed = item
            try:
                result = work()
                self._results.append(partial(done, result))
            except ShapeError as error:
                self._results.append(partial(failed, error))
            self._wake.trigger()

    def _deliver(self) -> None:
        while self._results:
            self._results.popleft()()
