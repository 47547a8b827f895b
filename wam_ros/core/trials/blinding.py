# SPDX-License-Identifier: Apache-2.0
"""Who goes first, and under which name: an operator who knows neither cannot help either policy."""

from __future__ import annotations

import numpy as np

SIDES = ("A", "B")


class Blinding:
    """The hidden names of two policies, and the order of each pair.

    Args:
        seed: the same seed, the same names and order.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._first = SIDES[int(np.random.default_rng(seed).integers(2))]

    def label(self, side: str) -> str:
        """Return the name under which a side is shown until the decision."""
        return "policy 1" if side == self._first else "policy 2"

    def order(self, number: int) -> tuple[str, str]:
        """Return the sides in the order in which they make the trials of a pair, or of a block of pairs."""
        swapped = bool(np.random.default_rng((self._seed, number)).integers(2))
        return (SIDES[1], SIDES[0]) if swapped else (SIDES[0], SIDES[1])
