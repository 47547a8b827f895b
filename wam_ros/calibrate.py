# SPDX-License-Identifier: Apache-2.0
"""``wam calibrate``: print a board, or calibrate every camera and arm base of a robot before one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, get_args

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.board import Board, Dictionary, Optics
from wam_ros.core.errors import CalibrationError, ConfigError, mismatch
from wam_ros.core.handeye.excitation import Demands
from wam_ros.core.handeye.problem import Mount, Noise, Problem, Sighting
from wam_ros.core.handeye.proposal import propose
from wam_ros.core.handeye.session import Result, Session
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import invert, log
from wam_ros.core.types import ByteImage, FloatArray
from wam_ros.files.assets import load_robot
from wam_ros.files.calibration import CalibrationFile, Placed, load, make_file, save
from wam_ros.files.easy_handeye import load_samples
from wam_ros.kinematics.viewpoints import Viewpoints, spread
from wam_ros.vision.boards import BoardFinder, picture
from wam_ros.vision.print import write_board

BOARD = "board"
FIRST_NOISE = Noise(0.2, 0.001, 0.002)
"""A guess; the noise is estimated from what is captured."""
CANDIDATES = 40
PX_PER_M = 4000
"""Of the simulated board's picture."""
BEFORE_PROPOSING = 6
HELD_OUT = 5
"""Every so many poses of a camera one is kept for the verification."""

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
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        robot = self.source.robot
        self._views = Viewpoints(robot)
        self._finder = BoardFinder(self.board)
        self._optics = {camera.name: self.source.optics(camera.name) for camera in robot.cameras}
        self._carriers = self._views.carriers()
        self._rng = np.random.default_rng(self.seed)
        lenses = {name: optics.pinhole for name, optics in self._optics.items()}
        cameras = {name: Mount(arm) for name, arm in self._carriers.items()}
        arms = tuple(arm.name for arm in robot.arms)
        self.session = Session(Problem(arms, cameras, lenses, {BOARD: Mount()}, {}, (), FIRST_NOISE))

    def run(self, demands: Demands | None = None) -> Result:
        """Capture, solve and verify.

        Raises:
            CalibrationError: the board is not seen from the ready pose, or there is no result that can be believed.
        """
        T_base_board = self._find_board(self._from_ready(held_out=False))
        for camera, arm in self._carriers.items():
            if arm:
                self._look_around(camera, arm, T_base_board)
        # A fixed camera sees the same once more, so that it is verified too.
        self._from_ready(held_out=True)
        return self.session.finish(demands)

    def file(self, result: Result, date: datetime) -> CalibrationFile:
        """Return what is saved of a result."""
        serials = {name: self.source.serial(name) for name in self._optics}
        return make_file(self.source.robot, self.board, result, self._optics, serials, date)

    def _from_ready(self, *, held_out: bool) -> list[Sighting]:
        """Capture what all cameras see from the ready pose."""
        self.source.move(self.source.robot.ready_position())
        found = []
        for camera in self._carriers:
            try:
                found.append(self._see(camera))
            except CalibrationError as error:
                self.tell(f"{camera}: {error}")
        self.session.add(self._views.tools(self.source.joints()), found, held_out=held_out)
        return found

    def _find_board(self, seen: list[Sighting]) -> FloatArray:
        """The board in the robot's base frame, by the URDF's place of a camera that sees it, a fixed one if possible."""
        if not seen:
            raise CalibrationError("calibrate: no camera sees the board from the ready pose; lay it where one does")
        best = min(seen, key=lambda sighting: self._carriers[sighting.camera] != "")
        self.tell(f"the board is in view of {', '.join(s.camera for s in seen)}")
        return self._views.camera_pose(self.source.joints(), best.camera) @ best.T_cam_board

    def _look_around(self, camera: str, arm: str, T_base_board: FloatArray) -> None:
        left = self._views.draw(camera, self._optics[camera], T_base_board, self.board, CANDIDATES, self._rng)
        order = spread(left, {i: self._views.tools(position)[arm] for i, position in enumerate(left)})
        left = [left[i] for i in order]
        taken = 0
        while left and taken < self.poses:
            position = left.pop(self._next(arm, left) if taken >= BEFORE_PROPOSING else 0)
            taken += self._take(camera, position, held_out=taken % HELD_OUT == HELD_OUT - 1)
        self.tell(f"{camera}: {taken} poses")

    def _next(self, arm: str, left: list[FloatArray]) -> int:
        """Index of the position that helps most; the most different one while there is no estimate."""
        solution = self.session.estimate()
        if solution is None:
            return 0
        candidates = [{arm: self._views.tools(position)[arm]} for position in left]
        sizes = {name: (optics.width, optics.height) for name, optics in self._optics.items()}
        proposal = propose(self.session.problem(), solution, candidates, sizes)
        return 0 if proposal is None else proposal.index

    def _take(self, camera: str, position: FloatArray, *, held_out: bool) -> bool:
        """Capture one pose; whether the camera saw the board in it."""
        self.source.move(position)
        try:
            seen = self._see(camera)
        except CalibrationError as error:
            self.tell(f"{camera}: pose skipped, {error}")
            return False
        self.session.add(self._views.tools(self.source.joints()), [seen], held_out=held_out)
        return True

    def _see(self, camera: str) -> Sighting:
        return self._finder.sighting(self.source.capture(camera), self._optics[camera], camera, BOARD, 0)


def command(options: Namespace) -> list[str]:
    """Do what the command line says and return the lines to print.

    Raises:
        ConfigError: something is missing on the command line.
        CalibrationError: no calibration that can be believed; nothing is written.
    """
    if options.what in ("samples", "show") and options.file is None:
        raise ConfigError(f"calibrate {options.what}: expected a file, got none; give its path")
    if options.what == "board":
        path = options.out or Path("board.pdf")
        return [f"{path}: one page {write_board(_board(options), path)}; print without scaling and measure the line"]
    if options.what == "samples":
        return solve_samples(options.file, on_tool=not options.beside)
    if options.what == "show":
        return describe(load(options.file))
    return _simulated(options)


def _board(options: Namespace) -> Board:
    columns, _, rows = options.squares.partition("x")
    if not (columns.isdigit() and rows.isdigit()):
        raise ConfigError(mismatch("--squares", "columns x rows as in 11x8", options.squares, "correct it"))
    if options.dictionary not in get_args(Dictionary):
        raise ConfigError(mismatch("--dictionary", get_args(Dictionary), options.dictionary, "choose one of them"))
    return Board(int(columns), int(rows), options.square_mm / 1e3, options.marker_mm / 1e3, options.dictionary)


def _simulated(options: Namespace) -> list[str]:
    """Calibrate a simulated robot, whose truth is known."""
    from wam_ros.sim.board_cell import BoardCell, CellOptions
    from wam_ros.sim.graphics import choose_backend

    robot, board = load_robot(options.robot), _board(options)
    if not (robot.simulated and options.auto):
        raise ConfigError(
            mismatch(
                "calibrate", "--auto and a simulated robot", f"--robot {options.robot}", "calibrate others from samples"
            )
        )
    choose_backend()
    cell_options = CellOptions(height=options.picture_height)
    cell = BoardCell(robot, board, picture(board, round(board.square_m * PX_PER_M)), cell_options, options.seed)
    try:
        guide = Guide(cell, board, options.poses, options.seed)
        path = options.out or Path(f"calibration-{robot.name}.yaml")
        lines = calibrate_robot(guide, path)
        placed = {name: camera.placed for name, camera in load(path).cameras.items()}
        return [*lines, *(_against_truth(name, p, cell.camera_in(p.parent, name)) for name, p in placed.items())]
    finally:
        cell.close()


def _against_truth(name: str, placed: Placed, truth: FloatArray) -> str:
    error = log(invert(truth) @ placed.matrix())
    return f"{name}: {np.linalg.norm(error[:3]) * 1e3:.2f} mm and {np.degrees(np.linalg.norm(error[3:])):.3f} deg from the truth"


def solve_samples(path: Path, *, on_tool: bool) -> list[str]:
    """Solve a file of samples, every fifth held out, and return what there is to say.

    Raises:
        CalibrationError: no calibration that can be believed.
    """
    problem = load_samples(path, on_tool=on_tool)
    session = Session(problem)
    for sighting in problem.sightings:
        tools = {arm: problem.poses[arm, sighting.pose] for arm in problem.arms}
        session.add(tools, [sighting], held_out=sighting.pose % HELD_OUT == HELD_OUT - 1)
    result = session.finish()
    solution, checked = result.calibration.solution, result.verification
    key = ("camera", "camera")
    T, region = solution.transforms[key], solution.region(key)
    x, y, z, w = Rotation.from_matrix(T[:3, :3]).as_quat()
    return [
        *map(str, result.calibration.moved),
        f"camera in the {'tool' if on_tool else 'base'}: xyz {', '.join(f'{1e3 * v:.1f}' for v in T[:3, 3])} mm, "
        f"quaternion xyzw {x:.5f}, {y:.5f}, {z:.5f}, {w:.5f}",
        f"within {region.radii_m[0] * 1e3:.2f} mm and {np.degrees(region.radii_rad[0]):.3f} deg (95 %); "
        f"{len(result.calibration.rejected)} of {result.sightings} samples left out",
        f"held out: {checked.sightings} samples, {checked.rms_m * 1e3:.2f} mm off, {checked.expected_m * 1e3:.2f} mm expected",
    ]


def calibrate_robot(guide: Guide, path: Path, demands: Demands | None = None) -> list[str]:
    """Run a guide, save what it found, and return what there is to say.

    Raises:
        CalibrationError: no calibration that can be believed; nothing is written.
    """
    result = guide.run(demands)
    content = guide.file(result, datetime.now().astimezone())
    save(content, path)
    return [*map(str, result.calibration.moved), *describe(content), f"saved {path}"]


def describe(content: CalibrationFile) -> list[str]:
    """Return a line for everything that a calibration file holds."""
    placed = {
        **{name: c.placed for name, c in content.cameras.items()},
        **{f"base {n}": p for n, p in content.bases.items()},
    }
    lines = [
        f"{name}: {p.parent} -> {p.child} xyz {', '.join(f'{1e3 * v:.1f}' for v in p.xyz_m)} mm, "
        f"within {p.error_95_mm:.2f} mm and {p.error_95_deg:.3f} deg (95 %)"
        for name, p in placed.items()
    ]
    r = content.residuals
    return [
        *lines,
        f"noise: corners {r.pixel_px:.2f} px, arm {r.robot_mm:.2f} mm and {r.robot_deg:.3f} deg; {r.rejected} of "
        f"{r.sightings} pictures left out",
        f"held out: {r.held_out} pictures, {r.held_out_mm:.2f} mm and {r.held_out_deg:.3f} deg off, "
        f"{r.expected_mm:.2f} mm and {r.expected_deg:.3f} deg expected",
    ]
