# SPDX-License-Identifier: Apache-2.0
"""What a model thinks will be seen, and the same as sheets: one picture of all, times below each other, views side by side.

A sheet is how it travels: whole or not at all, and anybody can look at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.types import ByteImage, DepthImage, FloatArray, frozen

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Imagination:
    """F pictures of every view, the first one at the observation.

    Attributes:
        stamp_ns: capture time of the observation.
        offsets_ns: (F,) time of each picture after it.
        colors: camera to (F, H, W, 3) uint8 RGB.
        depths_m: camera to (F, H, W) float32; None where nobody knows what the model's depth means in metres.
        positions: (F, J) joints in robot order at those times, as far as they are planned.
    """

    stamp_ns: int
    offsets_ns: tuple[int, ...]
    colors: Mapping[str, ByteImage]
    depths_m: Mapping[str, DepthImage] | None
    positions: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "positions", frozen(self.positions))
        expected, got = len(self.offsets_ns), {len(self.positions), *(len(p) for p in self.colors.values())}
        if got != {expected}:
            raise ShapeError(mismatch("imagination: pictures", f"{expected} of each view", got, "give one per time"))

    def at(self, offset_ns: int) -> int:
        """Return the number of the last picture that is not later than this after the observation."""
        return max(int(np.searchsorted(self.offsets_ns, offset_ns, side="right")) - 1, 0)


def to_sheet(views: Sequence[NDArray[Scalar]]) -> NDArray[Scalar]:
    """Return (F * H, V * W, ...) of V views (F, H, W, ...) of one size."""
    if len({view.shape for view in views}) != 1:
        raise ShapeError(mismatch("sheet: views", "of one shape", [v.shape for v in views], "resize them"))
    wide = np.concatenate(views, axis=2)
    return np.ascontiguousarray(wide.reshape(-1, *wide.shape[2:]))


def from_sheet(sheet: NDArray[Any], frames: int, views: int) -> list[NDArray[Any]]:
    """Return V views (F, H, W, ...) of a sheet: windows of it.

    Raises:
        ShapeError: it does not divide into so many.
    """
    height, width = sheet.shape[:2]
    if not frames or not views or height % frames or width % views:
        raise ShapeError(
            mismatch("sheet", f"{frames} x {views} pictures", f"{height} x {width} pixels", "send both anew")
        )
    tall = sheet.reshape(frames, height // frames, width, *sheet.shape[2:])
    return np.split(tall, views, axis=2)
