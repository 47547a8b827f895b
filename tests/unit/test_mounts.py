# SPDX-License-Identifier: Apache-2.0
"""Clouds are made by a calibration that is there, fresh, complete and of these cameras; and by it alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pinocchio", reason="pinocchio is not installed")
from wam_ros.core.board import Optics
from wam_ros.core.errors import CalibrationError
from wam_ros.core.place import Place
from wam_ros.core.transforms import apply, invert
from wam_ros.core.types import JointState, Observation, View
from wam_ros.files.calibration import CalibratedCamera, CalibrationFile, Placed, _hash, save
from wam_ros.files.mounts import read_mounts, require_same_optics
from wam_ros.foresight.comparison import sighted
from wam_ros.foresight.scenes import Scenes
from wam_ros.vision.sight import Sight

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
CAMERAS = ("head", "left_wrist", "right_wrist")
OPTICS = Optics(320, 240, 300.0, 300.0, 159.5, 119.5)


@pytest.fixture
def real(robot, tmp_path):
    """A real robot that names a calibration of ten days ago."""
    cameras = {
        name: CalibratedCamera(
            "S",
            OPTICS,
            Placed(
                "left_tool_link", robot.camera(name).frame, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), 1.0, 0.1, (0.0,) * 36
            ),
        )
        for name in CAMERAS
    }
    content = CalibrationFile(robot.name, (NOW - timedelta(days=10)).isoformat(), cameras=cameras)
    save(replace(content, hash=_hash(content)), tmp_path / "mounts.yaml")
    return replace(robot, simulated=False, calibration=str(tmp_path / "mounts.yaml"))


def test_a_fresh_calibration_is_used_and_a_twin_needs_none(real, robot):
    assert read_mounts(real, CAMERAS, NOW, 90).cameras.keys() == set(CAMERAS)
    assert read_mounts(robot, CAMERAS, NOW, 90) is None


@pytest.mark.parametrize(
    ("robot_has", "cameras", "now", "words"),
    [
        ({"calibration": ""}, CAMERAS, NOW, "calibration of sim_r1_lite: expected a file, got none"),
        ({}, CAMERAS, NOW + timedelta(days=81), "expected at most 90 days, got one of 91 days"),
        ({}, (*CAMERAS, "chest"), NOW, "expected chest among them, got head, left_wrist, right_wrist"),
    ],
)
def test_a_calibration_that_may_not_be_used_is_refused_by_name(real, robot_has, cameras, now, words):
    with pytest.raises(CalibrationError, match=words):
        read_mounts(replace(real, **robot_has), cameras, now, 90)


def test_a_calibration_that_was_changed_is_refused(real):
    path = Path(real.calibration)
    path.write_text(path.read_text().replace("300.0", "301.0"))
    with pytest.raises(CalibrationError, match="was changed"):
        read_mounts(real, CAMERAS, NOW, 90)


@pytest.mark.parametrize("change", [{"fx": 330.0}, {"cy": 135.0}, {"width": 640, "height": 480}])
def test_a_camera_that_sees_otherwise_is_another_one(change):
    require_same_optics("head", OPTICS, replace(OPTICS, fx=301.0, cx=161.0))
    with pytest.raises(
        CalibrationError, match=r"calibration of camera head: expected 320x240, f 300\.0.*another camera"
    ):
        require_same_optics("head", OPTICS, replace(OPTICS, **change))


def test_a_cloud_of_a_wrist_camera_goes_where_the_arm_carries_it_and_moves_with_its_calibrated_mount(robot):
    sight = Sight("left_wrist", 240, 320, 24, 32)
    wall = np.full((240, 320), 0.5, np.float32)
    frame = robot.camera("left_wrist").frame
    moved = replace(robot, frames={frame: Place("left_tool_link", (0.0, 0.0, 0.1), (0.0, 0.0, 0.0, 1.0))})
    q = np.random.default_rng(1).uniform(*robot.bounds())
    color = np.zeros((240, 320, 3), np.uint8)
    views = {"left_wrist": View(5, color, wall)}
    seen = sighted(Observation(5, views, JointState(5, robot.joint_names, q)), {"left_wrist": sight})
    for body in (robot, moved):
        scenes = Scenes(body, {"left_wrist": sight}, {"left_wrist": OPTICS.matrix()}, far_m=2.0)
        T = scenes.poses(q)["left_wrist"]
        points = scenes.measured(seen).points
        np.testing.assert_allclose(apply(invert(T), points)[:, 2], 0.5, atol=1e-5)
    T_tool = Scenes(moved, {"left_wrist": sight}, {"left_wrist": OPTICS.matrix()}, 2.0)._kinematics.pose(
        q, "left_tool_link"
    )
    np.testing.assert_allclose((invert(T_tool) @ T)[:3, 3], [0, 0, 0.1], atol=1e-9)
