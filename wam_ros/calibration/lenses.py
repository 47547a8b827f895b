# SPDX-License-Identifier: Apache-2.0
"""Inner calibration of cameras from pictures in files: found where it is missing, checked where it is stated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import CalibrationError, ConfigError, mismatch
from wam_ros.core.types import ByteImage
from wam_ros.vision.boards import BoardFinder, Corners
from wam_ros.vision.intrinsics import Intrinsics, calibrate_intrinsics, fitness_px

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MUCH_WORSE, SLACK_PX = 1.5, 0.05
"""Stated intrinsics are poor when they leave so many times, plus so much, of what the best ones leave."""


@dataclass(frozen=True)
class Shots:
    """The board in pictures of one camera.

    Attributes:
        corners: of each picture that counts.
        width, height: of all pictures [px].
        skipped: a line for each that does not count.
    """

    corners: tuple[Corners, ...]
    width: int
    height: int
    skipped: tuple[str, ...]


def read_picture(path: Path) -> ByteImage:
    """Return the (H, W, 3) RGB of a file.

    Raises:
        ConfigError: it is not a picture.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise ConfigError(f"{path}: is not a picture that can be read ({error}); take PNG or JPEG") from error


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in a folder, by name.

    Raises:
        ConfigError: no folder, or no picture in it.
    """
    if not folder.is_dir():
        raise ConfigError(mismatch(f"{folder}", "a folder of pictures of one camera", "none", "give its path"))
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not found:
        raise ConfigError(mismatch(f"{folder}", f"pictures ({', '.join(PICTURES)})", "none", "take some of the board"))
    return found


def look_at(paths: Iterable[Path], board: Board) -> Shots:
    """Find the board in pictures of one camera.

    Raises:
        ConfigError: a file is not a picture, or pictures have two sizes.
    """
    finder, corners, skipped, sizes = BoardFinder(board), [], [], {}
    for path in paths:
        image = read_picture(path)
        sizes[f"{image.shape[1]} x {image.shape[0]}"] = path.name
        try:
            corners.append(finder.require(image))
        except CalibrationError as error:
            skipped.append(f"{path.name}: does not count, {error}")
    if len(sizes) != 1:
        raise ConfigError(
            mismatch("pictures", "one size", sizes or "none", "take all with one camera at one resolution")
        )
    height, width = image.shape[:2]
    return Shots(tuple(corners), width, height, tuple(skipped))


def found_in(shots: Shots, board: Board, camera: str) -> Intrinsics:
    """Return the intrinsics that fit best.

    Raises:
        CalibrationError: the pictures do not say enough; names the camera and why.
    """
    try:
        return calibrate_intrinsics(shots.corners, board, shots.width, shots.height)
    except CalibrationError as error:
        raise CalibrationError(f"camera {camera}: {error}") from error


def judged(shots: Shots, board: Board, stated: Optics, best: Intrinsics) -> str:
    """Return what stated intrinsics are worth, beside the best ones.

    Raises:
        CalibrationError: they are of another resolution.
    """
    if (stated.width, stated.height) != (shots.width, shots.height):
        expected, got = f"{shots.width} x {shots.height}", f"{stated.width} x {stated.height}"
        raise CalibrationError(mismatch("stated intrinsics", expected, got, "take those of the same resolution"))
    left_px, least_px = (fitness_px(shots.corners, board, optics) for optics in (stated, best.optics))
    poor = left_px > MUCH_WORSE * least_px + SLACK_PX
    verdict = "poor, take the ones found here" if poor else "good"
    return f"stated intrinsics leave {left_px:.2f} px, the best {least_px:.2f} px: {verdict}"


def told(found: Intrinsics) -> str:
    """Return intrinsics for people, with their standard deviations."""
    o, sigmas = found.optics, found.sigma_px
    values = zip(("fx", "fy", "cx", "cy"), (o.fx, o.fy, o.cx, o.cy), sigmas, strict=True)
    parts = ", ".join(f"{name} {value:.2f} +- {sigma:.2f}" for name, value, sigma in values)
    bent = ", ".join(f"{value:.4f}" for value in o.distortion)
    return f"{o.width} x {o.height}, {parts} px; distortion {bent}; corners lie {found.rms_px:.2f} px off"
