# SPDX-License-Identifier: Apache-2.0
"""Two lanes of one processor: what moves the robot goes ahead, what only shows something goes behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch


class Lanes(Protocol):
    """Contexts for work of the one kind and of the other."""

    def ahead(self) -> AbstractContextManager[None]:
        """Return the context of urgent work; its results are brought to the CPU within it."""
        ...

    def behind(self) -> AbstractContextManager[Callable[[], None]]:
        """Return the context of other work, and what waits until all of it so far is done.

        Without waiting between its steps they would all be handed over at once, and none could be cancelled.
        """
        ...


class OneLane:
    """A CPU: whoever computes has it."""

    def ahead(self) -> AbstractContextManager[None]:
        """See :class:`Lanes`."""
        return nullcontext()

    def behind(self) -> AbstractContextManager[Callable[[], None]]:
        """See :class:`Lanes`."""
        return nullcontext(lambda: None)


class Streams:
    """A GPU: one stream of high and one of low priority."""

    def __init__(self, device: torch.device) -> None:
        self._ahead, self._behind = (torch.cuda.Stream(device, priority=p) for p in (-1, 0))

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """See :class:`Lanes`."""
        with torch.cuda.stream(self._ahead):
            yield

    @contextmanager
    def behind(self) -> Iterator[Callable[[], None]]:
        """See :class:`Lanes`."""
        self._behind.wait_stream(self._ahead)
        with torch.cuda.stream(self._behind):
            yield self._behind.synchronize


def lanes_of(device: torch.device) -> Lanes:
    """Return the lanes of a device."""
    return Streams(device) if device.type == "cuda" else OneLane()
