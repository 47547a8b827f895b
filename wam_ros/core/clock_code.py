# SPDX-License-Identifier: Apache-2.0
"""A time of day as black and white cells that a camera can read off a screen.

Milliseconds, modulo ``PERIOD_MS``, as a Gray code with a check sum (CRC-8, polynomial 0x07): a picture whose exposure saw
the screen change shows a mixture of two times, which the check sum refuses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TIME_BITS, CHECK_BITS, POLYNOMIAL = 20, 8, 0x07
CELLS = TIME_BITS + CHECK_BITS
PERIOD_MS = 1 << TIME_BITS


def encode(time_ms: int) -> NDArray[np.bool_]:
    """(CELLS,) True for black, of a time in whole milliseconds."""
    time_ms %= PERIOD_MS
    gray = time_ms ^ (time_ms >> 1)
    word = gray << CHECK_BITS | _check(gray)
    return np.array([word >> (CELLS - 1 - i) & 1 for i in range(CELLS)], dtype=bool)


def decode(cells: NDArray[np.bool_]) -> int | None:
    """Return the time [ms] of (CELLS,) cells, below ``PERIOD_MS``; None where they contradict themselves."""
    word = int("".join("1" if cell else "0" for cell in cells), 2)
    gray, check = word >> CHECK_BITS, word & ((1 << CHECK_BITS) - 1)
    if check != _check(gray):
        return None
    time_ms = gray
    while gray := gray >> 1:
        time_ms ^= gray
    return time_ms


def since_ms(stamp_ms: float, shown_ms: int) -> float:
    """Return how long before a stamp a time was shown: of all times that look like it, the nearest."""
    return float((stamp_ms - shown_ms + PERIOD_MS / 2) % PERIOD_MS - PERIOD_MS / 2)


def _check(word: int) -> int:
    register = word << CHECK_BITS
    for bit in range(TIME_BITS - 1, -1, -1):
        if register >> (bit + CHECK_BITS) & 1:
            register ^= (1 << CHECK_BITS | POLYNOMIAL) << bit
    return register
