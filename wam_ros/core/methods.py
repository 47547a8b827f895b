# SPDX-License-Identifier: Apache-2.0
"""What the arms shall follow when a new chunk arrives: one class per method of the task YAML.

A method looks only at rows: it gets the new chunk, and returns the chunk to be followed from now on.
Whatever it returns is smoothed, joined and limited afterwards; what the peers' users run, the same
rows without any of that, is what ``wam bench seams`` compares with. Grippers always take the
newest chunk's rows: an average of open and closed is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from wam_ros.core.task import Method
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray


class Newest:
    """The newest chunk as it is: ``naive`` without smoothing, and what ``governed`` and ``c2`` smooth.

    Attributes:
        waits: the method executes only chunks that were captured at rest.
    """

    waits: ClassVar[bool] = False

    def follow(self, chunk: Chunk, commanded: FloatArray, now_ns: int) -> Chunk:
        """Return the rows to follow from now on.

        Args:
            chunk: valid, newer than all before it; (K, J), in robot order.
            commanded: (J,) what the joints are told now.
            now_ns: time of the take-over.
        """
        return chunk

    def took(self, chunk: Chunk, followed: Chunk, now_ns: int) -> None:
        """Remember a chunk that is now executed, and what was made of it."""


class Wait(Newest):
    """Synchronous: rest, infer, execute the first rows from the beginning, rest again."""

    waits = True

    def __init__(self, rows: int = 16) -> None:
        self._rows = rows

    def follow(self, chunk: Chunk, commanded: FloatArray, now_ns: int) -> Chunk:
        """Return the first rows, moved so that they begin one row after now."""
        first = replace(chunk, positions=chunk.positions[: self._rows], offsets_ns=chunk.offsets_ns[: self._rows])
        return delayed(first, now_ns - begin_ns(first))


class Ensemble(Newest):
    """Temporal ensembling of all chunks that know a time, the oldest weighted most (tonyzhaozh/act)."""

    def __init__(self, grippers: Sequence[bool], decay: float = 0.01) -> None:
        self._grippers = np.array(grippers, dtype=bool)
        self._decay = decay
        self._chunks: list[Chunk] = []

    def follow(self, chunk: Chunk, commanded: FloatArray, now_ns: int) -> Chunk:
        """Return the weighted mean of all predictions for each of the new chunk's row times."""
        total, weights = np.zeros_like(chunk.positions), np.zeros((len(chunk.offsets_ns), 1))
        for age, old in enumerate([*self._chunks, chunk]):
            values, known = at_times(old, chunk.times_ns)
            weight = np.exp(-self._decay * age) * known[:, None]
            total, weights = total + weight * values, weights + weight
        return _arms_only(chunk, total / weights, self._grippers)

    def took(self, chunk: Chunk, followed: Chunk, now_ns: int) -> None:
        """Keep the chunk as long as it speaks of the future."""
        self._chunks = [old for old in self._chunks if old.times_ns[-1] > now_ns] + [chunk]


class Average(Newest):
    """Overlapping rows merged 0.3 old to 0.7 new, as huggingface/lerobot's asynchronous client does."""

    def __init__(self, grippers: Sequence[bool], new_share: float = 0.7) -> None:
        self._grippers = np.array(grippers, dtype=bool)
        self._new_share = new_share
        self._merged: Chunk | None = None

    def follow(self, chunk: Chunk, commanded: FloatArray, now_ns: int) -> Chunk:
        """Return the new rows, mixed with those that were merged before where they overlap."""
        if self._merged is not None:
            old, known = at_times(self._merged, chunk.times_ns)
            share = np.where(known[:, None], self._new_share, 1.0)
            return _arms_only(chunk, share * chunk.positions + (1 - share) * old, self._grippers)
        return chunk

    def took(self, chunk: Chunk, followed: Chunk, now_ns: int) -> None:
        """Keep what was merged."""
        self._merged = followed


class Fade(Newest):
    """The offset at the take-over is added to the rows and fades out evenly (almond-bot/axol)."""

    def __init__(self, grippers: Sequence[bool], fade_s: float = 1.0) -> None:
        self._grippers = np.array(grippers, dtype=bool)
        self._fade_s = fade_s

    def follow(self, chunk: Chunk, commanded: FloatArray, now_ns: int) -> Chunk:
        """Return the rows, beginning where the joints are told to be now."""
        here, _ = at_times(chunk, (now_ns,))
        since_s = (np.array(chunk.times_ns) - now_ns) / NS_PER_S
        weight = np.clip(1 - since_s / self._fade_s, 0.0, 1.0)[:, None]
        return _arms_only(chunk, chunk.positions + weight * (commanded - here[0]), self._grippers)


def create_method(name: Method, grippers: Sequence[bool], wait_rows: int = 16) -> Newest:
    """Return a fresh method by its name in the task YAML."""
    if name == "wait":
        return Wait(wait_rows)
    if name in ("naive", "c2", "governed"):
        return Newest()
    return {"ensemble": Ensemble, "average": Average, "fade": Fade}[name](grippers)


def at_times(chunk: Chunk, times_ns: Sequence[int]) -> tuple[FloatArray, np.ndarray]:
    """(N, J) a chunk's rows, linear in between, and (N,) whether it knows anything of that time."""
    # Differences first: nanoseconds since 1970 do not fit into a float's 53 bits.
    wanted = [time - chunk.stamp_ns for time in times_ns]
    values = np.stack([np.interp(wanted, chunk.offsets_ns, column) for column in chunk.positions.T], axis=1)
    known = (np.array(wanted) >= chunk.offsets_ns[0]) & (np.array(wanted) <= chunk.offsets_ns[-1])
    return values, known


def begin_ns(chunk: Chunk) -> int:
    """Return when a chunk's path begins: a row before its first one, which is where the robot was seen."""
    first, *later = chunk.times_ns
    return first - (later[0] - first if later else chunk.offsets_ns[0])


def delayed(chunk: Chunk, lag_ns: int) -> Chunk:
    """Return a chunk whose rows all belong to later times."""
    return replace(chunk, offsets_ns=tuple(offset + lag_ns for offset in chunk.offsets_ns))


def _arms_only(chunk: Chunk, positions: FloatArray, grippers: np.ndarray) -> Chunk:
    return replace(chunk, positions=np.where(grippers, chunk.positions, positions))
