# SPDX-License-Identifier: Apache-2.0
"""``wam calibrate``: print a board, or calibrate every camera and arm base of a robot before one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import get_args

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros import calibrate_latency as latency
from wam_ros import calibrate_live as live
from wam_ros.calibration.captures import HELD_OUT, Captures, read_captures
from wam_ros.calibration.guide import Guide
from wam_ros.calibration.lenses import found_in, judged, look_at, pictures_in, told
from wam_ros.core.board import STANDARD, Board, Dictionary
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.handeye.session import Result, Session
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import invert, log
from wam_ros.core.types import FloatArray
from wam_ros.files.assets import find, load_robot
from wam_ros.files.calibration import CalibrationFile, Placed, load, save
from wam_ros.files.camera_info import load_camera_info, save_camera_info
from wam_ros.files.easy_handeye import load_samples
from wam_ros.kinematics.arguments import urdf_arguments
from wam_ros.vision.boards import picture, whole_px
from wam_ros.vision.print import write_board

PX_PER_M = 4000
"""Of the simulated board's picture."""


def command(options: Namespace) -> list[str]:
    """Do what the command line says and return the lines to print.

    Raises:
        ConfigError: something is missing on the command line.
        CalibrationError: no calibration that can be believed; nothing is written.
    """
    if options.what in ("captures", "intrinsics", "samples", "show", "clouds") and options.file is None:
        raise ConfigError(f"calibrate {options.what}: expected a file, got none; give its path")
    ways: dict[str, Callable[[Namespace], list[str]]] = {
        "board": _print_board,
        "captures": _captures,
        "intrinsics": _intrinsics,
        "samples": lambda given: solve_samples(given.file, on_tool=not given.beside),
        "show": lambda given: describe(load(given.file)),
        "clouds": _clouds,
        "latency": lambda given: latency.command(given, _board(given)),
        "clock": lambda given: [clock(given.out or Path("clock.html"))],
    }
    if options.what in ways:
        return ways[options.what](options)
    if options.live:
        robot = load_robot(options.robot, calibrated=False)
        content = live.command(options, _board(options), _out(options, robot))
        return [*describe(content), *urdf_lines(robot, content)]
    return _simulated(options)


def _print_board(options: Namespace) -> list[str]:
    path = options.out or Path("board.pdf")
    return [f"{path}: one page {write_board(_board(options), path)}; print without scaling and measure the line"]


def _captures(options: Namespace) -> list[str]:
    robot = load_robot(options.robot, calibrated=False)
    captures, said = read_captures(options.file, robot, _board(options))
    return [*said, *finish(captures, captures.session.finish(), _out(options, robot))]


def _intrinsics(options: Namespace) -> list[str]:
    """Find a camera's intrinsics from a folder of pictures, check stated ones, and save."""
    folder, board = options.file, _board(options)
    camera, shots = folder.resolve().name, look_at(pictures_in(folder), board)
    found = found_in(shots, board, camera)
    verdict = [judged(shots, board, load_camera_info(options.stated), found)] if options.stated else []
    path = options.out or Path(f"{camera}.yaml")
    save_camera_info(found.optics, camera, path)
    counted = f"{camera}: {len(shots.corners)} pictures of {board.title} count"
    return [*shots.skipped, counted, f"{camera}: {told(found)}", *verdict, f"saved {path}, which ROS drivers read"]


def _clouds(options: Namespace) -> list[str]:
    from wam_ros.calibration_clouds import compare

    return compare(options.file, options.seed, options.out or Path("clouds.png"))


def _board(options: Namespace) -> Board:
    standard = STANDARD[options.kind]
    size = (standard.columns, standard.rows) if options.squares is None else _squares(options.squares)
    square_m = standard.square_m if options.square_mm is None else options.square_mm / 1e3
    marker_m = standard.marker_m if options.marker_mm is None else options.marker_mm / 1e3
    dictionary = options.dictionary or standard.dictionary
    if dictionary not in get_args(Dictionary):
        raise ConfigError(mismatch("--dictionary", get_args(Dictionary), dictionary, "choose one of them"))
    return Board(*size, square_m, marker_m, dictionary, kind=options.kind)


def _squares(text: str) -> tuple[int, int]:
    columns, _, rows = text.partition("x")
    if not (columns.isdigit() and rows.isdigit()):
        raise ConfigError(mismatch("--squares", "columns x rows as in 11x8", text, "correct it"))
    return int(columns), int(rows)


def _out(options: Namespace, robot: Robot) -> Path:
    return options.out or Path(f"calibration-{robot.name}.yaml")


def _simulated(options: Namespace) -> list[str]:
    """Calibrate a simulated robot, whose truth is known."""
    from wam_ros.sim.board_cell import BoardCell, CellOptions
    from wam_ros.sim.graphics import choose_backend

    robot, board = load_robot(options.robot, calibrated=False), _board(options)
    if not (robot.simulated and options.auto):
        raise ConfigError(
            mismatch(
                "calibrate",
                "--auto and a simulated robot",
                f"--robot {options.robot}",
                "calibrate others from captures or samples",
            )
        )
    choose_backend()
    cell_options = CellOptions(height=options.picture_height)
    cell = BoardCell(robot, board, picture(board, whole_px(board, PX_PER_M)), cell_options, options.seed)
    try:
        guide = Guide(cell, board, options.poses, options.seed)
        path = _out(options, robot)
        lines = finish(guide.captures, guide.run(), path)
        placed = {name: camera.placed for name, camera in load(path).cameras.items()}
        return [*lines, *(_against_truth(name, p, cell.camera_in(p.parent, name)) for name, p in placed.items())]
    finally:
        cell.close()


def _against_truth(name: str, placed: Placed, truth: FloatArray) -> str:
    error = log(invert(truth) @ placed.matrix())
    return f"{name}: {np.linalg.norm(error[:3]) * 1e3:.2f} mm and {np.degrees(np.linalg.norm(error[3:])):.3f} deg from the truth"


def clock(path: Path) -> str:
    """Write the page that shows a camera what time it is.

    Raises:
        ConfigError: the file cannot be written.
    """
    from wam_ros.vision.clock import page

    try:
        path.write_text(page(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    return f"{path}: open it on the computer that stamps the pictures, whole screen, and film it with each camera"


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


def finish(captures: Captures, result: Result, path: Path) -> list[str]:
    """Save a verified result and return what there is to say."""
    content = captures.file(result, datetime.now().astimezone())
    save(content, path)
    said = [*map(str, result.calibration.moved), *describe(content), *urdf_lines(captures.robot, content)]
    return [*said, f"saved {path}"]


def urdf_lines(robot: Robot, content: CalibrationFile) -> list[str]:
    """Return the command that makes a URDF with every frame where it was found."""
    try:
        found = urdf_arguments(robot, content.frames())
    except ConfigError as error:  # a URDF of one's own; nodes take the frames from the file all the same
        return [f"no URDF with these frames: {error}"]
    given = {**robot.urdf_args, **found}
    return [" ".join(["xacro", str(find(f"urdf/{robot.urdf}")), *(f'{name}:="{v}"' for name, v in given.items())])]


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
    return [*lines, *_residual_lines(content), *latency.latency_lines(content)]


def _residual_lines(content: CalibrationFile) -> list[str]:
    r = content.residuals
    if r is None:
        return []
    return [
        f"noise: corners {r.pixel_px:.2f} px, arm {r.robot_mm:.2f} mm and {r.robot_deg:.3f} deg; {r.rejected} of "
        f"{r.sightings} pictures left out",
        f"held out: {r.held_out} pictures, {r.held_out_mm:.2f} mm and {r.held_out_deg:.3f} deg off, "
        f"{r.expected_mm:.2f} mm and {r.expected_deg:.3f} deg expected",
    ]
