# SPDX-License-Identifier: Apache-2.0
"""The robot's own topics, spoken by a recording in place of its drivers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from wam_ros.core.errors import ConfigError
from wam_ros.core.joint_topics import feedback_topics
from wam_ros.core.robot import Camera, Robot
from wam_ros.core.types import nanoseconds
from wam_ros.files.dataset.playback import DriverSample, JointSample, PictureSample, Sample
from wam_ros.ros.convert import image_to_msg, ns_to_stamp
from wam_ros.ros.dialects import Spoken, dialect_of
from wam_ros.ros.qos import SENSOR, STATE
from wam_ros.vision.encode import png

_KINDS = {"raw": Image, "compressed": CompressedImage}


class Playback:
    """Publishers of a robot's cameras and joints.

    Args:
        node: their owner.
        robot: whose topics, stamps' latencies and grippers' units are spoken.
    """

    def __init__(self, node: Node, robot: Robot) -> None:
        self._node = node
        self._cameras = {camera.name: camera for camera in robot.cameras}
        self._leader = robot.camera(robot.leader_camera).color
        self._topics = feedback_topics(robot)
        self._dialects = {topic.stream.topic: dialect_of(topic) for topic in self._topics}
        self._ports = {name: node.create_publisher(d.message, name, STATE) for name, d in self._dialects.items()}
        for camera in robot.cameras:
            self._ports[camera.color] = node.create_publisher(_KINDS[camera.transport], camera.color, SENSOR)
            if camera.depth:
                kind = _KINDS[camera.depth_transport]
                self._ports[camera.depth] = node.create_publisher(kind, camera.depth, SENSOR)
        self._newest = dict.fromkeys([*self._cameras, *(topic.stream.topic for topic in self._topics)], 0)

    @property
    def joints_stamp_ns(self) -> int:
        """Stamp up to which all joints have been said; 0 until all have."""
        return min(self._newest[topic.stream.topic] for topic in self._topics)

    @property
    def pictures_stamp_ns(self) -> int:
        """Capture time up to which all cameras have been said; 0 until all have."""
        return min(self._newest[name] for name in self._cameras)

    @property
    def watched(self) -> bool:
        """True while somebody listens to the leading camera."""
        return self._ports[self._leader].get_subscription_count() > 0

    @property
    def followed(self) -> bool:
        """True while somebody listens to every camera's colour and all joints."""
        needed = [camera.color for camera in self._cameras.values()] + [t.stream.topic for t in self._topics]
        return all(self._ports[topic].get_subscription_count() > 0 for topic in needed)

    def require_alone(self) -> None:
        """Refuse to speak where somebody else does.

        Raises:
            ConfigError: a driver or simulator is alive in this domain.
        """
        for topic in self._ports:
            if self._node.count_publishers(topic) > 1:
                raise ConfigError(
                    f"replay: expected nobody else on {topic}, but a driver or simulator speaks there; "
                    "end it, or choose another domain with ROS_DOMAIN_ID"
                )

    def publish(self, sample: Sample) -> None:
        """Say a sample, with the stamps of its driver."""
        if isinstance(sample, PictureSample):
            self._publish_picture(sample, self._cameras[sample.camera])
            self._newest[sample.camera] = sample.stamp_ns
        elif isinstance(sample, DriverSample):
            self._ports[sample.topic].publish(sample.data)
            self._newest[sample.topic] = sample.stamp_ns
        else:
            self._publish_joints(sample)

    def _publish_joints(self, sample: JointSample) -> None:
        for topic in self._topics:
            said = Spoken(sample.stamp_ns, (topic.name,), topic.to_native(sample.position).tolist(), ())
            self._ports[topic.stream.topic].publish(self._dialects[topic.stream.topic].write(said))
            self._newest[topic.stream.topic] = sample.stamp_ns

    def _publish_picture(self, sample: PictureSample, camera: Camera) -> None:
        # Listeners take the calibrated latency off the driver's stamp to know the time of capture.
        stamp_ns = sample.stamp_ns + nanoseconds(camera.latency_s)
        if camera.depth and sample.depth_mm is not None:
            self._ports[camera.depth].publish(
                _message(sample.depth_mm, "16UC1", stamp_ns, camera, camera.depth_transport)
            )
        self._ports[camera.color].publish(_message(sample.color, "rgb8", stamp_ns, camera, camera.transport))


def _message(
    picture: NDArray[Any], encoding: str, stamp_ns: int, camera: Camera, transport: str
) -> Image | CompressedImage:
    if transport == "raw":
        return image_to_msg(picture, encoding, stamp_ns, camera.frame)
    message = CompressedImage(format="png")
    message.data.frombytes(png(np.asarray(picture)))
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.header.frame_id = camera.frame
    return message
