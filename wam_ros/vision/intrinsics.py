# SPDX-License-Identifier: Apache-2.0
"""A camera's inner calibration from pictures of the board: check what the driver says, or find it anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import CalibrationError
from wam_ros.core.types import FloatArray
from wam_ros.vision.boards import Corners, board_pose, coverage, undistorted

LEAST_PICTURES = 8
LEAST_COVERED = 0.6
"""Share of the picture's cells in which corners must have been seen."""
LARGEST_RMS_PX = 0.6
LARGEST_FOCAL_ERROR = 0.005
"""Standard deviation of the focal length, as a share of it."""
LEAST_TILT_RAD = 0.2
"""Without tilt, focal length and distance cannot be told apart."""


@dataclass(frozen=True)
class Intrinsics:
    """Optics found from pictures.

    Attributes:
        optics: the camera.
        rms_px: of all corners.
        sigma_px: standard deviations of fx, fy, cx, cy.
    """

    optics: Optics
    rms_px: float
    sigma_px: tuple[float, float, float, float]


def fitness_px(pictures: Sequence[Corners], board: Board, optics: Optics) -> float:
    """Return the median, over pictures, of the corners' root mean square error under given intrinsics [px].

    Raises:
        CalibrationError: there are no pictures.
    """
    if not pictures:
        raise CalibrationError("intrinsics: no picture of the board; take some")
    corners = board.corners()
    errors = [board_pose(corners[found.ids], undistorted(found.pixels, optics), optics)[1] for found in pictures]
    return float(np.median(errors))


def calibrate_intrinsics(pictures: Sequence[Corners], board: Board, width: int, height: int) -> Intrinsics:
    """Return the intrinsics that fit the pictures best.

    Raises:
        CalibrationError: too few pictures, too little of the picture covered, no tilt, or a fit too poor or uncertain.
    """
    if len(pictures) < LEAST_PICTURES:
        raise CalibrationError(
            f"intrinsics: expected at least {LEAST_PICTURES} pictures, got {len(pictures)}; take more"
        )
    covered = float((coverage(pictures, width, height) > 0).mean())
    if covered < LEAST_COVERED:
        raise CalibrationError(
            f"intrinsics: the board was seen in {covered:.0%} of the picture's parts, at least {LEAST_COVERED:.0%} wanted; "
            f"show it in the corners too"
        )
    corners = board.corners().astype(np.float32)
    points = [corners[found.ids] for found in pictures]
    pixels = [found.pixels.astype(np.float32) for found in pictures]
    guess, flags = _first_matrix(width, height), cv2.CALIB_USE_INTRINSIC_GUESS
    rms, K, distortion, turns, _, sigma, _, _ = cv2.calibrateCameraExtended(
        points, pixels, (width, height), guess, np.zeros(5), flags=flags
    )
    if _largest_tilt(turns) < LEAST_TILT_RAD:
        raise CalibrationError("intrinsics: the board always faced the camera; tilt it by 30 degrees in some pictures")
    if rms > LARGEST_RMS_PX:
        raise CalibrationError(
            f"intrinsics: corners lie {rms:.2f} px off, at most {LARGEST_RMS_PX} allowed; use a flat board and a sharp picture"
        )
    focal = float(sigma[0, 0] / K[0, 0])
    if focal > LARGEST_FOCAL_ERROR:
        raise CalibrationError(
            f"intrinsics: the focal length is known to {focal:.1%} only, {LARGEST_FOCAL_ERROR:.1%} wanted; take more "
            f"pictures with a tilted board"
        )
    fx, fy, cx, cy = (float(K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    optics = Optics(width, height, fx, fy, cx, cy, tuple(float(value) for value in np.ravel(distortion)))
    spread = [float(value) for value in np.ravel(sigma)[:4]]
    return Intrinsics(optics, float(rms), (spread[0], spread[1], spread[2], spread[3]))


def _first_matrix(width: int, height: int) -> FloatArray:
    """A camera that sees about 60 degrees, from where the solver starts."""
    return np.array([[0.9 * width, 0.0, (width - 1) / 2], [0.0, 0.9 * width, (height - 1) / 2], [0.0, 0.0, 1.0]])


def _largest_tilt(turns: Sequence[Any]) -> float:
    """Largest angle between the optical axis and the board's normal."""
    return float(max(np.arccos(np.clip(cv2.Rodrigues(turn)[0][2, 2], -1, 1)) for turn in turns))
