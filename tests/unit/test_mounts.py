# SPDX-License-Identifier: Apache-2.0
"""A calibration is used when it is there, fresh and of these cameras; then it says where they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("pinocchio", reason="pinocchio is not installed")
from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import CalibrationError
from wam_ros.core.transforms import exp
from wam_ros.files.calibration import CalibratedCamera, CalibrationFile, Placed, Residuals, _hash, save
from wam_ros.files.mounts import read_mounts, require_optics
from wam_ros.kinematics.eyes import Eyes
from wam_ros.kinematics.forward import Kinematics

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
CAMERAS = ("head", "left_wrist", "right_wrist")
OPTICS = Optics(320, 240, 300.0, 300.0, 159.5, 119.5)


def placed(parent: str, child: str, T: np.ndarray) -> Placed:
    turn = Rotation.from_matrix(T[:3, :3]).as_quat().tolist()
    return Placed(parent, child, tuple(T[:3, 3].tolist()), tuple(turn), 1.0, 0.1, (0.0,) * 36)


def calibration(robot, moves: dict[str, np.ndarray], base: np.ndarray) -> CalibrationFile:
    """The URDF's own mounts, each moved a little, and the right arm's base moved, too."""
    kinematics, q = Kinematics(robot), robot.ready_position()
    left, right = robot.arms
    parents = {"head": left.base_frame, "left_wrist": left.tool_frame, "right_wrist": right.tool_frame}

    def within(parent: str, child: str) -> np.ndarray:
        return np.linalg.inv(kinematics.pose(q, parent)) @ kinematics.pose(q, child)

    cameras = {
        name: CalibratedCamera(
            f"S-{name}", OPTICS, placed(p, robot.camera(name).frame, within(p, robot.camera(name).frame) @ moves[name])
        )
        for name, p in parents.items()
    }
    T_left_right = within(left.base_frame, right.base_frame) @ base
    bases = {right.name: placed(left.base_frame, right.base_frame, T_left_right)}
    residuals = Residuals(0.1, 0.1, 0.1, 0.1, 9, 0, 3, 0.1, 0.1, 0.1, 0.1)
    date = (NOW - timedelta(days=10)).isoformat()
    content = CalibrationFile(robot.name, date, Board(), cameras, bases, residuals)
    return replace(content, hash=_hash(content))


STILL = dict.fromkeys(CAMERAS, np.eye(4))


@pytest.fixture
def file(robot, tmp_path):
    save(calibration(robot, STILL, np.eye(4)), tmp_path / "mounts.yaml")
    return str(tmp_path / "mounts.yaml")


def read(robot, file, now=NOW, cameras=CAMERAS, **more):
    return read_mounts(replace(robot, simulated=False), file, cameras, now, 90, **more)


def test_a_fresh_file_of_this_robot_is_used_and_a_twin_needs_none(robot, file):
    assert read(robot, file, serials={"head": "S-head"}).cameras.keys() == set(CAMERAS)
    assert read_mounts(robot, "", CAMERAS, NOW, 90) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file": ""}, "expected a file, got none"),
        ({"now": NOW + timedelta(days=81)}, "expected at most 90 days, got one of 91 days"),
        ({"serials": {"left_wrist": "S-new"}}, "left_wrist: serial: expected S-new, got S-left_wrist"),
        ({"cameras": (*CAMERAS, "chest")}, "expected chest among them"),
    ],
)
def test_a_file_that_may_not_be_used_is_refused_by_name(robot, file, change, words):
    with pytest.raises(CalibrationError, match=words):
        read(robot, **{"file": file, **change})


def test_a_file_of_another_robot_is_refused(robot, file):
    with pytest.raises(CalibrationError, match="robot: expected other, got sim_r1_lite"):
        read(replace(robot, name="other"), file)


@pytest.mark.parametrize("change", [(0, 0, 30.0), (1, 2, 12.0)])
def test_a_camera_that_sees_otherwise_is_another_one(robot, change):
    content, matrix = calibration(robot, STILL, np.eye(4)), np.array([[301.0, 0, 160], [0, 299, 120], [0, 0, 1]])
    require_optics(content, "head", matrix, 320, 240)
    with pytest.raises(CalibrationError, match="another camera"):
        require_optics(content, "head", 2 * matrix, 640, 480)
    row, column, by = change
    matrix[row, column] += by
    with pytest.raises(CalibrationError, match="another camera"):
        require_optics(content, "head", matrix, 320, 240)


def test_a_calibration_that_agrees_with_the_urdf_changes_nothing(robot):
    rng, bounds = np.random.default_rng(0), robot.bounds()
    q = rng.uniform(*bounds)
    by_urdf, by_file = Eyes(robot).poses(q), Eyes(robot, calibration(robot, STILL, np.eye(4))).poses(q)
    assert tuple(by_urdf) == CAMERAS
    for name in CAMERAS:
        np.testing.assert_allclose(by_file[name], by_urdf[name], atol=1e-9)


def test_a_camera_is_where_its_arm_carries_its_calibrated_mount_from_the_arms_calibrated_base(robot):
    q = np.random.default_rng(1).uniform(*robot.bounds())
    moves = {name: exp(np.array([0.01, -0.02, 0.03, 0.1, 0.2, -0.1]) * (k + 1)) for k, name in enumerate(CAMERAS)}
    base = exp(np.array([0.05, 0, 0, 0, 0, 0.02]))
    urdf, found = Eyes(robot).poses(q), Eyes(robot, calibration(robot, moves, base)).poses(q)
    for name in ("head", "left_wrist"):
        np.testing.assert_allclose(found[name], urdf[name] @ moves[name], atol=1e-9)
    T_base = Kinematics(robot).pose(q, robot.arms[1].base_frame)
    carried = T_base @ base @ np.linalg.inv(T_base) @ urdf["right_wrist"] @ moves["right_wrist"]
    np.testing.assert_allclose(found["right_wrist"], carried, atol=1e-9)
