# SPDX-License-Identifier: Apache-2.0
"""Drives a robot to the poses before a board from which its calibration learns most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from wam_ros.calibration.captures import HELD_OUT, Captures
from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.excitation import Demands
from wam_ros.core.handeye.problem import Sighting
from wam_ros.core.handeye.proposal import propose
from wam_ros.core.handeye.session import Result
from wam_ros.core.robot import Robot
from wam_ros.core.types import ByteImage, FloatArray
from wam_ros.kinematics.viewpoints import spread

CANDIDATES = 40
BEFORE_PROPOSING = 6

Tell = Callable[[str], None]


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
        self._rng = np.random.default_rng(self.seed)

    def run(self, demands: Demands | None = None) -> Result:
        """Capture, solve and verify.

        Raises:
            CalibrationError: the board is not seen from the ready pose, or there is no result that can be believed.
        """
        T_base_board = self._find_board(self._from_ready(held_out=False))
        for camera, arm in self.captures.carriers.items():
            if arm:
                self._look_around(camera, arm, T_base_board)
        # A fixed camera sees the same once more, so that it is verified too.
        self._from_ready(held_out=True)
        return self.captures.session.finish(demands)

    def _from_ready(self, *, held_out: bool) -> list[Sighting]:
        """Capture what all cameras see from the ready pose."""
        self.source.move(self.source.robot.ready_position())
        found = []
        for camera in self.captures.carriers:
            try:
                found.append(self._see(camera))
            except CalibrationError as error:
                self.tell(f"{camera}: {error}")
        self.captures.add(self.source.joints(), found, held_out=held_out)
        return found

    def _find_board(self, seen: list[Sighting]) -> FloatArray:
        """The board in the robot's base frame, by the URDF's place of a camera that sees it, a fixed one if possible."""
        if not seen:
            raise CalibrationError("calibrate: no camera sees the board from the ready pose; lay it where one does")
        best = min(seen, key=lambda sighting: self.captures.carriers[sighting.camera] != "")
        self.tell(f"the board is in view of {', '.join(s.camera for s in seen)}")
        return self.captures.views.camera_pose(self.source.joints(), best.camera) @ best.T_cam_board

    def _look_around(self, camera: str, arm: str, T_base_board: FloatArray) -> None:
        left = self.captures.views.draw(
            camera, self.captures.optics[camera], T_base_board, self.board, CANDIDATES, self._rng
        )
        order = spread(left, {i: self.captures.views.tools(position)[arm] for i, position in enumerate(left)})
        left = [left[i] for i in order]
        taken = 0
        while left and taken < self.poses:
            position = left.pop(self._next(arm, left) if taken >= BEFORE_PROPOSING else 0)
            taken += self._take(camera, position, held_out=taken % HELD_OUT == HELD_OUT - 1)
        self.tell(f"{camera}: {taken} poses")

    def _next(self, arm: str, left: list[FloatArray]) -> int:
        """Index of the position that helps most; the most different one while there is no estimate."""
        solution = self.captures.session.estimate()
        if solution is None:
            return 0
        candidates = [{arm: self.captures.views.tools(position)[arm]} for position in left]
        sizes = {name: (optics.width, optics.height) for name, optics in self.captures.optics.items()}
        proposal = propose(self.captures.session.problem(), solution, candidates, sizes)
        return 0 if proposal is None else proposal.index

    def _take(self, camera: str, position: FloatArray, *, held_out: bool) -> bool:
        """Capture one pose; whether the camera saw the board in it."""
        self.source.move(position)
        try:
            seen = self._see(camera)
        except CalibrationError as error:
            self.tell(f"{camera}: pose skipped, {error}")
            return False
        self.captures.add(self.source.joints(), [seen], held_out=held_out)
        return True

    def _see(self, camera: str) -> Sighting:
        return self.captures.see(camera, self.source.capture(camera))
