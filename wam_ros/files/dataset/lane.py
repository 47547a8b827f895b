# SPDX-License-Identifier: Apache-2.0
"""A thread that writes one file: it takes items in order, and brings the file onto the disk at a steady pace."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import Queue
from time import monotonic
from typing import Generic, TypeVar

from wam_ros.core.errors import WamError

T = TypeVar("T")

#: How often what was written is brought onto the disk; a crash of the computer costs no more [s].
SYNC_S = 0.4
#: Encoders give way to who receives, and to everybody who controls the robot.
_NICENESS = 5


def give_way() -> None:
    """Let every other thread of the computer go before this one."""
    thread = threading.get_native_id()
    try:
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
    except OSError:
        return  # not Linux, where threads have no priority of their own


class Lane(Generic[T]):
    """Hands items to a thread.

    Args:
        name: of the thread.
        write: called with each item, in the thread.
        sync: called in the thread after writing, every :data:`SYNC_S` seconds.
        close: called in the thread at the end, also after an error.
        room: items that may wait.

    Attributes:
        error: what ended the writing; items after it are thrown away.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[T], None],
        sync: Callable[[], None],
        close: Callable[[], None],
        room: int,
    ) -> None:
        self.error: OSError | WamError | None = None
        self._write, self._sync, self._close = write, sync, close
        self._room = room
        self._items: Queue[tuple[T] | None] = Queue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def has_room(self) -> bool:
        """Whether another item may be put."""
        return self._items.qsize() < self._room

    def put(self, item: T) -> None:
        """Hand over an item; ask for room before."""
        self._items.put((item,))

    def finish(self) -> None:
        """Wait until everything handed over is written and the file is closed."""
        self._items.put(None)
        self._thread.join()

    def _run(self) -> None:
        give_way()
        synced_s = monotonic()
        while (item := self._items.get()) is not None:
            if self.error is not None:
                continue
            self._attempt(lambda item=item: self._write(item[0]))  # type: ignore[misc]
            if monotonic() - synced_s >= SYNC_S:
                self._attempt(self._sync)
                synced_s = monotonic()
        if self.error is None:
            self._attempt(self._sync)
        self._attempt(self._close)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (OSError, WamError) as error:  # the encoder's errors of the disk are OSErrors, too
            self.error = self.error or error
