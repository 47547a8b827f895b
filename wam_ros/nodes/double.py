# SPDX-License-Identifier: Apache-2.0
"""A double of a real robot's driver: its topics, types, rates, units and habits, with simulated arms behind them.

``wam node double_NAME`` starts the double of the robot NAME. It lives in the wall's time, as the real driver does; nothing
that it is connected to can tell that it is none. With a task it works in that task's scene, and its pictures show it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wam_ros.core.errors import ConfigError
from wam_ros.core.robot import Camera, Robot
from wam_ros.files.assets import load_robot, load_task
from wam_ros.nodes.sim_robot import SimRobot
from wam_ros.ros.driver import CameraDriver
from wam_ros.ros.main import run_node
from wam_ros.ros.pace import Pace, Realtime
from wam_ros.ros.params import declare, parameter
from wam_ros.sim.twin import Twin


@dataclass(frozen=True, kw_only=True)
class DoubleParams:
    """Parameters of the double."""

    robot: str = parameter(description="name or YAML path of the real robot")
    task: str = parameter("", description="name or YAML path of the task whose scene it works in; empty: bare arms")
    seed: int = parameter(0, description="seed of the first attempt; later ones count on", lower=0, upper=2**31 - 1)
    picture_height: int = parameter(
        240,
        description="at which pictures are drawn, before they get the camera's size",
        unit="px",
        lower=16,
        upper=1080,
    )


class Double(SimRobot):
    """The twin's ports with the driver's habits; it moves from the start."""

    _playing = True

    def __init__(self, **node_args: Any) -> None:
        super().__init__("double", **node_args)
        self.get_logger().info(f"speaks as {self._robot.name} does; look at it with: wam doctor --robot {self._called}")

    def _begin(self) -> tuple[Robot, Twin]:
        params = declare(self, DoubleParams)
        robot = load_robot(params.robot)
        if robot.simulated:
            raise ConfigError(f"robot {robot.name} is simulated and needs no double; start sim_robot for it")
        self._seed, self._habits, self._height = params.seed, robot.habits, params.picture_height
        self._called = params.robot
        cameras = tuple(_drawn(camera, params.picture_height) for camera in robot.cameras)
        task = load_task(params.task) if params.task else None
        return robot, Twin(replace(robot, cameras=cameras), task, params.seed, free_running=True)

    def _make_pace(self) -> Pace:
        return Realtime(self, self._step, self._twin.world.step_ns, walls=True)

    def _camera_driver(self, camera: Camera) -> CameraDriver:
        scale = camera.height / _drawn(camera, self._height).height
        intrinsics = np.array(self._twin.world.intrinsics(camera.name))
        intrinsics[:2, 2] += 0.5  # pixel centres are at whole numbers
        intrinsics[:2] *= scale
        intrinsics[:2, 2] -= 0.5
        return CameraDriver(self, camera, intrinsics, stamped=self._robot.habits.stamps == "capture", repeated=False)


def _drawn(camera: Camera, height: int) -> Camera:
    height = min(height, camera.height)
    return replace(camera, height=height, width=round(height * camera.width / camera.height))


def main() -> None:
    """Run the node.

    A thread sends what it says: five joint messages of a step then travel together, not each by itself to each listener.
    """
    os.environ.setdefault("RMW_FASTRTPS_PUBLICATION_MODE", "ASYNCHRONOUS")
    sys.exit(run_node(Double))
