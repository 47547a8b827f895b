# SPDX-License-Identifier: Apache-2.0
"""Coloured clouds as PointCloud2 and back; made only while somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

import numpy as np
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import PointCloud2, PointField

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.ros.convert import ns_to_stamp
from wam_ros.ros.qos import SENSOR
from wam_ros.vision.colored_cloud import Cloud

#: What was measured, what is imagined, and what was imagined of now, coloured by how wrong it was.
MEASURED, IMAGINED, ERROR = "measured/points", "imagined/points", "imagined/error"
#: x, y, z, and red, green, blue in the lower bytes of a word that is called a float: what rviz reads.
_POINT = np.dtype([("xyz", "<f4", 3), ("bgrx", "u1", 4)])


def cloud_to_msg(cloud: Cloud, frame: str, stamp_ns: int) -> PointCloud2:
    """Return a cloud as a message, in so many bytes as it has points."""
    packed = np.zeros(len(cloud.points), _POINT)
    packed["xyz"], packed["bgrx"][:, :3] = cloud.points, cloud.colors[:, ::-1]
    message = PointCloud2(height=1, width=len(packed), is_dense=True, point_step=_POINT.itemsize)
    message.header.frame_id, message.header.stamp = frame, ns_to_stamp(stamp_ns)
    message.row_step = packed.nbytes
    offsets = {"x": 0, "y": 4, "z": 8, "rgb": 12}
    message.fields = [PointField(name=n, offset=o, datatype=PointField.FLOAT32, count=1) for n, o in offsets.items()]
    message.data.frombytes(packed.tobytes())
    return message


def cloud_from_msg(message: PointCloud2) -> Cloud:
    """Return the cloud of a message of :func:`cloud_to_msg`.

    Raises:
        ShapeError: a cloud of another layout.
    """
    if message.point_step != _POINT.itemsize or len(message.data) != message.width * _POINT.itemsize:
        got = f"{len(message.data)} bytes in steps of {message.point_step}"
        raise ShapeError(mismatch("cloud", f"{message.width} points of x, y, z, rgb", got, "show it in rviz"))
    packed = np.frombuffer(message.data, _POINT)
    return Cloud(packed["xyz"], packed["bgrx"][:, 2::-1])


class CloudOutlet:
    """One topic of clouds.

    Args:
        node: that publishes.
        topic: one of those above.
        frame: of all its clouds.
    """

    def __init__(self, node: Node, topic: str, frame: str) -> None:
        self._publisher, self._frame = node.create_publisher(PointCloud2, topic, SENSOR), frame

    @property
    def wanted(self) -> bool:
        """True while somebody listens."""
        return bool(self._publisher.get_subscription_count())

    def publish(self, cloud: Cloud, stamp_ns: int) -> None:
        """Send a cloud of a time."""
        self._publisher.publish(cloud_to_msg(cloud, self._frame, stamp_ns))


class CloudListener:
    """Hears those clouds that are wanted, so that no others are made.

    Args:
        node: that listens.
        topics: name to topic.
        take: is given name and cloud.
    """

    def __init__(self, node: Node, topics: Mapping[str, str], take: Callable[[str, Cloud], None]) -> None:
        self._node, self._topics, self._take = node, dict(topics), take
        self._open: dict[str, Subscription] = {}

    def want(self, names: Collection[str]) -> None:
        """Listen to these, and to no others; may be said again and again."""
        for name in set(names) - self._open.keys():
            on_cloud = partial(self._on_cloud, name)
            self._open[name] = self._node.create_subscription(PointCloud2, self._topics[name], on_cloud, SENSOR)
        for name in self._open.keys() - set(names):
            self._node.destroy_subscription(self._open.pop(name))

    def _on_cloud(self, name: str, message: PointCloud2) -> None:
        try:
            self._take(name, cloud_from_msg(message))
        except ShapeError as error:
            self._node.get_logger().warning(f"cloud not shown: {error}", throttle_duration_sec=5.0)
