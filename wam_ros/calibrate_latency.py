# SPDX-License-Identifier: Apache-2.0
"""``wam calibrate latency``: how late arms, grippers and cameras are, into the robot's calibration file."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from wam_ros.calibration.lateness import CameraClock, Findings, Motion, measure_cameras, measure_joints
from wam_ros.core.board import Board, Optics
from wam_ros.core.clock_code import PERIOD_MS
from wam_ros.core.episode import COMMITTED
from wam_ros.core.errors import CalibrationError, ConfigError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.files.assets import find, load_robot, load_task
from wam_ros.files.board import board_text
from wam_ros.files.calibration import CalibrationFile, load, save, with_latencies
from wam_ros.kinematics.clearance import Clearance
from wam_ros.kinematics.viewpoints import LEAST_CLEARANCE_M, Viewpoints

COARSE = Board(columns=9, rows=6, square_m=0.028, marker_m=0.021, dictionary="4x4_250")
"""The twin's board: small pictures of it suffice."""
TWIN_HEIGHT, TWIN_HZ = 300, 30.0
DRAWN = 12


def command(options: Namespace, board: Board) -> list[str]:
    """Measure what can be measured, save it, and return what there is to say.

    Raises:
        ConfigError: nothing was given to measure.
        CalibrationError: no device at all could be measured; nothing is saved.
    """
    robot, date = load_robot(options.robot), datetime.now().astimezone().isoformat(timespec="seconds")
    if options.file is not None:
        findings = from_recording(options.file, options.episode, robot, board, date)
    elif options.auto and robot.simulated:
        findings = from_twin(robot, options.seconds, options.late_ms / 1e3, options.seed, date)
    else:
        remedy = "record one while the arms move (docs/calibration.md), or give --auto for a twin"
        raise ConfigError(mismatch("calibrate latency", "a recorded dataset", f"--robot {options.robot}", remedy))
    lost = [f"{device}: not measured, {why}" for device, why in findings.lost.items()]
    if not findings.found:
        raise CalibrationError("; ".join(lost))
    path = options.out or Path(robot.calibration or f"calibration-{robot.name}.yaml")
    content = with_latencies(_begun(path, robot, date), findings.found)
    save(content, path)
    return [*latency_lines(replace(content, latencies=findings.found)), *lost, f"saved {path}"]


def latency_lines(content: CalibrationFile) -> list[str]:
    """Return a line for every device whose latency a file holds."""
    return [
        f"{name}: {1e3 * late.latency_s:.1f} ms late, +- {1e3 * late.interval_s:.1f} ms (95 %), by {late.method}, {late.date}"
        for name, late in content.latencies.items()
    ]


def from_recording(root: Path, episode: int, robot: Robot, board: Board, date: str) -> Findings:
    """Return what one recorded episode says.

    Raises:
        DatasetError: no such recording, or of another robot.
    """
    from wam_ros.files.dataset.playback import require_same_robot
    from wam_ros.files.dataset.read import DatasetReader, episode_of

    reader = DatasetReader(root)
    require_same_robot(root, reader.said, robot)
    recording = episode_of(reader, root, episode)
    stamps_s = recording.values("stamp_ns") / 1e9
    # Times near 0 keep their digits; whole periods of the screen's clock change nothing for it.
    origin_s = float(np.floor(stamps_s[0] / (PERIOD_MS / 1e3)) * PERIOD_MS / 1e3)
    told = recording.values("action_source") == COMMITTED
    period_s = 1.0 / reader.said.layout.fps
    times_s = stamps_s - origin_s
    motion = Motion(times_s, recording.states, times_s[told] + period_s, recording.actions[told])
    findings = Findings()
    measure_joints(robot, motion, date, findings)
    captured_s = recording.values("capture_time").reshape(len(recording), -1) - origin_s
    optics, views = _optics(robot), Viewpoints(robot)
    clocks = {}
    for column, camera in enumerate(recording.cameras):
        clocks[camera] = CameraClock(robot, camera, optics.get(camera), board, views)
        for time_s, picture in zip(captured_s[:, column], recording.pictures(camera), strict=True):
            clocks[camera].see(float(time_s), picture)
    known_s = {camera.name: camera.latency_s for camera in robot.cameras}
    measure_cameras(clocks, motion, known_s, date, findings)
    return findings


def from_twin(robot: Robot, duration_s: float, late_s: float, seed: int, date: str) -> Findings:
    """Return what a twin says whose commands and stamps are late by a known time."""
    from wam_ros.sim.graphics import choose_backend
    from wam_ros.sim.late_cell import Lags, LateCell
    from wam_ros.sim.tasks.board import BoardTable

    choose_backend()
    cameras = tuple(
        replace(c, width=round(TWIN_HEIGHT * c.width / c.height), height=TWIN_HEIGHT, rate_hz=TWIN_HZ, latency_s=0.0)
        for c in robot.cameras
    )
    robot = replace(robot, cameras=cameras, frames={})
    task = load_task(str(find("config/calibration.yaml")))
    task = replace(task, scene_options={**task.scene_options, "board": board_text(COARSE)})
    views = Viewpoints(robot)
    carried = [camera for camera, arm in views.carriers().items() if arm]
    about = _before_board(robot, BoardTable(robot, task).pose(), views, seed)
    cell = LateCell(robot, task, about, Lags(late_s, late_s), carried, seed)
    try:
        optics = {name: _pinhole(robot, name, cell.intrinsics(name)) for name in carried}
        clocks = {name: CameraClock(robot, name, optics[name], COARSE, views) for name in carried}
        played = cell.play(duration_s, lambda name, stamp_s, picture: clocks[name].see(stamp_s, picture))
    finally:
        cell.close()
    motion, findings = Motion(played.measured_s, played.measured, played.commanded_s, played.commanded), Findings()
    measure_joints(robot, motion, date, findings)
    measure_cameras(clocks, motion, {}, date, findings)
    return findings


def _begun(path: Path, robot: Robot, date: str) -> CalibrationFile:
    """Return the file that the latencies are added to, an empty one if there is none yet."""
    if not path.exists():
        return CalibrationFile(robot.name, date)
    content = load(path)
    if content.robot != robot.name:
        raise CalibrationError(mismatch(f"{path}: robot", robot.name, content.robot, "give another --out"))
    return content


def _optics(robot: Robot) -> Mapping[str, Optics]:
    """Return how the cameras see, as the robot's calibration file knows it."""
    if not robot.calibration:
        return {}
    return {name: camera.optics for name, camera in load(Path(robot.calibration)).cameras.items()}


def _pinhole(robot: Robot, camera: str, matrix: FloatArray) -> Optics:
    size = robot.camera(camera)
    fx, fy, cx, cy = (float(matrix[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Optics(size.width, size.height, fx, fy, cx, cy)


def _before_board(robot: Robot, board: FloatArray, views: Viewpoints, seed: int) -> FloatArray:
    """A pose from which every carried camera sees a board at a (4, 4) pose, the arms clear of each other."""
    rng, clearance, about = np.random.default_rng(seed), Clearance(robot), robot.ready_position().copy()
    for camera, carrier in views.carriers().items():
        if not carrier:
            continue
        arm = next(arm for arm in robot.arms if arm.name == carrier)
        slots = [robot.joint_names.index(name) for name in arm.joints]
        size = robot.camera(camera)
        focal = size.height / 2 / np.tan(size.vertical_fov_rad / 2)
        optics = Optics(size.width, size.height, focal, focal, size.width / 2, size.height / 2)
        for position in views.draw(camera, optics, board, COARSE, DRAWN, rng):
            wished = about.copy()
            wished[slots] = position[slots]
            if clearance.check(wished).arm_to_arm_m[0] > LEAST_CLEARANCE_M:
                about = wished
                break
    return about
