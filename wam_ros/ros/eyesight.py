# SPDX-License-Identifier: Apache-2.0
"""Whether clouds can be made of a robot's cameras: its calibration, held against what their drivers say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from rclpy.node import Node

from wam_ros.core.errors import CalibrationError, WamError
from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.files.calibration import CalibrationFile
from wam_ros.files.mounts import read_mounts, require_same_optics
from wam_ros.ros.optics import OpticsEar


class Eyesight:
    """What is known of some cameras, and what forbids clouds.

    Args:
        node: that listens to ``camera_info``.
        robot: whose cameras.
        cameras: names of those that are needed.
        most_days: an older calibration is stale.
    """

    def __init__(self, node: Node, robot: Robot, cameras: Sequence[str], most_days: float) -> None:
        self._cameras, self._ear = tuple(cameras), OpticsEar(node, robot)
        self._mounts: CalibrationFile | None = None
        self._refusal = ""
        try:
            self._mounts = read_mounts(robot, self._cameras, datetime.now(timezone.utc), most_days)
        except WamError as error:
            self._refusal = str(error)
            node.get_logger().warning(f"no clouds: {error}")

    @property
    def matrices(self) -> dict[str, FloatArray]:
        """Camera to its (3, 3) camera matrix, as far as the drivers have said it."""
        return {name: optics.matrix() for name, optics in self._ear.optics.items() if name in self._cameras}

    @property
    def refusal(self) -> str:
        """Why there can be no clouds; empty when there can."""
        if self._refusal:
            return self._refusal
        heard = self._ear.optics
        for name in self._cameras:
            if name not in heard:
                return self._ear.refused.get(name, f"camera {name}: no camera_info has come")
            try:
                if self._mounts is not None:
                    require_same_optics(name, self._mounts.cameras[name].optics, heard[name])
            except CalibrationError as error:
                return str(error)
        return ""
