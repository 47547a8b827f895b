# SPDX-License-Identifier: Apache-2.0
"""What each kind of board looks like: how it is drawn, and how its corners are found, to a fraction of a pixel."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.board import Board, Kind
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.types import ByteImage, FloatArray

TAG_BORDER = 2
"""Black cells around a tag's bits; kalibr prints two."""
EDGE_PX = 2.0
"""From the window of a tag's corner to the picture's edge, at least."""
SEPARATING, LEAST_SEPARATING = 0.2, 7.0
"""How much darker than its surroundings black is, as a share of the contrast: parts a tag from the squares it touches."""
ZONES = (2, 8)
"""Half sizes of the window in which a tag's corner is refined [px]."""


class Located(NamedTuple):
    """(M,) which of the board's corners, and (M, 2) where they are [px]."""

    ids: NDArray[np.int64]
    pixels: FloatArray


class Pattern(Protocol):
    """One kind of board."""

    def locate(self, grey: ByteImage) -> Located | None:
        """Return the corners in a grey (H, W) picture; None where none are seen."""

    def draw(self, square_px: int) -> ByteImage:
        """Return the board from the front, grey, without margin, ``square_px`` to a ``square_m``.

        Raises:
            ConfigError: squares and markers are not whole pixels.
        """


def pattern(board: Board) -> Pattern:
    """Return a board's pattern."""
    kinds: dict[Kind, type[Charuco] | type[AprilGrid] | type[Checkerboard]]
    kinds = {"charuco": Charuco, "aprilgrid": AprilGrid, "checkerboard": Checkerboard}
    return kinds[board.kind](board)


class Charuco:
    """A chessboard with markers; OpenCV draws and finds it."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._opencv = cv2.aruco.CharucoBoard(
            (board.columns, board.rows), board.square_m, board.marker_m, _words(board)
        )
        self._opencv.setLegacyPattern(board.legacy)
        self._detector = cv2.aruco.CharucoDetector(self._opencv)

    def locate(self, grey: ByteImage) -> Located | None:
        """See :class:`Pattern`."""
        pixels, ids, _, _ = self._detector.detectBoard(grey)
        if ids is None:
            return None
        return Located(ids.reshape(-1).astype(np.int64), pixels.reshape(-1, 2).astype(np.float64))

    def draw(self, square_px: int) -> ByteImage:
        """See :class:`Pattern`."""
        board = self._board
        try:
            drawn = self._opencv.generateImage((board.columns * square_px, board.rows * square_px))
        except cv2.error as error:
            raise _not_whole(board, square_px) from error
        return np.asarray(drawn, dtype=np.uint8)


class AprilGrid:
    """Tags with a small black square at each corner, so that the corner is the middle of a cross.

    OpenCV's tags are kalibr's turned by 180 degrees.

    Source: ethz-asl/kalibr, kalibr_create_target_pdf and GridCalibrationTargetAprilgrid.
    """

    def __init__(self, board: Board) -> None:
        self._board, self._words = board, _words(board)
        self._settings = cv2.aruco.DetectorParameters()
        self._settings.markerBorderBits = TAG_BORDER
        self._detector = cv2.aruco.ArucoDetector(self._words, self._settings)

    def locate(self, grey: ByteImage) -> Located | None:
        """See :class:`Pattern`."""
        dark, bright = np.percentile(grey[::4, ::4], [5, 95])
        self._settings.adaptiveThreshConstant = max(SEPARATING * (bright - dark), LEAST_SEPARATING)
        self._detector.setDetectorParameters(self._settings)
        outlines, found, _ = self._detector.detectMarkers(grey)
        tags = np.zeros(0, np.int64) if found is None else found.reshape(-1).astype(np.int64)
        own = (tags < self._board.columns * self._board.rows) & (np.bincount(tags, minlength=1)[tags] == 1)
        if not own.any():
            return None
        rough = np.concatenate(outlines).reshape(-1, 4, 2)[own]
        # Half of the gap: no window reaches the next corner.
        sides_px = np.linalg.norm(rough - np.roll(rough, 1, axis=1), axis=2).min(axis=1)
        zones = np.clip(sides_px * self._board.gap_m / self._board.marker_m / 2, *ZONES).astype(int)
        pixels = np.concatenate([_refined(grey, corners, zone) for corners, zone in zip(rough, zones, strict=True)])
        ids = (4 * tags[own][:, None] + np.arange(4)).reshape(-1)
        # A corner that was not found stays where it was, on whole pixels.
        found_finer = (pixels != rough.reshape(-1, 2)).any(axis=1)
        kept = found_finer & _within(pixels, grey, np.repeat(zones, 4) + EDGE_PX)
        return Located(ids[kept], pixels[kept])

    def draw(self, square_px: int) -> ByteImage:
        """See :class:`Pattern`."""
        board = self._board
        tag_px = _whole(board, square_px, board.marker_m)
        gap_px = square_px - tag_px
        drawn = np.full((board.rows * square_px + gap_px, board.columns * square_px + gap_px), 255, np.uint8)
        for row in range(board.rows + 1):
            for column in range(board.columns + 1):
                top, left = row * square_px, column * square_px
                drawn[top : top + gap_px, left : left + gap_px] = 0
                if row < board.rows and column < board.columns:
                    tag = (board.rows - 1 - row) * board.columns + column
                    bits = np.rot90(cv2.aruco.generateImageMarker(self._words, tag, tag_px, borderBits=TAG_BORDER), 2)
                    drawn[top + gap_px : top + square_px, left + gap_px : left + square_px] = bits
        return drawn


class Checkerboard:
    """Squares without markers: found whole, the right way up by the colour of its first square."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def locate(self, grey: ByteImage) -> Located | None:
        """See :class:`Pattern`."""
        shape = (self._board.rows - 1, self._board.columns - 1)
        seen, pixels = cv2.findChessboardCornersSB(grey, shape[::-1], flags=0)
        if not seen:
            return None
        grid = pixels.reshape(*shape, 2).astype(np.float64)
        along, down = grid[0, -1] - grid[0, 0], grid[-1, 0] - grid[0, 0]
        if along[0] * down[1] - along[1] * down[0] < 0:
            grid = grid[:, ::-1]  # seen from behind, which a board on paper cannot be
        if _first_is_white(grey, grid):
            grid = grid[::-1, ::-1]
        return Located(np.arange(shape[0] * shape[1]), grid.reshape(-1, 2).copy())

    def draw(self, square_px: int) -> ByteImage:
        """See :class:`Pattern`."""
        rows, columns = np.indices((self._board.rows, self._board.columns))
        squares = np.where((rows + columns) % 2, 255, 0).astype(np.uint8)
        return np.repeat(np.repeat(squares, square_px, axis=0), square_px, axis=1)


def _first_is_white(grey: ByteImage, grid: FloatArray) -> bool:
    """Whether the square before the first inner corner, of (R, C, 2) corners, is white: all inner squares are asked."""
    middles = (grid[:-1, :-1] + grid[:-1, 1:] + grid[1:, :-1] + grid[1:, 1:]) / 4
    columns, rows = np.clip(np.round(middles), 0, np.array(grey.shape[::-1]) - 1).astype(int).reshape(-1, 2).T
    like_first = np.indices(middles.shape[:2]).sum(axis=0).reshape(-1) % 2 == 0
    shades = cv2.blur(grey, (3, 3))[rows, columns].astype(np.float64)
    return bool(shades[like_first].mean() > shades[~like_first].mean())


def _refined(grey: ByteImage, corners: FloatArray, zone: int) -> FloatArray:
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.01)
    found = cv2.cornerSubPix(grey, corners.astype(np.float32).reshape(-1, 1, 2), (zone, zone), (-1, -1), until)
    return np.asarray(found, dtype=np.float64).reshape(-1, 2)


def _within(pixels: FloatArray, grey: ByteImage, margin_px: FloatArray) -> NDArray[np.bool_]:
    last = np.array(grey.shape[::-1]) - 1
    return np.asarray((np.minimum(pixels, last - pixels) >= margin_px[:, None]).all(axis=1))


def _words(board: Board) -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{board.dictionary.upper()}"))


def _whole(board: Board, square_px: int, length_m: float) -> int:
    length_px = square_px * length_m / board.square_m
    if abs(length_px - round(length_px)) > 1e-6:
        raise _not_whole(board, square_px)
    return round(length_px)


def _not_whole(board: Board, square_px: int) -> ConfigError:
    return ConfigError(
        mismatch(
            "board",
            f"a marker of whole pixels where a square has {square_px}",
            f"{board.marker_m} m in {board.square_m} m",
            "make square and marker whole quarters of a millimetre",
        )
    )
