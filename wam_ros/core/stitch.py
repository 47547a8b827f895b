# SPDX-License-Identifier: Apache-2.0
"""Lay the views out in the one picture a model was trained on, and cut it apart again for display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.policy import Cell, Mosaic, ResizeMethod
from wam_ros.core.types import ByteImage


class Resize(Protocol):
    """Brings a picture to a size by a method, into ``out``; ``wam_ros.vision.resize.resize`` is one."""

    def __call__(
        self, image: ByteImage, height: int, width: int, method: ResizeMethod, out: ByteImage | None = None
    ) -> ByteImage:
        """Return ``out``, filled."""
        ...


def stitch(mosaic: Mosaic, views: Mapping[str, ByteImage], resize: Resize, out: ByteImage | None = None) -> ByteImage:
    """Return the mosaic of the views, each resized straight into its cell.

    Args:
        mosaic: where each camera's view lies.
        views: camera name to (H, W, 3) uint8 RGB of any size; cameras without a cell are ignored.
        resize: does the resizing.
        out: (height, width, 3) uint8 of the mosaic to write into; what no cell covers is left as it is.

    Raises:
        ShapeError: a view is missing, or ``out`` has another size.
    """
    shape = (mosaic.height, mosaic.width, 3)
    if out is None:
        out = np.zeros(shape, np.uint8)
    elif out.shape != shape:
        raise ShapeError(mismatch("mosaic to write into", shape, out.shape, "give a picture of the mosaic's size"))
    for cell in mosaic.cells:
        if cell.camera not in views:
            raise ShapeError(mismatch("mosaic", f"a view of camera {cell.camera}", sorted(views), "add the view"))
        resize(views[cell.camera], cell.height, cell.width, mosaic.resize, _window(cell, out))
    return out


def unstitch(mosaic: Mosaic, image: ByteImage) -> dict[str, ByteImage]:
    """Return camera name to its cell of the mosaic: windows of ``image``, not copies.

    Raises:
        ShapeError: ``image`` has not the mosaic's size.
    """
    if image.shape[:2] != (mosaic.height, mosaic.width):
        raise ShapeError(mismatch("mosaic", (mosaic.height, mosaic.width), image.shape[:2], "give the whole mosaic"))
    return {cell.camera: _window(cell, image) for cell in mosaic.cells}


def _window(cell: Cell, image: ByteImage) -> ByteImage:
    return image[cell.top : cell.top + cell.height, cell.left : cell.left + cell.width]
