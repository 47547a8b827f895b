# SPDX-License-Identifier: Apache-2.0
"""Where in a demonstration a window may begin, and how far ahead of it there is something to learn.

In some demonstrations a demonstrator is made to err, so that it shows how to make good. An error is no example:
no window begins in it. Nor can it be seen coming: a policy that is asked for it learns to err now and then by
itself, so what lies after the begin of an error is masked out of the loss of the windows before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class HasExamples(Protocol):
    """An episode of any kind."""

    @property
    def frames(self) -> NDArray[np.uint8]:
        """(N, ...) pictures."""
        ...

    @property
    def examples(self) -> NDArray[np.bool_] | None:
        """(N,) False where the demonstrator erred; None: nowhere."""
        ...


TURN_ROWS = 10
"""What a demonstrator does in so many rows after an error, a second at 10 Hz, is what makes it good."""


def places(episodes: Sequence[HasExamples], turns: int = 1) -> tuple[list[tuple[int, int]], list[NDArray[np.int64]]]:
    """Return episode and row at which each window begins, and for each episode how far its rows can foresee.

    Args:
        episodes: of any kind.
        turns: how often windows are listed that begin right after an error; others once.
    """
    starts = [(e, n) for e, one in enumerate(episodes) for n in beginnings(len(one.frames), one.examples, turns)]
    return starts, [foreseeable(len(one.frames), one.examples) for one in episodes]


def beginnings(count: int, examples: NDArray[np.bool_] | None, turns: int = 1) -> list[int]:
    """Return the rows at which a window may begin.

    Args:
        count: N, rows of the episode.
        examples: (N,) False where the demonstrator erred; None: nowhere.
        turns: how often those are listed that come right after an error.
    """
    if examples is None:
        return list(range(count))
    good = np.flatnonzero(examples)
    erred = np.flatnonzero(~examples)
    long_ago = -TURN_ROWS - 1
    last = np.append(long_ago, erred)[np.searchsorted(erred, good)]  # error before each of them
    found: list[int] = np.repeat(good, np.where(good - last <= TURN_ROWS, turns, 1)).tolist()
    return found


def foreseeable(count: int, examples: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Return (N,) the row before which a window that begins at n may be asked for what comes.

    Args:
        count: N, rows of the episode.
        examples: (N,) False where the demonstrator erred; None: nowhere.
    """
    errors = np.array([], np.int64) if examples is None else np.flatnonzero(~examples)
    ends: NDArray[np.int64] = np.append(errors, count)[np.searchsorted(errors, np.arange(count))]
    return ends
