# SPDX-License-Identifier: Apache-2.0
"""What a policy shows of itself: the picture that it is given, and what it imagines, in three messages of one stamp.

``policy/imagined/color`` and ``policy/imagined/depth`` are sheets (core/imagination.py): below each other the pictures of each
time, side by side the views of the policy's mosaic. ``policy/imagined/joints`` says the times, and the joints at them; it comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import numpy as np
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.errors import WamError
from wam_ros.core.imagination import Imagination, from_sheet, to_sheet
from wam_ros.core.robot import Camera
from wam_ros.core.types import ByteImage, Chunk, FloatArray
from wam_ros.ros.convert import (
    chunk_from_msg,
    chunk_to_msg,
    color_from_msg,
    depth_from_msg,
    image_to_msg,
    ns_to_stamp,
    stamp_to_ns,
)
from wam_ros.ros.qos import SENSOR

COLOR, DEPTH, JOINTS = (f"policy/imagined/{what}" for what in ("color", "depth", "joints"))
#: Nobody looks faster; and a policy that infers more often must not draw for it each time [s].
PACE_S = 0.2


class Showing:
    """Shows what a policy sees and imagines, to who looks.

    Args:
        node: that publishes.
        joint_names: (J,) of the robot.
    """

    def __init__(self, node: Node, joint_names: Sequence[str]) -> None:
        self._names = tuple(joint_names)
        topics = ("policy/mosaic", COLOR, DEPTH)
        self._mosaic, self._color, self._depth = (node.create_publisher(Image, topic, SENSOR) for topic in topics)
        self._joints = node.create_publisher(JointTrajectory, JOINTS, SENSOR)
        self._free_s = 0.0

    @property
    def wanted(self) -> bool:
        """True when somebody wants to see what is imagined, and has not just been shown something."""
        return monotonic() >= self._free_s and self._color.get_subscription_count() > 0

    def given(self, mosaic: ByteImage, stamp_ns: int) -> None:
        """Show what an inference begins with."""
        if self._mosaic.get_subscription_count():
            self._mosaic.publish(image_to_msg(mosaic, "rgb8", stamp_ns, ""))

    def imagined(self, seen: Imagination | None) -> None:
        """Show what was imagined, if anything."""
        if seen is None:
            return
        self._free_s = monotonic() + PACE_S
        self._color.publish(image_to_msg(to_sheet(list(seen.colors.values())), "rgb8", seen.stamp_ns, ""))
        if seen.depths_m is not None:
            self._depth.publish(image_to_msg(to_sheet(list(seen.depths_m.values())), "32FC1", seen.stamp_ns, ""))
        self._joints.publish(chunk_to_msg(Chunk(seen.stamp_ns, self._names, seen.positions, seen.offsets_ns)))


class ImaginedInlet:
    """Hears what a policy imagines, while it is open.

    Args:
        node: that listens.
        joint_names: (J,) of the robot.
        cameras: of the policy's mosaic, in its order.
        with_depth: the policy's checkpoint knows metres, and a sheet without them is not whole.
        on_imagination: is given each whole one.

    Attributes:
        torn: imaginations of which a part was lost or did not fit.
    """

    def __init__(
        self,
        node: Node,
        joint_names: Sequence[str],
        cameras: Sequence[str],
        *,
        with_depth: bool,
        on_imagination: Callable[[Imagination], None],
    ) -> None:
        self.torn = 0
        self._node, self._names, self._cameras = node, tuple(joint_names), tuple(cameras)
        self._with_depth, self._on_imagination = with_depth, on_imagination
        self._sheets: dict[str, Image] = {}
        self._open: list[Subscription] = []

    def open(self) -> None:
        """Listen."""
        create = self._node.create_subscription
        self._open = [
            create(Image, COLOR, lambda sheet: self._sheets.update(color=sheet), SENSOR),
            create(Image, DEPTH, lambda sheet: self._sheets.update(depth=sheet), SENSOR),
            create(JointTrajectory, JOINTS, self._on_joints, SENSOR),
        ]

    def close(self) -> None:
        """Listen no more; calling it twice is harmless."""
        while self._open:
            self._node.destroy_subscription(self._open.pop())
        self._sheets.clear()

    def _on_joints(self, message: JointTrajectory) -> None:
        try:
            seen = self._imagination(chunk_from_msg(message))
        except WamError as error:
            self._node.get_logger().warning(f"imagination not shown: {error}", throttle_duration_sec=5.0)
            seen = None
        if seen is None:
            self.torn += 1
        else:
            self._on_imagination(seen)

    def _imagination(self, joints: Chunk) -> Imagination | None:
        """Put the parts together; None where one of them is of another time."""
        sheets = {what: s for what, s in self._sheets.items() if stamp_to_ns(s.header.stamp) == joints.stamp_ns}
        frames, views = len(joints.offsets_ns), len(self._cameras)
        if "color" not in sheets or joints.names != self._names or (self._with_depth and "depth" not in sheets):
            return None
        colors = from_sheet(color_from_msg(sheets["color"]), frames, views)
        depths = from_sheet(depth_from_msg(sheets["depth"]), frames, views) if "depth" in sheets else None
        return Imagination(
            joints.stamp_ns,
            joints.offsets_ns,
            dict(zip(self._cameras, colors, strict=True)),
            None if depths is None else {c: np.asarray(d) for c, d in zip(self._cameras, depths, strict=True)},
            joints.positions,
        )


class ViewOutlets:
    """Publishes imagined views as cameras would: ``imagined/CAMERA/color``, ``depth`` [m] and ``camera_info``.

    Args:
        node: that publishes.
        cameras: whose views.
    """

    def __init__(self, node: Node, cameras: Sequence[Camera]) -> None:
        self._frames = {camera.name: camera.frame for camera in cameras}
        kinds = {"color": Image, "depth": Image, "camera_info": CameraInfo}
        self._publishers = {
            (name, what): node.create_publisher(kind, f"imagined/{name}/{what}", SENSOR)
            for name in self._frames
            for what, kind in kinds.items()
        }

    @property
    def wanted(self) -> bool:
        """True while somebody listens to any of them."""
        return any(publisher.get_subscription_count() for publisher in self._publishers.values())

    def publish(self, seen: Imagination, picture: int, matrices: Mapping[str, FloatArray]) -> None:
        """Send one picture of each view, stamped with the time that it is of.

        Args:
            seen: the imagination.
            picture: which.
            matrices: camera to the (3, 3) matrix of its view; without one it has no ``camera_info``.
        """
        stamp_ns = seen.stamp_ns + seen.offsets_ns[picture]
        for name, frame in self._frames.items():
            color = seen.colors[name][picture]
            self._publishers[name, "color"].publish(image_to_msg(color, "rgb8", stamp_ns, frame))
            if seen.depths_m is not None:
                depth = image_to_msg(seen.depths_m[name][picture], "32FC1", stamp_ns, frame)
                self._publishers[name, "depth"].publish(depth)
            if name in matrices:
                info = view_info(color.shape[0], color.shape[1], matrices[name], stamp_ns, frame)
                self._publishers[name, "camera_info"].publish(info)


def view_info(height: int, width: int, matrix: FloatArray, stamp_ns: int, frame: str) -> CameraInfo:
    """Return the message of an ideal pinhole camera."""
    info = CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5)
    info.header.stamp, info.header.frame_id = ns_to_stamp(stamp_ns), frame
    info.k, info.r = matrix.ravel().tolist(), np.eye(3).ravel().tolist()
    info.p = np.hstack([matrix, np.zeros((3, 1))]).ravel().tolist()
    return info
