# SPDX-License-Identifier: Apache-2.0
"""Encode pictures, for cameras that are spoken for: without loss by a recording, as a driver does by a double."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.types import ByteImage

#: Little effort: what is replayed must keep the pace of what was recorded.
_EFFORT = [cv2.IMWRITE_PNG_COMPRESSION, 1]
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]


def jpeg(picture: ByteImage) -> bytes:
    """Return an (H, W, 3) uint8 RGB picture as JPEG."""
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _QUALITY)[1].data)


def png(picture: ByteImage | NDArray[np.uint16]) -> bytes:
    """Return an (H, W, 3) uint8 RGB picture, or (H, W) uint16 depth, as PNG."""
    ordered = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    return bytes(cv2.imencode(".png", ordered, _EFFORT)[1].data)
