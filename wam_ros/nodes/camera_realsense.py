# SPDX-License-Identifier: Apache-2.0
"""A driver of RealSense cameras on the topics of a robot's description: colour, depth on colour's pixels, camera_info of both.

Each camera is found by the serial number of its device. A thread each reads them; the executor only publishes, the newest
picture of each. What is wrong stands on ``diagnostics`` with its cure, and nothing is published that was not seen.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from rclpy.node import Node

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.serials import serials_of
from wam_ros.files.assets import load_robot
from wam_ros.realsense.bus import Bus, UsbBus
from wam_ros.realsense.devices import Size, Wanted
from wam_ros.realsense.reader import Reader
from wam_ros.realsense.shots import Shot
from wam_ros.ros.main import run_node
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.pictures import Letter, PictureOutlets
from wam_ros.ros.status import ERROR, OK, WARN, StatusReporter, Value


@dataclass(frozen=True, kw_only=True)
class CameraRealsenseParams:
    """Parameters of the camera driver."""

    robot: str = parameter(description="name or YAML path of the robot")
    cameras: tuple[str, ...] = parameter((), description="those opened; none: all that have a serial number")
    serials: str = parameter("", description="instead of the robot file's, as in left_wrist=0815,head=0816")
    aligned_depth: bool = parameter(
        True, description="also depth, on colour's pixels, where a camera has a topic for it"
    )
    depth_size: str = parameter("", description="in which depth is measured, as in 640x480; empty: colour's")

    def __post_init__(self) -> None:
        if self.depth_size and self.depth_pixels is None:
            what = "camera_realsense: depth_size"
            raise ConfigError(mismatch(what, "WIDTHxHEIGHT", repr(self.depth_size), "write it as in 640x480"))

    @property
    def depth_pixels(self) -> Size | None:
        """(width, height) of ``depth_size``."""
        width, _, height = self.depth_size.partition("x")
        return (int(width), int(height)) if width.isdecimal() and height.isdecimal() else None


class CameraRealsense(Node):
    """Ports of the cameras of one robot.

    Args:
        bus: where devices are plugged in; None: this computer's USB.
    """

    def __init__(self, bus: Bus | None = None, **node_args: Any) -> None:
        super().__init__("camera_realsense", **node_args)
        self._params = declare(self, CameraRealsenseParams)
        robot = load_robot(self._params.robot)
        if robot.simulated:
            raise ConfigError(f"robot {robot.name} is simulated, and so are its cameras; name a real robot")
        bus = bus or UsbBus()
        wanted = self._wanted(robot, bus)
        self._lock, self._dropped, self._said = Lock(), Counter[str](), ""
        self._letters: dict[str, list[Letter]] = {}
        self._posted = self.create_guard_condition(self._on_posted)
        self._outlets = {w.camera.name: PictureOutlets(self, w.camera, with_depth=bool(w.depth)) for w in wanted}
        self._readers = {w.camera.name: Reader(bus, w, partial(self._post, w.camera.name)) for w in wanted}
        self._reporter = StatusReporter(self, self._read)

    def destroy_node(self) -> None:
        """Close the devices, then end."""
        for reader in self._readers.values():
            reader.close()
        super().destroy_node()

    def _wanted(self, robot: Robot, bus: Bus) -> list[Wanted]:
        serials = serials_of(robot, self._params.serials)
        names = self._params.cameras or [name for name, serial in serials.items() if serial]
        cameras = [robot.camera(name) for name in names]
        if not cameras or not all(serials[camera.name] for camera in cameras):
            lacking = next((camera.name for camera in cameras if not serials[camera.name]), robot.cameras[0].name)
            raise ConfigError(_no_serial(robot, lacking, bus))
        twice = [serial for serial, count in Counter(serials[name] for name in names).items() if count > 1]
        if twice:
            at = " and ".join(name for name in names if serials[name] == twice[0])
            raise ConfigError(mismatch(f"serial {twice[0]}", "one camera", at, "give each camera its own device"))
        deep = self._params.aligned_depth
        size = self._params.depth_pixels
        return [
            Wanted(c, serials[c.name], (size or (c.width, c.height)) if deep and c.depth else None) for c in cameras
        ]

    # -- pictures: written by the readers' threads, published by the executor ---------------

    def _post(self, camera: str, shot: Shot) -> None:
        letters = self._outlets[camera].written(
            shot.color, shot.stamp_ns, shot.depth_mm, shot.depth_stamp_ns, shot.optics
        )
        with self._lock:
            self._dropped[camera] += camera in self._letters
            self._letters[camera] = letters
        self._posted.trigger()

    def _on_posted(self) -> None:
        with self._lock:
            waiting, self._letters = self._letters, {}
        for letters in waiting.values():
            for outlet, message in letters:
                outlet.publish(message)

    # -- what is said ----------------------------------------------------------------------

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        complaints = [text for reader in self._readers.values() for text in reader.complaints]
        lost = not all(reader.live for reader in self._readers.values())
        message = "; ".join(complaints) or "all cameras are live"
        if message != self._said and complaints:
            self.get_logger().warning(message, throttle_duration_sec=2.0)
        elif message != self._said:
            self.get_logger().info(message)
        self._said = message
        values: dict[str, Value] = {"state": "LOST" if lost else "LIVE"}
        for name, reader in self._readers.items():
            values |= {f"{key}_{name}": value for key, value in reader.figures().items()}
            values[f"dropped_{name}"] = self._dropped[name]
        return ERROR if lost else WARN if complaints else OK, message, values


def _no_serial(robot: Robot, camera: str, bus: Bus) -> str:
    try:
        found = bus.devices()
    except RuntimeError:
        found = []
    remedy = f"write into the robot file, under cameras: {{name: {camera}, serial: '{found[0].serial if found else 'NUMBER'}'}}"
    seen = ", ".join(map(str, found)) or "no device"
    return mismatch(f"robot {robot.name}: camera {camera}", "a serial number", f"none (plugged in: {seen})", remedy)


def main() -> None:
    """Run the node."""
    sys.exit(run_node(CameraRealsense))
