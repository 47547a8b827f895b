# SPDX-License-Identifier: Apache-2.0
"""Pictures of a board and the joints they belong to, on their way to a calibration: taken live, or listed in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from wam_ros.calibration.lenses import found_in, look_at, read_picture, told
from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.problem import Mount, Noise, Problem, Sighting
from wam_ros.core.handeye.session import Result, Session
from wam_ros.core.robot import Robot
from wam_ros.core.types import ByteImage, FloatArray
from wam_ros.files.calibration import CalibrationFile, make_file
from wam_ros.files.load import load_yaml
from wam_ros.kinematics.viewpoints import Viewpoints
from wam_ros.vision.boards import BoardFinder

BOARD = "board"
FIRST_NOISE = Noise(0.2, 0.001, 0.002)
"""A guess; the noise is estimated from what is captured."""
HELD_OUT = 5
"""Every so many poses one is kept for the verification."""


class Captures:
    """What was captured of one robot before one board.

    Attributes:
        robot, board, optics: as given; ``carriers`` camera to the arm that carries it, empty for none.
        views: the robot's kinematics, as cameras need them.
        session: the poses so far.
    """

    def __init__(self, robot: Robot, board: Board, optics: Mapping[str, Optics], serials: Mapping[str, str]) -> None:
        self.robot, self.board, self.optics = robot, board, dict(optics)
        self.views = Viewpoints(robot)
        self.carriers = {name: arm for name, arm in self.views.carriers().items() if name in optics}
        self._serials = dict(serials)
        self._finder = BoardFinder(board)
        lenses = {name: camera.pinhole for name, camera in optics.items()}
        cameras = {name: Mount(arm) for name, arm in self.carriers.items()}
        arms = tuple(arm.name for arm in robot.arms)
        self.session = Session(Problem(arms, cameras, lenses, {BOARD: Mount()}, {}, (), FIRST_NOISE))

    def see(self, camera: str, image: ByteImage) -> Sighting:
        """Return the board as a camera's picture shows it.

        Raises:
            CalibrationError: the picture is not good enough; says why.
        """
        return self._finder.sighting(image, self.optics[camera], camera, BOARD, 0)

    def add(self, position: FloatArray, seen: Sequence[Sighting], *, held_out: bool = False) -> None:
        """Add what was seen with the joints at a (J,) position."""
        self.session.add(self.views.tools(position), seen, held_out=held_out)

    def file(self, result: Result, date: datetime) -> CalibrationFile:
        """Return what is saved of a result."""
        return make_file(self.robot, self.board, result, self.optics, self._serials, date)


@dataclass(frozen=True)
class Capture:
    """Joints at rest and the pictures taken then.

    Attributes:
        position: (J,) in robot order [rad], grippers 0 closed to 1 open.
        pictures: camera to a picture's file, beside the list.
    """

    position: tuple[float, ...]
    pictures: dict[str, str]


@dataclass(frozen=True)
class CaptureList:
    """A file that lists captures, in the order in which they were taken; optics it does not state are found from them."""

    captures: tuple[Capture, ...]
    optics: dict[str, Optics] = field(default_factory=dict)
    serials: dict[str, str] = field(default_factory=dict)


def read_captures(path: Path, robot: Robot, board: Board) -> tuple[Captures, list[str]]:
    """Read a list of captures, every fifth held out.

    Returns:
        The captures, and a line for every camera whose optics were found and every picture that does not count.

    Raises:
        ConfigError: not such a list, or a picture cannot be read.
        CalibrationError: optics are not stated, and the pictures do not say enough to find them.
    """
    listed = load_yaml(path, CaptureList)
    files: dict[str, list[Path]] = {}
    for capture in listed.captures:
        for name, file in capture.pictures.items():
            robot.camera(name)
            files.setdefault(name, []).append(path.parent / file)
    lenses = {n: found_in(look_at(files[n], board), board, n) for n in sorted(files) if n not in listed.optics}
    optics = {**listed.optics, **{name: found.optics for name, found in lenses.items()}}
    serials = {name: listed.serials.get(name, "") for name in optics}
    captures, skipped = Captures(robot, board, optics, serials), [f"{n}: {told(f)}" for n, f in lenses.items()]
    for number, capture in enumerate(listed.captures):
        seen = []
        for camera, file in capture.pictures.items():
            try:
                seen.append(captures.see(camera, read_picture(path.parent / file)))
            except CalibrationError as error:
                skipped.append(f"{file}: does not count, {error}")
        held_out = number % HELD_OUT == HELD_OUT - 1
        captures.add(np.array(capture.position), seen, held_out=held_out)
    return captures, skipped
