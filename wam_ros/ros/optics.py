# SPDX-License-Identifier: Apache-2.0
"""How cameras see, as their drivers say it on ``camera_info``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from wam_ros.core.board import Optics
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Camera, Robot
from wam_ros.core.types import FloatArray
from wam_ros.ros.qos import SENSOR

#: Models whose coefficients are OpenCV's.
MODELS = ("", "plumb_bob", "rational_polynomial")


class OpticsEar:
    """Listens to the inner calibration of a robot's cameras.

    Attributes:
        optics: camera to what its driver says.
        refused: camera to why that cannot be believed.
    """

    def __init__(self, node: Node, robot: Robot) -> None:
        self.optics: dict[str, Optics] = {}
        self.refused: dict[str, str] = {}
        self._cameras = robot.cameras
        for camera in robot.cameras:
            if camera.info:
                node.create_subscription(CameraInfo, camera.info, partial(self._on_info, camera), SENSOR)

    @property
    def lack(self) -> str:
        """Cameras of which nothing that can be believed is known, and why; empty when there is none."""
        lost = [camera for camera in self._cameras if camera.name not in self.optics]
        return "; ".join(self.refused.get(c.name) or self._silence(c) for c in lost)

    @staticmethod
    def _silence(camera: Camera) -> str:
        what = f"camera {camera.name}: expected camera_info"
        if not camera.info:
            return f"{what}, got no topic; name one in the robot file"
        return f"{what} on {camera.info}, got none; start its driver, or calibrate its intrinsics"

    def _on_info(self, camera: Camera, msg: CameraInfo) -> None:
        if camera.name in self.optics:
            return
        try:
            self.optics[camera.name] = optics_from_msg(camera, msg)
        except ConfigError as error:
            self.refused[camera.name] = str(error)


def optics_from_msg(camera: Camera, msg: CameraInfo) -> Optics:
    """Return what a driver says of a camera.

    Raises:
        ConfigError: of another size than its pictures, uncalibrated, or of a model that is not known here.
    """
    what = f"camera {camera.name}: camera_info"
    if (msg.width, msg.height) != (camera.width, camera.height):
        expected, got = f"{camera.width}x{camera.height}", f"{msg.width}x{msg.height}"
        raise ConfigError(mismatch(what, expected, got, "let the driver publish the one that belongs to its pictures"))
    if msg.distortion_model not in MODELS and any(msg.d):
        raise ConfigError(mismatch(what, " or ".join(MODELS[1:]), msg.distortion_model, "rectify the pictures"))
    k = msg.k
    distortion = tuple(float(v) for v in msg.d) if any(msg.d) else ()
    return Optics(camera.width, camera.height, float(k[0]), float(k[4]), float(k[2]), float(k[5]), distortion)


def info_to_msg(camera: Camera, intrinsics: FloatArray, distortion: Sequence[float] = ()) -> CameraInfo:
    """Return what a driver says of a camera: its (3, 3) matrix, and up to five coefficients in OpenCV's order."""
    coefficients = [*distortion, *(0.0,) * (5 - len(distortion))]
    info = CameraInfo(width=camera.width, height=camera.height, distortion_model=MODELS[1], d=coefficients)
    info.header.frame_id = camera.frame
    info.k = intrinsics.ravel().tolist()
    info.r = np.eye(3).ravel().tolist()
    info.p = np.hstack([intrinsics, np.zeros((3, 1))]).ravel().tolist()
    return info


def info_beside(topic: str) -> str:
    """Return where image_transport looks for the camera_info of pictures on a topic."""
    return f"{topic.removesuffix('/compressed').removesuffix('/compressedDepth').rpartition('/')[0]}/camera_info"
