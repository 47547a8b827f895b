# SPDX-License-Identifier: Apache-2.0
"""A robot that only speaks: pictures and a still pose at the driver's rates, on the driver's topics.

Its cameras are not synchronised, as on both robots that this package is for: each speaks 10 ms after the last.

``python -m wam_ros.bench.synthetic_robot FILE --ros-args -p robot:=NAME``; when it ends, FILE says of each
capture time when the last message that an observation of that time needs was published (steady clock).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np
from rclpy.node import Node

from wam_ros.bench.logged import run_logged
from wam_ros.core.robot import Camera
from wam_ros.core.types import NS_PER_S, ByteImage
from wam_ros.files.assets import load_robot
from wam_ros.ros.convert import ns_to_stamp, picture_to_msg
from wam_ros.ros.driver import JointDriver
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import SENSOR
from wam_ros.ros.timebase import steady_clock
from wam_ros.vision.resize import resize

JOINT_RATE_HZ = 200
# Steps of joint feedback between one camera and the next.
STAGGER = 2


@dataclass(frozen=True)
class SyntheticRobotParams:
    """Parameters of the synthetic robot."""

    robot: str = parameter(description="name or YAML path of the robot")


class SyntheticRobot(Node):
    """Publishes on a timer.

    Attributes:
        published_ns: capture time to the time at which the last needed message was out.
    """

    def __init__(self, **node_args: Any) -> None:
        super().__init__("synthetic_robot", **node_args)
        robot = load_robot(declare(self, SyntheticRobotParams).robot)
        self.published_ns: dict[int, int] = {}
        self._pose, self._still = robot.ready_position(), np.zeros(len(robot.joint_names))
        self._joints = JointDriver(self, robot)
        self._cameras = [_Camera(self, camera, seed) for seed, camera in enumerate(robot.cameras)]
        self._frame_ns = round(NS_PER_S / robot.cameras[0].rate_hz)
        self._next_ns = self._leader_ns = 0
        self._waiting: list[int] = []
        self.create_timer(1.0 / JOINT_RATE_HZ, self._on_timer, clock=steady_clock())

    def _on_timer(self) -> None:
        now_ns = int(self.get_clock().now().nanoseconds)
        if now_ns >= self._next_ns:
            self._next_ns = max(self._next_ns, now_ns - self._frame_ns) + self._frame_ns
            self._leader_ns = now_ns
            self._waiting = [STAGGER * i for i in range(len(self._cameras))]
        if self._waiting:
            self._speak_pictures(now_ns)
        self._joints.publish(self._pose, self._still, now_ns)

    def _speak_pictures(self, now_ns: int) -> None:
        if self._waiting[0] == 0:
            self._cameras[-len(self._waiting)].publish(now_ns)
            del self._waiting[0]
            if not self._waiting:
                self.published_ns[self._leader_ns] = monotonic_ns()
        self._waiting = [steps - 1 for steps in self._waiting]


class _Camera:
    """Says one picture again and again, with another stamp: encoding is not what is measured."""

    def __init__(self, node: Node, camera: Camera, seed: int) -> None:
        picture = grainy(camera.height, camera.width, seed)
        self._message = picture_to_msg(picture, "rgb8", 0, camera.frame, camera.transport)
        self._publisher = node.create_publisher(type(self._message), camera.color, SENSOR)

    def publish(self, stamp_ns: int) -> None:
        """Send it with this stamp."""
        self._message.header.stamp = ns_to_stamp(stamp_ns)
        self._publisher.publish(self._message)


def grainy(height: int, width: int, seed: int) -> ByteImage:
    """Return an (H, W, 3) picture of soft shapes with a camera's grain, which JPEG must work for as for a real one."""
    rng = np.random.default_rng(seed)
    shapes = resize(rng.integers(0, 256, (9, 16, 3), np.uint8), height, width, "bilinear")
    grain = rng.normal(0, 6, (height, width, 3))
    return np.clip(shapes + grain, 0, 255).astype(np.uint8)


def main() -> None:
    """Speak until interrupted, then write down when what was said."""
    sys.exit(run_logged(SyntheticRobot, lambda robot: robot.published_ns, Path(sys.argv[1]), sys.argv[1:]))


if __name__ == "__main__":
    main()
