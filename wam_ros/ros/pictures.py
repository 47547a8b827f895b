# SPDX-License-Identifier: Apache-2.0
"""What a real camera's driver says: colour, depth on colour's pixels, and the camera_info of both with each picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from wam_ros.core.board import Optics
from wam_ros.core.robot import Camera
from wam_ros.core.types import ByteImage
from wam_ros.ros.convert import ns_to_stamp, picture_to_msg
from wam_ros.ros.driver import Outlet
from wam_ros.ros.optics import info_beside, info_to_msg
from wam_ros.ros.qos import SENSOR

#: A message, and where it is to be published.
Letter = tuple[Outlet, Any]
_KINDS = {"raw": Image, "compressed": CompressedImage}


class PictureOutlets:
    """Publishers of one camera, with the topics, transports and frame of its description."""

    def __init__(self, node: Node, camera: Camera, *, with_depth: bool) -> None:
        self._camera = camera
        self._color = Outlet(node, _KINDS[camera.transport], camera.color, SENSOR)
        self._color_info = Outlet(node, CameraInfo, camera.info or info_beside(camera.color), SENSOR)
        self._depth = self._depth_info = None
        if with_depth:
            self._depth = Outlet(node, _KINDS[camera.depth_transport], camera.depth, SENSOR)
            self._depth_info = Outlet(node, CameraInfo, info_beside(camera.depth), SENSOR)

    def written(
        self,
        color: ByteImage,
        stamp_ns: int,
        depth_mm: NDArray[np.uint16] | None,
        depth_stamp_ns: int,
        optics: Optics,
    ) -> list[Letter]:
        """Return the messages of one exposure; pictures for listeners only. May be called by any thread."""
        camera, letters = self._camera, [(self._color_info, self._info(optics, stamp_ns))]
        if self._color.heard:
            message = picture_to_msg(color, "rgb8", stamp_ns, camera.frame, camera.transport)
            letters.append((self._color, message))
        if self._depth is None or self._depth_info is None or depth_mm is None:
            return letters
        letters.append((self._depth_info, self._info(optics, depth_stamp_ns)))
        if self._depth.heard:
            message = picture_to_msg(depth_mm, "16UC1", depth_stamp_ns, camera.frame, camera.depth_transport)
            letters.append((self._depth, message))
        return letters

    def _info(self, optics: Optics, stamp_ns: int) -> CameraInfo:
        info = info_to_msg(self._camera, optics.matrix(), optics.distortion)
        info.header.stamp = ns_to_stamp(stamp_ns)
        return info
