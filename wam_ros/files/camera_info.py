# SPDX-License-Identifier: Apache-2.0
"""A camera's inner calibration as a file that ROS drivers read (camera_info_manager's YAML)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from wam_ros.core.board import Optics
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.files.load import load_yaml, to_data

MODELS = ("plumb_bob", "rational_polynomial")
"""Whose coefficients stand in OpenCV's order."""


@dataclass(frozen=True)
class Matrix:
    """A matrix, row by row."""

    rows: int
    cols: int
    data: tuple[float, ...]


@dataclass(frozen=True)
class CameraInfoFile:
    """The file, with the names that ROS gives to its parts."""

    image_width: int
    image_height: int
    camera_name: str
    camera_matrix: Matrix
    distortion_model: str
    distortion_coefficients: Matrix
    rectification_matrix: Matrix = Matrix(3, 3, (1, 0, 0, 0, 1, 0, 0, 0, 1))
    projection_matrix: Matrix = Matrix(3, 4, (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0))


def save_camera_info(optics: Optics, camera: str, path: Path) -> None:
    """Write a camera's inner calibration.

    Raises:
        ConfigError: the file cannot be written.
    """
    fx, fy, cx, cy = optics.fx, optics.fy, optics.cx, optics.cy
    content = CameraInfoFile(
        image_width=optics.width,
        image_height=optics.height,
        camera_name=camera,
        camera_matrix=Matrix(3, 3, (fx, 0, cx, 0, fy, cy, 0, 0, 1)),
        distortion_model="plumb_bob" if len(optics.distortion) <= 5 else "rational_polynomial",
        distortion_coefficients=Matrix(1, len(optics.distortion), optics.distortion),
        projection_matrix=Matrix(3, 4, (fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0)),
    )
    try:
        path.write_text(yaml.safe_dump(to_data(content), sort_keys=False, default_flow_style=None), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def load_camera_info(path: Path) -> Optics:
    """Read a camera's inner calibration.

    Raises:
        ConfigError: not such a file, or a lens that OpenCV's coefficients do not describe.
    """
    content = load_yaml(path, CameraInfoFile)
    if content.distortion_model not in MODELS:
        expected, got = " or ".join(MODELS), content.distortion_model
        raise ConfigError(mismatch(f"{path}: distortion_model", expected, got, "calibrate the camera"))
    count = len(content.camera_matrix.data)
    if count != 9:
        raise ConfigError(mismatch(f"{path}: camera_matrix", "9 values", count, "calibrate the camera"))
    fx, _, cx, _, fy, cy = content.camera_matrix.data[:6]
    distortion = content.distortion_coefficients.data
    return Optics(content.image_width, content.image_height, fx, fy, cx, cy, distortion)
