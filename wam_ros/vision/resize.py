# SPDX-License-Identifier: Apache-2.0
"""Bring a camera's picture to the size a model was trained on, by the method it was trained with.

Methods, and how far they lie apart on the same picture:

* ``bilinear_antialias``: Pillow's bilinear filter, whose support grows with the reduction. It is what
  the published evaluation of Fast-WAM applies to camera pictures, and Pillow itself is the cheapest way
  to get its fixed-point rounding after each of the two passes exactly. Against the formula in floating
  point, rounded once at the end, it differs by at most 1 LSB.
* ``bilinear``: OpenCV's two-tap interpolation; aliases when it reduces (100 LSB and more on noise).
* ``area``: OpenCV's mean over the covered area.

A picture that has the size already is copied. Depth is sampled, never averaged: between two surfaces there is nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.policy import ResizeMethod
from wam_ros.core.types import ByteImage, DepthImage

_OPENCV: dict[str, int] = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


def resize(image: ByteImage, height: int, width: int, method: ResizeMethod, out: ByteImage | None = None) -> ByteImage:
    """Return the picture at another size.

    Args:
        image: (H, W, 3) uint8.
        height: of the result [pixels].
        width: of the result [pixels].
        method: one of the module's methods.
        out: (height, width, 3) uint8 to write into; may be a window of a larger picture.

    Raises:
        ShapeError: image or out are not of the declared form.
    """
    if out is None:
        out = np.empty((height, width, 3), np.uint8)
    _check(image, ("H", "W", 3))
    _check(out, (height, width, 3))
    if image.shape == out.shape:
        out[:] = image
    elif method == "bilinear_antialias":
        out[:] = np.asarray(_antialiased(image, height, width))
    else:
        cv2.resize(image, (width, height), dst=out, interpolation=_OPENCV[method])
    return out


def resize_depth(depth_m: DepthImage, height: int, width: int) -> DepthImage:
    """Return (height, width) depth: of each pixel the one of (H, W) that its middle lies in.

    Args:
        depth_m: (H, W) float32 [m].
        height: of the result [pixels].
        width: of the result [pixels].

    Raises:
        ShapeError: not a depth picture.
    """
    if depth_m.ndim != 2:
        raise ShapeError(mismatch("depth picture", "(H, W)", depth_m.shape, "give one channel"))
    rows = ((np.arange(height) + 0.5) * depth_m.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * depth_m.shape[1] / width).astype(np.int64)
    return np.ascontiguousarray(depth_m[rows[:, None], columns])


def _antialiased(image: ByteImage, height: int, width: int) -> Image.Image:
    picture = Image.fromarray(image)
    if picture.width != width:
        picture = picture.resize((width, picture.height), Image.Resampling.BILINEAR)
    if picture.height != height:
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return picture


def _check(image: ByteImage, expected: tuple[int | str, ...]) -> None:
    fits = image.ndim == 3 and all(isinstance(e, str) or e == n for e, n in zip(expected, image.shape, strict=True))
    if not fits or image.dtype != np.uint8:
        got = f"{image.dtype} {image.shape}"
        raise ShapeError(mismatch("picture", f"uint8 {expected}", got, "convert it to RGB bytes of that size"))
