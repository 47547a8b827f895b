# SPDX-License-Identifier: Apache-2.0
"""The calibration board and the camera that looks at it, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.handeye.problem import Pinhole
from wam_ros.core.types import FloatArray

Dictionary = Literal["4x4_250", "5x5_250", "6x6_250"]


@dataclass(frozen=True)
class Board:
    """A ChArUco board: a chessboard with a marker in every white square.

    Its frame: origin at the outer corner of the first square, x along the columns, y down the rows, z into the
    board, so that a camera in front of it that is held upright has nearly the same axes.

    Attributes:
        columns, rows: squares.
        square_m, marker_m: sides.
        dictionary: of the markers.
        legacy: squares in the order that OpenCV had before 4.6; differs for an even number of rows.
    """

    columns: int = 11
    rows: int = 8
    square_m: float = 0.02
    marker_m: float = 0.015
    dictionary: Dictionary = "6x6_250"
    legacy: bool = False

    def __post_init__(self) -> None:
        if min(self.columns, self.rows) < 3:
            raise ConfigError(
                mismatch("board", "at least 3 x 3 squares", f"{self.columns} x {self.rows}", "add squares")
            )
        if not 0 < self.marker_m < self.square_m:
            raise ConfigError(
                mismatch("board: marker_m", f"between 0 and square_m {self.square_m}", self.marker_m, "measure both")
            )
        if self.square_m > 1:
            raise ConfigError(mismatch("board: square_m", "metres", self.square_m, "divide millimetres by 1000"))

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height."""
        return self.columns * self.square_m, self.rows * self.square_m

    def corners(self) -> FloatArray:
        """(M, 3) inner corners in the board's frame [m], row by row."""
        x, y = np.arange(1, self.columns), np.arange(1, self.rows)
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2) * self.square_m
        corners: FloatArray = np.c_[grid, np.zeros(len(grid))]
        return corners


@dataclass(frozen=True)
class Optics:
    """A camera's inner calibration.

    Attributes:
        width, height: of the picture [px].
        fx, fy, cx, cy: focal lengths and centre [px].
        distortion: coefficients in OpenCV's order (k1 k2 p1 p2 k3 ...); none for rectified pictures.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if min(self.fx, self.fy) <= 0 or not (0 < self.cx < self.width and 0 < self.cy < self.height):
            raise ConfigError(
                mismatch(
                    "intrinsics",
                    "positive focal lengths and a centre inside the picture",
                    (self.fx, self.fy, self.cx, self.cy),
                    "take camera_info of the same resolution, or calibrate the camera",
                )
            )

    @property
    def pinhole(self) -> Pinhole:
        """The ideal camera that undistorted corners belong to."""
        return Pinhole(self.fx, self.fy, self.cx, self.cy)

    def matrix(self) -> FloatArray:
        """(3, 3) camera matrix."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])
