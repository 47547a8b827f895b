# SPDX-License-Identifier: Apache-2.0
"""The calibration board and the camera that looks at it, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.handeye.problem import Pinhole
from wam_ros.core.types import FloatArray

Kind = Literal["charuco", "aprilgrid", "checkerboard"]
Dictionary = Literal["4x4_250", "5x5_250", "6x6_250", "apriltag_36h11"]
APRILTAGS: Dictionary = "apriltag_36h11"
MARKERS: dict[Dictionary, int] = {"4x4_250": 250, "5x5_250": 250, "6x6_250": 250, APRILTAGS: 587}
"""How many each dictionary has."""


@dataclass(frozen=True)
class Board:
    """A flat calibration board: ChArUco (a chessboard with a marker in every white square), AprilGrid, or checkerboard.

    Its frame: origin at the pattern's outer corner, x along the columns, y down the rows, z into the board, so that a
    camera in front of it that is held upright has nearly the same axes. A chessboard's first square is black. An
    AprilGrid is kalibr's: tag 0 at the lower left, a small black square at each corner of each tag.

    Attributes:
        columns, rows: squares; tags of an AprilGrid.
        square_m: side of a square; of an AprilGrid the distance from one tag to the next (tagSize * (1 + tagSpacing)).
        marker_m: side of a marker; a checkerboard has none.
        dictionary: of the markers.
        legacy: a ChArUco's squares in the order that OpenCV had before 4.6; differs for an even number of rows.
        kind: of the pattern.
    """

    columns: int = 11
    rows: int = 8
    square_m: float = 0.02
    marker_m: float = 0.015
    dictionary: Dictionary = "6x6_250"
    legacy: bool = False
    kind: Kind = "charuco"

    def __post_init__(self) -> None:
        if min(self.columns, self.rows) < 3:
            raise ConfigError(
                mismatch("board", "at least 3 x 3 squares", f"{self.columns} x {self.rows}", "add squares")
            )
        if not 0 < self.square_m <= 1:
            raise ConfigError(mismatch("board: square_m", "metres", self.square_m, "divide millimetres by 1000"))
        if self.kind == "checkerboard":
            self._require_one_way_up()
        else:
            self._require_markers()

    def _require_one_way_up(self) -> None:
        if (self.columns + self.rows) % 2 == 0:
            raise ConfigError(
                mismatch(
                    "board",
                    "a checkerboard with columns + rows odd",
                    f"{self.columns} x {self.rows}, which looks the same turned by 180 degrees",
                    "take one row or column more",
                )
            )

    def _require_markers(self) -> None:
        if not 0 < self.marker_m < self.square_m:
            raise ConfigError(
                mismatch("board: marker_m", f"between 0 and square_m {self.square_m}", self.marker_m, "measure both")
            )
        if self.kind == "aprilgrid" and self.dictionary != APRILTAGS:
            raise ConfigError(mismatch("board: dictionary", APRILTAGS, self.dictionary, "an AprilGrid has no other"))
        count = self.columns * self.rows // (1 if self.kind == "aprilgrid" else 2)
        if count > MARKERS[self.dictionary]:
            most = f"at most {MARKERS[self.dictionary]} markers, all that {self.dictionary} has"
            raise ConfigError(mismatch("board", most, count, "take fewer columns or rows"))

    @property
    def gap_m(self) -> float:
        """Between two tags of an AprilGrid; the side of its small squares."""
        return self.square_m - self.marker_m

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height."""
        around = self.gap_m if self.kind == "aprilgrid" else 0.0
        return self.columns * self.square_m + around, self.rows * self.square_m + around

    @property
    def found_whole(self) -> bool:
        """Whether a picture must show all of it, because nothing tells its parts apart."""
        return self.kind == "checkerboard"

    @property
    def title(self) -> str:
        """What it is, for people."""
        size, square, marker = (
            f"{self.columns} x {self.rows}",
            f"{self.square_m * 1e3:g} mm",
            f"{self.marker_m * 1e3:g} mm",
        )
        if self.kind == "checkerboard":
            return f"checkerboard {size}, squares {square}"
        if self.kind == "aprilgrid":
            return f"AprilGrid {size}, tags {marker}, {square} from one to the next, {self.dictionary}"
        return f"ChArUco {size}, squares {square}, markers {marker}, dictionary {self.dictionary}"

    def corners(self) -> FloatArray:
        """(M, 3) corners in the board's frame [m]: inner corners of the squares row by row, or four of each tag."""
        if self.kind == "aprilgrid":
            return self._tag_corners()
        x, y = np.arange(1, self.columns), np.arange(1, self.rows)
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2) * self.square_m
        corners: FloatArray = np.c_[grid, np.zeros(len(grid))]
        return corners

    def _tag_corners(self) -> FloatArray:
        """Tags left to right from the lowest row up; of each the lower right corner, lower left, upper left, upper right."""
        tag = np.arange(self.columns * self.rows)
        places = (
            np.stack([tag % self.columns, self.rows - 1 - tag // self.columns], axis=1) * self.square_m + self.gap_m
        )
        around = np.array([[1, 1], [0, 1], [0, 0], [1, 0]]) * self.marker_m
        flat = (places[:, None] + around).reshape(-1, 2)
        corners: FloatArray = np.c_[flat, np.zeros(len(flat))]
        return corners

    def sides(self) -> NDArray[np.int64]:
        """(S, 2) pairs of corners between which a black and a white area meet in a straight line."""
        if self.kind == "aprilgrid":
            ids = np.arange(4 * self.columns * self.rows).reshape(-1, 4)
            return np.stack([ids, np.roll(ids, -1, axis=1)], axis=-1).reshape(-1, 2)
        ids = np.arange((self.columns - 1) * (self.rows - 1)).reshape(self.rows - 1, self.columns - 1)
        along = np.stack([ids[:, :-1], ids[:, 1:]], axis=-1).reshape(-1, 2)
        down = np.stack([ids[:-1], ids[1:]], axis=-1).reshape(-1, 2)
        return np.concatenate([along, down])


STANDARD: dict[Kind, Board] = {
    "charuco": Board(),
    "aprilgrid": Board(8, 5, 0.0312, 0.024, APRILTAGS, kind="aprilgrid"),
    "checkerboard": Board(9, 6, 0.012, kind="checkerboard"),
}
"""What each kind is when nobody says more; all fit on A4. The checkerboard is small, for a gripper must not hide any of it."""


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
