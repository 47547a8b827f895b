# SPDX-License-Identifier: Apache-2.0
"""Stitching that begins before the set of pictures is complete.

Resizing is the longest step between the last message and the model. A picture that comes early is resized
while the others are still on their way; the mosaic is the same, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Mapping

from wam_ros.core.policy import Mosaic, ResizeMethod
from wam_ros.core.stitch import stitch
from wam_ros.core.types import ByteImage
from wam_ros.vision.resize import resize


class Stitcher:
    """Makes a policy's mosaics.

    Args:
        mosaic: where each camera's view lies.
    """

    def __init__(self, mosaic: Mosaic) -> None:
        self._mosaic = mosaic
        self._cells = {cell.camera: cell for cell in mosaic.cells}
        self._early: dict[str, tuple[ByteImage, ByteImage]] = {}

    def announce(self, camera: str, picture: ByteImage) -> None:
        """Resize a picture that the next mosaic will probably hold; it must not be changed any more."""
        cell = self._cells.get(camera)
        if cell is not None:
            self._early[camera] = picture, resize(picture, cell.height, cell.width, self._mosaic.resize)

    def stitch(self, views: Mapping[str, ByteImage]) -> ByteImage:
        """Return the mosaic of these pictures, whether they were announced or not."""
        mosaic = stitch(self._mosaic, views, self._resize)
        self._early.clear()
        return mosaic

    def _resize(
        self, image: ByteImage, height: int, width: int, method: ResizeMethod, out: ByteImage | None = None
    ) -> ByteImage:
        for picture, resized in self._early.values():
            if picture is image and out is not None and resized.shape == out.shape:
                out[:] = resized
                return out
        return resize(image, height, width, method, out)
