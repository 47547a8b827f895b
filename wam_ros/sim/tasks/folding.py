# SPDX-License-Identifier: Apache-2.0
"""How far the folding of a towel has come: in half, or in half twice.

Grids are (n, n, 3) as in ``fold.py``; ``held`` is arm name to the indices of the vertices that its hand holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.types import FloatArray
from wam_ros.sim.tasks.fold import (
    CORNER_M,
    fold_measures,
    is_aligned,
    is_aligned_twice,
    is_flat,
    is_flat_twice,
    twice_measures,
)

LIFTED_M = 0.05
Held = Mapping[str, list[int]]


class Folding(Protocol):
    """The stages of a folding, and what it remembers of an attempt.

    Attributes:
        stages: names, in order.
    """

    stages: tuple[str, ...]

    def reset(self) -> None:
        """Forget the attempt."""
        ...

    def watch(self, grid: FloatArray, held: Held) -> None:
        """Note what only lasts for a moment."""
        ...

    def judge(
        self, grid: FloatArray, placed: FloatArray, held: Held, triangles: NDArray[np.int32]
    ) -> tuple[dict[str, bool], dict[str, float]]:
        """Return which stages are reached, and the numbers behind it; see :func:`fold_measures`."""
        ...


class Half:
    """Near edge onto far edge.

    Args:
        size_m: edge length of the towel.
    """

    stages: tuple[str, ...] = ("grasped", "lifted", "aligned", "released")

    def __init__(self, size_m: float) -> None:
        self._size_m = size_m
        self.reset()

    def reset(self) -> None:
        """Forget the attempt."""
        self._once = {"grasped": False, "lifted": False}

    def watch(self, grid: FloatArray, held: Held) -> None:
        """Remember that both hands held the towel, and that they lifted it."""
        if all(held.values()):
            heights = grid.reshape(-1, 3)[[points[0] for points in held.values()], 2]
            self._once = {"grasped": True, "lifted": self._once["lifted"] or bool(heights.min() > LIFTED_M)}

    def judge(
        self, grid: FloatArray, placed: FloatArray, held: Held, triangles: NDArray[np.int32]
    ) -> tuple[dict[str, bool], dict[str, float]]:
        """Return stages and measures."""
        measures = fold_measures(grid, placed, self._size_m, triangles)
        aligned = is_aligned(measures)
        released = aligned and not any(held.values()) and is_flat(measures)
        return {**self._once, "aligned": aligned, "released": released}, measures


class Twice:
    """Near edge onto far edge, then the crease onto both.

    Args:
        size_m: edge length of the towel.
    """

    stages: tuple[str, ...] = ("folded", "grasped", "aligned", "released")

    def __init__(self, size_m: float) -> None:
        self._size_m = size_m
        self.reset()

    def reset(self) -> None:
        """Forget the attempt."""
        self._grasped = False

    def watch(self, grid: FloatArray, held: Held) -> None:
        """Remember that both hands held the crease of a towel that was folded in half."""
        if self._grasped or not all(held.values()):
            return
        columns = np.array([point // len(grid) for points in held.values() for point in points])
        gaps_m = np.linalg.norm(grid[0, [0, -1], :2] - grid[-1, [0, -1], :2], axis=-1)
        self._grasped = bool(np.abs(columns - len(grid) // 2).max() <= 1 and gaps_m.max() < CORNER_M)

    def judge(
        self, grid: FloatArray, placed: FloatArray, held: Held, triangles: NDArray[np.int32]
    ) -> tuple[dict[str, bool], dict[str, float]]:
        """Return stages and measures."""
        folded = self._grasped or is_aligned(fold_measures(grid, placed, self._size_m, triangles))
        measures = twice_measures(grid, placed, self._size_m, triangles)
        aligned = is_aligned_twice(measures)
        released = aligned and not any(held.values()) and is_flat_twice(measures)
        return {"folded": folded, "grasped": self._grasped, "aligned": aligned, "released": released}, measures


#: Number of folds to who judges them.
FOLDINGS: Mapping[int, type[Half] | type[Twice]] = {1: Half, 2: Twice}
