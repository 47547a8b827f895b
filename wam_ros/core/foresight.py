# SPDX-License-Identifier: Apache-2.0
"""What was foreseen against what then came: whose time has come, and how far it was off.

Depth: AbsRel, the mean of ``|foreseen - seen| / seen``, and delta1, the share of pixels within a factor of 1.25, over all pixels
whose distance was measured within the model's range. Colour: PSNR. Clouds: Chamfer distance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.types import ByteImage, DepthImage, FloatArray

Foreseen = TypeVar("Foreseen")
Seen = TypeVar("Seen")

CLOSE = 1.25
"""Of delta1."""
IDENTICAL_DB = 99.0
"""Said of equal pictures, whose PSNR has no bound."""
MOST_AWAITED = 24
MOST_REMEMBERED = 32
MOST_RECKONED = 64


class DepthErrors(NamedTuple):
    """Of one or many pictures; NaN where no distance was measured."""

    absrel: float
    delta1: float
    pixels: int


def relative_errors(foreseen_m: DepthImage, seen_m: DepthImage, far_m: float) -> DepthImage:
    """Return ``|foreseen - seen| / seen`` of depth of any shape; NaN where nothing was measured within ``far_m``."""
    if foreseen_m.shape != seen_m.shape:
        raise ShapeError(mismatch("depth to compare", foreseen_m.shape, seen_m.shape, "bring both to one size"))
    known = np.isfinite(seen_m) & (seen_m > 0) & (seen_m <= far_m)
    out = np.full(seen_m.shape, np.nan, np.float32)
    np.divide(np.abs(foreseen_m - seen_m, where=known, out=out), seen_m, where=known, out=out)
    return out


def depth_errors(pairs: Iterable[tuple[DepthImage, DepthImage]], far_m: float) -> DepthErrors:
    """Return the errors over all pixels of pairs of foreseen and measured depth [m]."""
    total, close, pixels = 0.0, 0, 0
    for foreseen_m, seen_m in pairs:
        errors = relative_errors(foreseen_m, seen_m, far_m)
        known = np.isfinite(errors)
        ahead, behind = foreseen_m[known], seen_m[known]
        total += float(errors[known].sum(dtype=np.float64))
        close += int((np.maximum(ahead, behind) < CLOSE * np.minimum(ahead, behind)).sum())
        pixels += int(known.sum())
    return DepthErrors(total / pixels, close / pixels, pixels) if pixels else DepthErrors(np.nan, np.nan, 0)


def psnr_db(pairs: Iterable[tuple[ByteImage, ByteImage]]) -> float:
    """Return the peak signal to noise ratio over all pixels of pairs of pictures; NaN without any."""
    squares = [np.square(a.astype(np.float32) - b) for a, b in pairs]
    if not squares:
        return float("nan")
    mean = float(np.mean([s.mean() for s in squares]))
    return min(IDENTICAL_DB, 10 * float(np.log10(255**2 / mean))) if mean else IDENTICAL_DB


def chamfer_m(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the mean distance from each point to the nearest of the other cloud, both ways, halved; NaN without points."""
    if not len(one) or not len(other):
        return float("nan")
    there, back = (cKDTree(a).query(b)[0].mean() for a, b in ((one, other), (other, one)))
    return float(there + back) / 2


@dataclass
class Met(Generic[Foreseen, Seen]):
    """Something foreseen, and what was seen nearest to its time."""

    foreseen: Foreseen
    seen: Seen
    late_ns: int


class Awaiting(Generic[Foreseen, Seen]):
    """Foreseen things until something of their time, or later, is seen; each meets the sight nearest to its time.

    A model needs a while to imagine, so the last sights are remembered. Beyond ``most`` things and ``remembered`` sights
    the oldest are dropped.

    Args:
        tolerance_ns: a sight that lies farther away is no meeting.
        most: things that wait.
        remembered: sights, the newest included.

    Attributes:
        missed: things that met nothing: never seen in time, pushed out, or forgotten.
    """

    def __init__(self, tolerance_ns: int, most: int = MOST_AWAITED, remembered: int = MOST_REMEMBERED) -> None:
        self.missed = 0
        self._tolerance_ns, self._most = tolerance_ns, most
        self._waiting: deque[tuple[int, Foreseen]] = deque()
        self._sights: deque[tuple[int, Seen]] = deque(maxlen=remembered)

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, time_ns: int, foreseen: Foreseen) -> None:
        """Wait for what is to be seen at a time; one that is past is decided by the next sight."""
        while len(self._waiting) >= self._most:
            self._waiting.popleft()
            self.missed += 1
        self._waiting.append((time_ns, foreseen))

    def see(self, stamp_ns: int, seen: Seen) -> list[Met[Foreseen, Seen]]:
        """Return what a sight decides, in the order in which it was foreseen."""
        if self._sights and stamp_ns < self._sights[-1][0]:
            self.forget()  # the clock went back
        self._sights.append((stamp_ns, seen))
        due = [entry for entry in self._waiting if entry[0] <= stamp_ns]
        self._waiting = deque(entry for entry in self._waiting if entry[0] > stamp_ns)
        met = [self._nearest(time_ns, thing) for time_ns, thing in due]
        found = [m for m in met if abs(m.late_ns) <= self._tolerance_ns]
        self.missed += len(due) - len(found)
        return found

    def forget(self) -> None:
        """Wait for nothing any more, and remember nothing."""
        self.missed += len(self._waiting)
        self._waiting.clear()
        self._sights.clear()

    def _nearest(self, time_ns: int, thing: Foreseen) -> Met[Foreseen, Seen]:
        stamp_ns, seen = min(self._sights, key=lambda sight: abs(sight[0] - time_ns))
        return Met(thing, seen, stamp_ns - time_ns)


class Reckoning:
    """How well it was foreseen, for each distance in time: the newest, and the mean of the last ``most``.

    Attributes:
        compared: pictures of all views that met what came.
    """

    def __init__(self, most: int = MOST_RECKONED) -> None:
        self.compared, self._most = 0, most
        self._rows: dict[int, deque[Mapping[str, float]]] = {}

    def add(self, offset_ns: int, errors: Mapping[str, float]) -> None:
        """Take the errors, by name, of what was foreseen so long before."""
        self.compared += 1
        self._rows.setdefault(offset_ns, deque(maxlen=self._most)).append(dict(errors))

    def figures(self) -> dict[str, float]:
        """Return means as ``absrel_800ms`` and newest values as ``newest_absrel_800ms``; what is not known is left out."""
        found: dict[str, float] = {}
        for offset_ns, rows in sorted(self._rows.items()):
            for name in rows[-1]:
                values = np.array([row[name] for row in rows])
                key = f"{name}_{round(offset_ns / 1e6)}ms"
                found |= {key: _mean(values), f"newest_{key}": float(values[-1])}
        return {key: value for key, value in found.items() if np.isfinite(value)}


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
