# SPDX-License-Identifier: Apache-2.0
"""Drives a robot to the poses before a board from which its calibration learns most."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from wam_ros.calibration.captures import Captures
from wam_ros.calibration.tour import Tell, Tour
from wam_ros.core.board import Board, Optics
from wam_ros.core.handeye.excitation import Demands
from wam_ros.core.handeye.session import Result
from wam_ros.core.robot import Robot
from wam_ros.core.types import ByteImage, FloatArray


class Source(Protocol):
    """A robot that can be brought to poses and whose cameras can be read, at rest."""

    robot: Robot

    def move(self, position: FloatArray) -> None:
        """Bring all joints to (J,) positions and wait until they rest."""
        ...

    def joints(self) -> FloatArray:
        """(J,) what the encoders say."""
        ...

    def capture(self, camera: str) -> ByteImage:
        """Return the newest picture, taken since the last move ended."""
        ...

    def optics(self, camera: str) -> Optics:
        """Return the camera's inner calibration."""
        ...

    def serial(self, camera: str) -> str:
        """Return the camera's serial number."""
        ...


@dataclass
class Guide:
    """Captures a robot's poses before one board, choosing each so that it helps most.

    Attributes:
        source: the robot.
        board: what lies before it.
        poses: of each carried camera.
        tell: is told what happens.
    """

    source: Source
    board: Board
    poses: int = 15
    seed: int = 0
    tell: Tell = lambda _: None
    captures: Captures = field(init=False)

    def __post_init__(self) -> None:
        cameras = [camera.name for camera in self.source.robot.cameras]
        optics = {name: self.source.optics(name) for name in cameras}
        serials = {name: self.source.serial(name) for name in cameras}
        self.captures = Captures(self.source.robot, self.board, optics, serials)

    def run(self, demands: Demands | None = None) -> Result:
        """Capture, solve and verify.

        Raises:
            CalibrationError: the board is not seen from the ready pose, or there is no result that can be believed.
        """
        tour = Tour(self.captures, self.poses, self.seed, self.tell)
        while (stop := tour.next()) is not None:
            self.source.move(stop.position)
            pictures = {camera: self.source.capture(camera) for camera in stop.cameras}
            tour.take(self.source.joints(), pictures, held_out=stop.held_out)
        self.tell(", ".join(f"{camera}: {count} poses" for camera, count in tour.taken.items()))
        return self.captures.session.finish(demands)
