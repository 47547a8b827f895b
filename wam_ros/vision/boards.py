# SPDX-License-Identifier: Apache-2.0
"""Find a calibration board in a picture, to a fraction of a pixel, and say when the picture is not good enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.problem import Sighting
from wam_ros.core.transforms import rigid
from wam_ros.core.types import ByteImage, FloatArray
from wam_ros.vision.patterns import pattern

LEAST_CORNERS = 12
LARGEST_BLUR_PX = 2.0
"""Standard deviation of the blur beyond which corners are no longer where they seem to be."""
LEAST_CONTRAST = 50.0
"""Grey levels between black and white squares."""
LARGEST_ERROR_PX = 1.0
"""Root mean square distance of a picture's corners from the pose that fits them."""
GRID = (6, 4)
"""Cells of the picture, across and down, that coverage counts."""
WHOLE_PX = 1e-6
GAUSSIAN_SLOPE = float(np.sqrt(2 * np.pi))


@dataclass(frozen=True)
class Corners:
    """A board's corners in one picture.

    Attributes:
        ids: (M,) which of the board's corners.
        pixels: (M, 2) where they are, lens distortion and all.
        blur_px: standard deviation of the blur, from the slope of the squares' edges.
        contrast: grey levels between black and white squares.
    """

    ids: NDArray[np.int64]
    pixels: FloatArray
    blur_px: float
    contrast: float


class BoardFinder:
    """Finds one board in pictures."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._pattern = pattern(board)
        self._corners, self._sides = board.corners(), board.sides()

    def find(self, image: ByteImage) -> Corners | None:
        """Return the corners in an RGB (H, W, 3) or grey (H, W) picture; None where no board is seen."""
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image, dtype=np.uint8)
        located = self._pattern.locate(grey)
        if located is None or len(located.ids) < 4:
            return None
        return Corners(*located, *self._sharpness(grey, *located))

    def require(self, image: ByteImage) -> Corners:
        """Return the corners of a picture that is good enough.

        Raises:
            CalibrationError: no board, mirrored, too little of it, blurred or without contrast; says which.
        """
        found = self.find(image)
        if found is None:
            raise CalibrationError(self._absence(image))
        if found.blur_px > LARGEST_BLUR_PX:
            raise CalibrationError(
                f"board: the picture is blurred by {found.blur_px:.1f} px, at most {LARGEST_BLUR_PX:.1f} allowed; "
                f"let the arm come to rest, focus, or shorten the exposure"
            )
        if len(found.ids) < LEAST_CORNERS:
            raise CalibrationError(
                f"board: expected at least {LEAST_CORNERS} corners, got {len(found.ids)}; show more of the board"
            )
        if found.contrast < LEAST_CONTRAST:
            raise CalibrationError(
                f"board: black and white differ by {found.contrast:.0f} grey levels, at least {LEAST_CONTRAST:.0f} wanted; "
                f"the picture is too dark or saturated: change light or exposure"
            )
        return found

    def sighting(self, image: ByteImage, optics: Optics, camera: str, board: str, pose: int) -> Sighting:
        """Return the board's sighting in a picture, its corners undistorted.

        Raises:
            CalibrationError: the picture is not good enough, not of the stated size, or does not fit the intrinsics.
        """
        if image.shape[:2] != (optics.height, optics.width):
            raise CalibrationError(
                f"camera {camera}: expected pictures of {optics.width} x {optics.height}, got {image.shape[1]} x "
                f"{image.shape[0]}; take intrinsics of the same resolution"
            )
        found = self.require(image)
        points = self._corners[found.ids]
        pixels = undistorted(found.pixels, optics)
        T_cam_board, error_px = board_pose(points, pixels, optics)
        if error_px > LARGEST_ERROR_PX:
            raise CalibrationError(
                f"camera {camera}: corners lie {error_px:.1f} px from where a flat board would have them, at most "
                f"{LARGEST_ERROR_PX:.1f} allowed; flatten the board, or calibrate the camera's intrinsics"
            )
        return Sighting(camera, board, pose, points, pixels, T_cam_board)

    def _absence(self, image: ByteImage) -> str:
        """Why no board is found. A checkerboard's mirror image is a checkerboard; the arm's motion tells (consistency.py)."""
        if self.board.found_whole:
            return (
                f"board: no {self.board.title} is in view with all its squares and a white margin; count its squares, "
                f"and show it whole, at rest, in focus"
            )
        if self.find(np.ascontiguousarray(image[:, ::-1])) is not None:
            return "board: the picture is mirrored; switch the driver's flip off"
        return "board: none in view, or its markers are too small or too blurred to read; show it from nearer, at rest, in focus"

    def _sharpness(self, grey: ByteImage, ids: NDArray[np.int64], pixels: FloatArray) -> tuple[float, float]:
        """Blur and contrast, from the middle of the squares' sides: a blurred edge has the slope contrast / (s sqrt(2 pi))."""
        where = np.full((len(self._corners), 2), np.nan)
        where[ids] = pixels
        middles = where[self._sides].mean(axis=1)
        middles = middles[~np.isnan(middles).any(axis=1)]
        if not len(middles):
            return np.inf, 0.0
        rows_columns = _box(pixels, grey.shape)
        patch = grey[rows_columns].astype(np.float32)
        contrast = float(np.percentile(patch, 90) - np.percentile(patch, 10))
        slope = np.hypot(cv2.Sobel(patch, cv2.CV_32F, 1, 0), cv2.Sobel(patch, cv2.CV_32F, 0, 1)) / 8
        columns, rows = np.round(middles - [rows_columns[1].start, rows_columns[0].start]).astype(int).T
        steepest = float(np.median(cv2.dilate(slope, np.ones((3, 3), np.uint8))[rows, columns]))
        return contrast / (GAUSSIAN_SLOPE * max(steepest, 1e-6)), contrast


def _box(pixels: FloatArray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns that the corners span."""
    low, high = np.floor(pixels.min(axis=0)).astype(int), np.ceil(pixels.max(axis=0)).astype(int) + 1
    return slice(max(low[1], 0), min(high[1] + 1, shape[0])), slice(max(low[0], 0), min(high[0] + 1, shape[1]))


def picture(board: Board, square_px: int) -> ByteImage:
    """Return the board seen from the front, grey, without margin, ``square_px`` to a ``square_m``.

    Raises:
        ConfigError: squares and markers are not whole pixels.
    """
    return pattern(board).draw(square_px)


def whole_px(board: Board, px_per_m: float) -> int:
    """Return the pixels of a square, about ``px_per_m``, with which its marker has whole pixels too.

    Much finer pictures than a camera resolves are not better: a renderer that thins them out makes corners noisy.
    """
    wanted = board.square_m * px_per_m
    if board.kind == "checkerboard":
        return round(wanted)
    share = board.marker_m / board.square_m
    whole = [n for n in range(1, 2 * round(wanted)) if abs(n * share - round(n * share)) < WHOLE_PX]
    return min(whole, key=lambda n: abs(n - wanted), default=round(wanted))


def undistorted(pixels: FloatArray, optics: Optics) -> FloatArray:
    """Return (M, 2) pixels as an ideal camera of the same focal length would see them."""
    if not any(optics.distortion):
        return pixels
    K = optics.matrix()
    straight = cv2.undistortPoints(pixels.reshape(-1, 1, 2), K, np.array(optics.distortion), P=K)
    return np.asarray(straight, dtype=np.float64).reshape(-1, 2)


def board_pose(points: FloatArray, pixels: FloatArray, optics: Optics) -> tuple[FloatArray, float]:
    """Return T_cam_board (4, 4) of undistorted corners, and the root mean square error it leaves [px].

    Of the two poses that a flat board may seem to have, the one that fits better.
    """
    K, none = optics.matrix(), np.zeros(5)
    count, turns, moves, _ = cv2.solvePnPGeneric(points, pixels, K, none, flags=cv2.SOLVEPNP_IPPE)
    best, least = np.eye(4), np.inf
    for turn, move in zip(turns[:count], moves[:count], strict=True):
        turn, move = cv2.solvePnPRefineLM(points, pixels, K, none, turn, move)
        seen = cv2.projectPoints(points, turn, move, K, none)[0].reshape(-1, 2)
        error = float(np.sqrt(((seen - pixels) ** 2).sum(axis=1).mean()))
        if error < least:
            R = np.asarray(cv2.Rodrigues(turn)[0], dtype=np.float64)
            best, least = rigid(R, np.asarray(move, dtype=np.float64).reshape(3)), error
    return best, least


def coverage(pictures: Iterable[Corners], width: int, height: int) -> FloatArray:
    """(rows, columns) of GRID: how many corners fell into each cell of the picture."""
    across, down = GRID
    counts = np.zeros((down, across))
    for found in pictures:
        cells = (found.pixels / [width, height] * [across, down]).astype(int)
        inside = (cells >= 0).all(axis=1) & (cells < [across, down]).all(axis=1)
        np.add.at(counts, (cells[inside, 1], cells[inside, 0]), 1)
    return counts
