# SPDX-License-Identifier: Apache-2.0
"""Whether the calibration file of a robot may be used now: there, fresh, of this robot and of these cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from wam_ros.core.errors import CalibrationError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.files.calibration import CalibrationFile, load

#: The optics of another camera, or of another resolution of the same, differ by more.
SAME_OPTICS = 0.02


def read_mounts(
    robot: Robot,
    file: str,
    cameras: Sequence[str],
    now: datetime,
    most_days: float,
    serials: Mapping[str, str] | None = None,
) -> CalibrationFile | None:
    """Return the calibration of a robot; None for a twin without one, whose cameras are where its URDF has them.

    Args:
        robot: whose.
        file: path of the calibration file; empty: none.
        cameras: that must be in it.
        now: with a time zone.
        most_days: an older file is stale.
        serials: camera to the device that is plugged in, where that is known.

    Raises:
        CalibrationError: there is none for a real robot, or it is stale, changed, or of another robot or camera.
        ConfigError: it is no calibration file.
    """
    if not file and robot.simulated:
        return None
    if not file:
        remedy = "make one with wam calibrate, and give calibration"
        raise CalibrationError(mismatch(f"calibration of {robot.name}", "a file", "none", remedy))
    content = load(Path(file), serials)
    if content.robot != robot.name:
        raise CalibrationError(mismatch(f"{file}: robot", robot.name, content.robot, "give the file of this robot"))
    if lost := [name for name in cameras if name not in content.cameras]:
        there = ", ".join(content.cameras)
        raise CalibrationError(
            mismatch(f"{file}: cameras", f"{', '.join(lost)} among them", there, "calibrate them too")
        )
    age = now - datetime.fromisoformat(content.date).astimezone(now.tzinfo)
    if age > timedelta(days=most_days):
        got = f"one of {age.days} days"
        raise CalibrationError(mismatch(f"{file}: age", f"at most {most_days:g} days", got, "calibrate again"))
    return content


def require_optics(content: CalibrationFile, camera: str, matrix: FloatArray, width: int, height: int) -> None:
    """Refuse a calibration whose camera sees otherwise than the one that speaks.

    Args:
        content: of the file.
        camera: its name.
        matrix: (3, 3) camera matrix that its driver says, for pictures of ``width`` and ``height``.

    Raises:
        CalibrationError: another focal length, middle or size.
    """
    optics = content.cameras[camera].optics
    said = np.array([matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]])
    known = np.array([optics.fx, optics.fy, optics.cx, optics.cy])
    if (optics.width, optics.height) != (width, height) or np.abs(said - known).max() > SAME_OPTICS * optics.width:
        expected = f"{optics.width}x{optics.height}, f {optics.fx:.1f}"
        got = f"{width}x{height}, f {matrix[0, 0]:.1f}"
        remedy = "it is another camera, or set otherwise: calibrate this one"
        raise CalibrationError(mismatch(f"calibration of camera {camera}", expected, got, remedy))
