# SPDX-License-Identifier: Apache-2.0
"""``wam calibrate clouds``: how the clouds of all cameras lie on each other with a calibration, beside the truth and an error.

A simulated robot looks at blocks on a table from some poses. Its points are brought into one frame with the true places of the
cameras, with the calibrated ones, and with one wrist camera of these displaced by 10 mm and turned by 2 degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.errors import CalibrationError, ConfigError, mismatch
from wam_ros.core.overlap import Gaze, meet, surface
from wam_ros.core.place import Place
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import exp, invert, log, rigid
from wam_ros.core.types import DepthImage, FloatArray
from wam_ros.files.assets import load_robot
from wam_ros.files.calibrated import calibrated
from wam_ros.files.calibration import CalibrationFile, load
from wam_ros.foresight.alignment import WRONG
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.viewpoints import Viewpoints
from wam_ros.report.cuts import Cut, cut, draw_cuts
from wam_ros.sim.board_cell import BoardCell, CellOptions
from wam_ros.sim.graphics import choose_backend
from wam_ros.vision.boards import picture, whole_px
from wam_ros.vision.cloud import Rays

SAME_CELL_M = 0.02
"""A calibration is of this cell when its cameras lie nearer than this to the true ones."""
HEIGHT, BLOCKS, VIEWS, PX_PER_M = 240, 9, 3, 1000
X_MM, Z_MM = (195, 385), (-52, 25)
"""What the picture shows of the clouds, which are cut along x through the middle of the board."""


@dataclass(frozen=True)
class Scene:
    """What was measured in one pose.

    Attributes:
        depths_m: camera to (H, W) [m].
        position: (J,) what the encoders say.
        true: camera to the true ``T_base_camera`` (4, 4).
    """

    depths_m: dict[str, DepthImage]
    position: FloatArray
    true: dict[str, FloatArray]


@dataclass(frozen=True)
class Alignment:
    """How clouds of all cameras lie on each other.

    Attributes:
        title: of the case.
        median_mm, most_mm: distance between the surfaces of two cameras where both see them: of half the points, and of 68 %,
            as edges behind which only one camera sees make outliers.
        points: how many were compared.
        slices: camera to (N, 2) points of the first pose, along x and up [m].
    """

    title: str
    median_mm: float
    most_mm: float
    points: int
    slices: dict[str, FloatArray]

    def __str__(self) -> str:
        return f"{self.title}: surfaces lie {self.median_mm:.2f} mm (median), {self.most_mm:.2f} mm (68 %) apart, {self.points} points"


def compare(path: Path, seed: int, out: Path) -> list[str]:
    """Draw the clouds of a calibration file of a simulated robot and return what there is to say.

    Args:
        path: of the file.
        seed: that the cell was calibrated with.
        out: picture to write.

    Raises:
        ConfigError: the robot is not simulated, or the picture cannot be written.
        CalibrationError: the file is of another cell.
    """
    content = load(path)
    robot = load_robot(content.robot)
    if not robot.simulated:
        raise ConfigError(
            mismatch("calibrate clouds", "a simulated robot, whose truth is known", robot.name, "take one")
        )
    found = calibrated(robot, path)
    wrist = next(name for name, camera in content.cameras.items() if camera.placed.parent in _tools(robot))
    wrong = displaced(found, robot.camera(wrist).frame, WRONG)
    cell = make_cell(robot, content, seed)
    try:
        scenes = look_around(cell, robot, content, seed)
        matrices = {name: cell.optics(name).matrix() for name in content.cameras}
    finally:
        cell.close()
    _require_same_cell(scenes[0], poses_of(found, scenes[0].position, list(content.cameras)), path)
    ways: dict[str, Robot | None] = {"true": None, "calibrated": found, f"{wrist} 10 mm and 2 deg off": wrong}
    cases = [align(title, scenes, matrices, as_robot) for title, as_robot in ways.items()]
    draw_cuts([Cut(f"{c.title}: {c.median_mm:.1f} mm apart", c.slices) for c in cases], X_MM, Z_MM, out)
    return [*map(str, cases), f"saved {out}"]


def make_cell(robot: Robot, content: CalibrationFile, seed: int) -> BoardCell:
    """Return the cell that was calibrated, with blocks in it."""
    choose_backend()
    options = CellOptions(height=HEIGHT, blocks=BLOCKS)
    return BoardCell(robot, content.board, picture(content.board, whole_px(content.board, PX_PER_M)), options, seed)


def look_around(cell: BoardCell, robot: Robot, content: CalibrationFile, seed: int) -> list[Scene]:
    """Measure from the ready pose, and from some views of each wrist camera."""
    views, rng = Viewpoints(robot), np.random.default_rng(seed)
    cell.move(robot.ready_position())
    board, positions = cell.board_in(robot.base_frame), [robot.ready_position()]
    for name, arm in views.carriers().items():
        if arm and name in content.cameras:
            positions += views.draw(name, cell.optics(name), board, content.board, VIEWS, rng)
    scenes = []
    for position in positions:
        cell.move(position)
        depths_m = {name: cell.measure(name) for name in content.cameras}
        true = {name: cell.camera_in(robot.base_frame, name) for name in content.cameras}
        scenes.append(Scene(depths_m, cell.joints(), true))
    return scenes


def displaced(robot: Robot, frame: str, twist: FloatArray) -> Robot:
    """Return a calibrated robot with one frame displaced by a right twist (6,)."""
    place = robot.frames[frame]
    T = rigid(Rotation.from_quat(place.quaternion_xyzw).as_matrix(), np.array(place.xyz_m)) @ exp(twist)
    x, y, z = (float(v) for v in T[:3, 3])
    qx, qy, qz, qw = (float(v) for v in Rotation.from_matrix(T[:3, :3]).as_quat())
    return replace(robot, frames={**robot.frames, frame: Place(place.parent, (x, y, z), (qx, qy, qz, qw))})


def poses_of(robot: Robot, position: FloatArray, cameras: Sequence[str]) -> dict[str, FloatArray]:
    """Return camera to ``T_base_camera`` (4, 4), as a robot's frames and encoders have it."""
    kinematics = Kinematics(robot)
    return {name: kinematics.pose(position, robot.camera(name).frame) for name in cameras}


def align(title: str, scenes: Sequence[Scene], matrices: dict[str, FloatArray], robot: Robot | None) -> Alignment:
    """Return how clouds lie on each other where ``robot`` has the cameras; where they truly are if None."""
    apart = []
    for scene in scenes:
        poses = scene.true if robot is None else poses_of(robot, scene.position, list(matrices))
        gazes = [Gaze(scene.depths_m[name], K, poses[name]) for name, K in matrices.items()]
        met = [meet(surface(one), other) for one, other in permutations(gazes, 2)]
        apart += [m.apart_m for m in met if m is not None]
    found = np.concatenate(apart) if apart else np.array([np.nan])
    first = scenes[0].true if robot is None else poses_of(robot, scenes[0].position, list(matrices))
    slices = {name: _sliced(scenes[0].depths_m[name], K, first[name]) for name, K in matrices.items()}
    median_mm, most_mm = (1e3 * float(np.percentile(np.abs(found), share)) for share in (50, 68))
    return Alignment(title, median_mm, most_mm, len(found), slices)


def _sliced(depth_m: DepthImage, K: FloatArray, T_base_camera: FloatArray) -> FloatArray:
    """(N, 2) x and z of the points in a slice through the middle of the board."""
    return cut(Rays(K, *depth_m.shape).points_in(T_base_camera, depth_m).astype(np.float64))


def _tools(robot: Robot) -> set[str]:
    return {arm.tool_frame for arm in robot.arms}


def _require_same_cell(scene: Scene, poses: dict[str, FloatArray], path: Path) -> None:
    off = {name: float(np.linalg.norm(log(invert(scene.true[name]) @ T)[:3])) for name, T in poses.items()}
    worst = max(off, key=lambda name: off[name])
    if off[worst] > SAME_CELL_M:
        expected, got = f"camera {worst} within {SAME_CELL_M * 1e3:.0f} mm of the truth", f"{off[worst] * 1e3:.0f} mm"
        raise CalibrationError(mismatch(str(path), expected, got, "give the --seed that it was calibrated with"))
