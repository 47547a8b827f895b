# SPDX-License-Identifier: Apache-2.0
"""Whether it is known where a robot's cameras are, and how they see: by a calibration that is there, complete and fresh."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from wam_ros.core.board import Optics
from wam_ros.core.errors import CalibrationError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.files.calibration import CalibrationFile, load

#: The optics of another camera, or of another resolution of the same, differ by more of the picture's width.
SAME_OPTICS = 0.02


def read_mounts(robot: Robot, cameras: Sequence[str], now: datetime, most_days: float) -> CalibrationFile | None:
    """Return the calibration of a robot; None for a twin without one, whose cameras are where its URDF has them.

    Args:
        robot: with its calibration in force, if it names one.
        cameras: that must be in it.
        now: with a time zone.
        most_days: an older file is stale.

    Raises:
        CalibrationError: there is none for a real robot, or it is stale, changed, or lacks a camera.
        ConfigError: it is no calibration file.
    """
    if not robot.calibration and robot.simulated:
        return None
    if not robot.calibration:
        what, remedy = f"calibration of {robot.name}", "make one with wam calibrate, and name it in the robot file"
        raise CalibrationError(mismatch(what, "a file", "none", remedy))
    file, content = robot.calibration, load(Path(robot.calibration))
    if lost := [name for name in cameras if name not in content.cameras]:
        there = ", ".join(content.cameras) or "none"
        raise CalibrationError(
            mismatch(f"{file}: cameras", f"{', '.join(lost)} among them", there, "calibrate them too")
        )
    age = now - datetime.fromisoformat(content.date).astimezone(now.tzinfo)
    if age > timedelta(days=most_days):
        got = f"one of {age.days} days"
        raise CalibrationError(mismatch(f"{file}: age", f"at most {most_days:g} days", got, "calibrate again"))
    return content


def require_same_optics(camera: str, calibrated: Optics, said: Optics) -> None:
    """Refuse a calibration whose camera sees otherwise than the one whose driver speaks.

    Raises:
        CalibrationError: another focal length, middle or size.
    """
    known, heard = (np.array([o.fx, o.fy, o.cx, o.cy]) for o in (calibrated, said))
    sizes = (calibrated.width, calibrated.height), (said.width, said.height)
    if sizes[0] != sizes[1] or np.abs(heard - known).max() > SAME_OPTICS * calibrated.width:
        expected, got = (f"{o.width}x{o.height}, f {o.fx:.1f}" for o in (calibrated, said))
        remedy = "it is another camera, or set otherwise: calibrate this one"
        raise CalibrationError(mismatch(f"calibration of camera {camera}", expected, got, remedy))
