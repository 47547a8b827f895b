# SPDX-License-Identifier: Apache-2.0
"""How a model sees a camera: smaller, and perhaps the middle only. Pictures, depth and rays are brought there alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wam_ros.core.card import Card
from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.policy import Cell, Mosaic, ResizeMethod
from wam_ros.core.robot import Camera, Robot
from wam_ros.core.types import ByteImage, DepthImage, FloatArray
from wam_ros.vision.resize import resize, resize_depth

#: Half of a depth picture lies within these, in whatever a robot works at [m].
PLAUSIBLE_M = (0.02, 30.0)


@dataclass(frozen=True)
class Sight:
    """One view.

    Attributes:
        camera: its name; ``camera_height`` and ``camera_width`` of its pictures.
        height, width: of the view.
        crop: share of the picture's sides that the view shows, about the middle.
        method: how pictures are resized.
    """

    camera: str
    camera_height: int
    camera_width: int
    height: int
    width: int
    crop: float = 1.0
    method: ResizeMethod = "bilinear_antialias"

    @classmethod
    def of(cls, camera: Camera, cell: Cell, mosaic: Mosaic, crop: float) -> Sight:
        """Return how a camera is seen in its cell."""
        return cls(camera.name, camera.height, camera.width, cell.height, cell.width, crop, mosaic.resize)

    def color(self, picture: ByteImage) -> ByteImage:
        """Return the view (height, width, 3) of a picture of any size."""
        small = resize(picture, self.height, self.width, self.method)
        top, left, height, width = self._window()
        return resize(small[top : top + height, left : left + width], self.height, self.width, "bilinear")

    def depth(self, depth_m: DepthImage) -> DepthImage:
        """Return the view's depth (height, width) [m] of a depth picture of any size, registered to the colour.

        Raises:
            ShapeError: numbers that are no metres.
        """
        small = resize_depth(depth_m, self.height, self.width)
        known = small[np.isfinite(small) & (small > 0)]
        middle = float(np.median(known)) if known.size else 1.0
        if not PLAUSIBLE_M[0] <= middle <= PLAUSIBLE_M[1]:
            remedy = "let the driver send 16UC1 in millimetres or 32FC1 in metres"
            raise ShapeError(mismatch(f"depth of {self.camera}", "metres", f"a median of {middle:.4g}", remedy))
        top, left, height, width = self._window()
        return resize_depth(small[top : top + height, left : left + width], self.height, self.width)

    def intrinsics(self, camera_matrix: FloatArray) -> FloatArray:
        """Return the (3, 3) camera matrix of the view from that of the camera; pixel (0, 0) is the middle of the first."""
        top, left, height, width = self._window()
        scale = (
            self.width / width * self.width / self.camera_width,
            self.height / height * self.height / self.camera_height,
        )
        # Edges are what scales, not middles of pixels.
        centre_x = ((camera_matrix[0, 2] + 0.5) * self.width / self.camera_width - left) * self.width / width - 0.5
        centre_y = ((camera_matrix[1, 2] + 0.5) * self.height / self.camera_height - top) * self.height / height - 0.5
        focal_x, focal_y = camera_matrix[0, 0] * scale[0], camera_matrix[1, 1] * scale[1]
        return np.array([[focal_x, 0.0, centre_x], [0.0, focal_y, centre_y], [0.0, 0.0, 1.0]])

    def _window(self) -> tuple[int, int, int, int]:
        """Top, left, height and width of what is shown, in the view's pixels before it is enlarged again."""
        height, width = int(self.crop * self.height), int(self.crop * self.width)
        return (self.height - height) // 2, (self.width - width) // 2, height, width


def ideal_matrix(camera: Camera) -> FloatArray:
    """Return the (3, 3) camera matrix of a simulated camera, pixel centres at whole numbers."""
    focal = camera.height / 2 / np.tan(camera.vertical_fov_rad / 2)
    return np.array([[focal, 0, (camera.width - 1) / 2], [0, focal, (camera.height - 1) / 2], [0, 0, 1]])


def sights_of(robot: Robot, mosaic: Mosaic, card: Card | None) -> dict[str, Sight]:
    """Return how the views of a mosaic are seen, in its order; the card says how much is cut away."""
    crop = 1.0 if card is None else float(card.params.get("crop", 1.0))
    return {cell.camera: Sight.of(robot.camera(cell.camera), cell, mosaic, crop) for cell in mosaic.cells}
