# SPDX-License-Identifier: Apache-2.0
"""A robot that films: textured, moving pictures of all cameras, depth, and joints, at full rate and for little CPU.

``python -m wam_ros.bench.filming_robot FILE --ros-args -p robot:=NAME``; when it ends, FILE holds the stamps of
each stream. Pictures are serialised once; only their stamp changes.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from wam_ros.bench.logged import run_logged
from wam_ros.core.types import NS_PER_S
from wam_ros.files.assets import load_robot
from wam_ros.ros.convert import image_to_msg
from wam_ros.ros.driver import JointDriver
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import SENSOR
from wam_ros.ros.timebase import steady_clock

JOINT_RATE_HZ = 200
#: Different pictures of each camera; then they begin again.
PICTURES = 24


def film(height: int, width: int, seed: int, count: int = PICTURES) -> Iterator[NDArray[np.uint8]]:
    """Yield (H, W, 3) pictures of moving shapes with a sensor's noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    for n in range(count):
        shift = 4 * n
        plane = 110 + 60 * np.sin((columns + shift) / 37) + 40 * np.cos((rows - shift) / 23)
        box = 50.0 * ((columns - 5 * shift) % width < 90) * (rows % 240 < 110)
        noise = rng.normal(0, 3, (height, width, 3))
        yield np.clip((plane + box)[:, :, None] + (0, 12, -15) + noise, 0, 255).astype(np.uint8)


def depths(height: int, width: int, seed: int, count: int = PICTURES) -> Iterator[NDArray[np.uint16]]:
    """Yield (H, W) depth [mm] with edges, a sensor's noise and holes."""
    rng = np.random.default_rng(seed)
    for n, picture in enumerate(film(height, width, seed, count)):
        depth_mm = 600 + 3.0 * picture[:, :, 0] + rng.normal(0, 2, (height, width))
        depth_mm[:, (7 * n) % width : (7 * n) % width + 9] = 0
        yield depth_mm.astype(np.uint16)


@dataclass(frozen=True)
class FilmingRobotParams:
    """Parameters of the filming robot."""

    robot: str = parameter(description="name or YAML path of the robot")


class FilmingRobot(Node):
    """Publishes on a timer.

    Attributes:
        stamps_ns: stream to the stamps that were published.
    """

    def __init__(self, **node_args: Any) -> None:
        super().__init__("filming_robot", **node_args)
        robot = load_robot(declare(self, FilmingRobotParams).robot)
        self.stamps_ns: dict[str, list[int]] = {"joints": []}
        self._joints, self._pose = JointDriver(self, robot), robot.ready_position()
        self._reels: list[tuple[str, Any, Iterator[bytes]]] = []
        self._due: list[tuple[int, int, str, list[int]]] = []
        for number, camera in enumerate(robot.cameras):
            reels = [self._add(camera.name, camera.color, "rgb8", film(camera.height, camera.width, number))]
            if camera.depth:
                pictures = depths(camera.height, camera.width, number)
                reels.append(self._add(f"{camera.name}/depth", camera.depth, "16UC1", pictures))
            period_ns = round(NS_PER_S / camera.rate_hz)
            # Cameras are not synchronised: each has its own phase.
            self._due.append((number * 7_000_000, period_ns, camera.name, reels))
        self._next_ns = [phase_ns + int(self.get_clock().now().nanoseconds) for phase_ns, *_ in self._due]
        self.create_timer(1.0 / JOINT_RATE_HZ, self._on_timer, clock=steady_clock())

    def _add(self, name: str, topic: str, encoding: str, pictures: Iterator[NDArray[Any]]) -> int:
        messages = [serialize_message(image_to_msg(picture, encoding, 1, name)) for picture in pictures]
        self._reels.append((name, self.create_publisher(Image, topic, SENSOR), cycle(messages)))
        self.stamps_ns[name] = []
        return len(self._reels) - 1

    def _on_timer(self) -> None:
        now_ns = int(self.get_clock().now().nanoseconds)
        for number, (_, period_ns, _, reels) in enumerate(self._due):
            # A camera exposes by its own clock; a late timer delivers late, but the stamp is the exposure's.
            while now_ns >= self._next_ns[number]:
                for reel in reels:
                    self._show(reel, self._next_ns[number])
                self._next_ns[number] += period_ns
        self._joints.publish(self._pose, np.zeros_like(self._pose), now_ns)
        self.stamps_ns["joints"].append(now_ns)

    def _show(self, reel: int, stamp_ns: int) -> None:
        name, publisher, messages = self._reels[reel]
        message = next(messages)
        # Four bytes of encapsulation, then the stamp.
        stamped = message[:4] + struct.pack("<iI", stamp_ns // NS_PER_S, stamp_ns % NS_PER_S) + message[12:]
        publisher.publish(stamped)
        self.stamps_ns[name].append(stamp_ns)


def main() -> None:
    """Film until interrupted, then write down when."""
    sys.exit(run_logged(FilmingRobot, lambda robot: robot.stamps_ns, Path(sys.argv[1]), sys.argv[1:]))


if __name__ == "__main__":
    main()
