# SPDX-License-Identifier: Apache-2.0
"""Decode compressed camera pictures: JPEG or PNG colour, PNG depth."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import ShapeError
from wam_ros.core.types import ByteImage, DepthImage

#: compressed_depth_image_transport puts a struct of one int and two floats before the PNG.
_DEPTH_HEADER_BYTES = 12
_PNG_SIGNATURE = b"\x89PNG"


def decode_color(data: bytes | memoryview) -> ByteImage:
    """Return (H, W, 3) uint8 RGB of a JPEG or PNG file.

    Raises:
        ShapeError: the bytes are not a picture.
    """
    image = _decode(data, cv2.IMREAD_COLOR_RGB)
    return np.asarray(image, dtype=np.uint8)


def decode_depth(data: bytes | memoryview) -> DepthImage:
    """Return (H, W) float32 [m] of a 16-bit PNG in millimetres, with or without the transport's header.

    Raises:
        ShapeError: the bytes are not a 16-bit picture of one channel.
    """
    view = memoryview(data).cast("B")
    offset = 0 if bytes(view[:4]) == _PNG_SIGNATURE else _DEPTH_HEADER_BYTES
    image = _decode(view[offset:], cv2.IMREAD_UNCHANGED)
    if image.dtype != np.uint16 or image.ndim != 2:
        raise ShapeError(
            f"compressed depth: expected 16-bit PNG of one channel, got {image.dtype} {image.shape}; "
            "publish 16UC1 in millimetres"
        )
    return millimetres_to_metres(image.astype(np.uint16, copy=False))


def millimetres_to_metres(depth_mm: NDArray[np.uint16]) -> DepthImage:
    """Return float32 [m]; 0, which means unknown, stays 0."""
    return np.divide(depth_mm, np.float32(1000), dtype=np.float32)


def _decode(data: bytes | memoryview, flags: int) -> NDArray[Any]:
    raw = np.frombuffer(data, dtype=np.uint8)
    image = cv2.imdecode(raw, flags) if raw.size else None
    if image is None:
        raise ShapeError(
            f"compressed picture: expected JPEG or PNG, got {raw.size} bytes that cannot be decoded; "
            "check the camera's transport"
        )
    return image
