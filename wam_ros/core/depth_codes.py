# SPDX-License-Identifier: Apache-2.0
"""Depth as whole numbers: millimetres for archives, 12-bit logarithmic codes for datasets.

The codes are those of LeRobot 0.6: finer near the camera, where a sensor's error is small, from 0.01 to
10 m. Zero stays what it is in both: depth that nobody measured.

Source: huggingface/lerobot ``datasets/depth_utils.py`` (the mapping, not its code).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.types import DepthImage

NEAREST_M, FARTHEST_M, SHIFT_M = 0.01, 10.0, 3.5
LARGEST_CODE = 4095
_LOG_NEAR, _LOG_FAR = np.log(NEAREST_M + SHIFT_M), np.log(FARTHEST_M + SHIFT_M)


def _make_table() -> NDArray[np.uint16]:
    depth_m = np.arange(65536) / 1000.0
    share = (np.log(depth_m + SHIFT_M) - _LOG_NEAR) / (_LOG_FAR - _LOG_NEAR)
    # Code 0 is kept for the unknown: what was measured is at least 1.
    codes: NDArray[np.uint16] = np.rint(share * LARGEST_CODE).clip(1, LARGEST_CODE).astype(np.uint16)
    codes[0] = 0
    return codes


_CODE_OF_MM = _make_table()


def to_millimetres(depth_m: DepthImage) -> NDArray[np.uint16]:
    """Return (H, W) whole millimetres of depth [m]; what is unknown, negative or beyond 65 m becomes 0."""
    scaled = np.multiply(depth_m, np.float32(1000), dtype=np.float32)
    np.rint(scaled, out=scaled)
    np.fmax(scaled, 0, out=scaled)  # of a number and NaN, the number
    scaled[scaled > 65535] = 0
    return scaled.astype(np.uint16)


def to_codes(depth_mm: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return (H, W) codes 0..4095 of millimetres."""
    codes: NDArray[np.uint16] = _CODE_OF_MM[depth_mm]
    return codes


def to_metres(codes: NDArray[np.uint16]) -> DepthImage:
    """Return (H, W) depth [m] of codes; 0 where unknown."""
    share = codes.astype(np.float32) / LARGEST_CODE
    depth_m = np.exp(share * (_LOG_FAR - _LOG_NEAR) + _LOG_NEAR) - SHIFT_M
    return np.where(codes > 0, depth_m, 0).astype(np.float32)
