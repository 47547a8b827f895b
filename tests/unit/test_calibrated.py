# SPDX-License-Identifier: Apache-2.0
"""A calibration file that a robot names is in force everywhere, and one that is not its own is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import CalibrationError, ConfigError
from wam_ros.core.place import Lateness, Place
from wam_ros.core.transforms import exp
from wam_ros.files.assets import load_robot
from wam_ros.files.calibrated import latency_sources
from wam_ros.files.calibration import CalibratedCamera, CalibrationFile, Placed, load, save, with_latencies
from wam_ros.kinematics.description import urdf_text
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.links import Links

WRIST, TOOL = "left_wrist_optical_frame", "left_tool_link"
XYZ, TURN = (0.01, -0.02, 0.05), (0.5, -0.5, 0.5, 0.5)
MEASURED = {
    "head": Lateness(0.033, 0.001, "screen", "2026-01-01"),
    "arm left": Lateness(0.06, 0.002, "motion", "2026-01-01"),
    "gripper right": Lateness(0.09, 0.002, "motion", "2026-01-01"),
}


def content(robot="sim_r1_lite", serial="0815") -> CalibrationFile:
    placed = Placed(TOOL, WRIST, XYZ, TURN, 0.5, 0.1, (0.0,) * 36)
    base = Placed(
        "left_arm_base_link", "right_arm_base_link", (0.0, -0.3, 0.0), (0.0, 0.0, 0.0, 1.0), 0.5, 0.1, (0.0,) * 36
    )
    camera = CalibratedCamera(serial, Optics(640, 480, 430.0, 430.0, 320.0, 240.0), placed)
    file = CalibrationFile(robot, "2026-01-01T12:00:00+00:00", Board(), {"left_wrist": camera}, {"right": base})
    return with_latencies(file, MEASURED)


def named(folder, file: CalibrationFile, **changes) -> str:
    """A robot file beside a calibration that it names."""
    save(file, folder / "cell.yaml")
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"like": "sim_r1_lite", "calibration": "cell.yaml", **changes}))
    return str(path)


def test_a_robot_that_names_its_calibration_is_as_that_says_wherever_it_is_read(tmp_path):
    plain, robot = load_robot("sim_r1_lite"), load_robot(named(tmp_path, content()))
    assert robot.camera("head").latency_s == 0.033
    assert robot.camera("left_wrist").latency_s == 0.0
    assert [arm.latency_s for arm in robot.arms] == [0.06, 0.0]
    assert [arm.gripper.latency_s for arm in robot.arms] == [0.0, 0.09]
    position = robot.ready_position() + 0.05
    found, before = Kinematics(robot), Kinematics(plain)
    T = Placed(TOOL, WRIST, XYZ, TURN, 0, 0, ()).matrix()
    assert np.allclose(found.pose(position, WRIST), found.pose(position, TOOL) @ T, atol=1e-9)
    assert not np.allclose(before.pose(position, WRIST), found.pose(position, WRIST), atol=1e-3)
    assert np.allclose(before.pose(position, "head_optical_frame"), found.pose(position, "head_optical_frame"))
    left = found.pose(position, "left_arm_base_link")
    assert np.allclose(
        (np.linalg.inv(left) @ found.pose(position, "right_arm_base_link"))[:3, 3], [0, -0.3, 0], atol=1e-9
    )
    links = dict(zip(Links(robot).names, Links(robot).poses(position), strict=True))
    assert np.allclose(links[TOOL, WRIST], T, atol=1e-8), "for tf and the browser"


def test_reading_it_twice_changes_nothing_more_and_paths_may_move(tmp_path):
    robot = load_robot(named(tmp_path, content()))
    again = tmp_path / "elsewhere" / "robot.yaml"
    again.parent.mkdir()
    from wam_ros.files.load import to_data

    again.write_text(yaml.safe_dump(to_data(robot)))
    assert load_robot(str(again)) == robot


def test_a_run_is_given_a_calibration_file_by_option(tmp_path, monkeypatch):
    from wam_ros.graph import RunOptions
    from wam_ros.run import calibrated, prepare

    monkeypatch.chdir(tmp_path)
    save(content(), tmp_path / "cell.yaml")
    options = RunOptions("towel_fold", robot="sim_r1_lite", policy="hold")
    plan = prepare(options, calibrated(Path("cell.yaml")), 1, tmp_path / "run")
    assert plan.robot.camera("head").latency_s == 0.033
    (read,) = {str(spec.params["robot"]) for spec in plan.specs}
    assert load_robot(read) == plan.robot, "every node reads the same"
    assert calibrated(None) == []
    save(content(robot="another"), tmp_path / "cell.yaml")
    with pytest.raises(CalibrationError, match="got another"):
        prepare(options, calibrated(Path("cell.yaml")), 1, tmp_path / "again")


def test_it_is_said_how_late_each_device_is_taken_to_be_and_by_whom(tmp_path):
    said = latency_sources(load_robot(named(tmp_path, content(), cameras=[{"name": "right_wrist", "latency_s": 0.01}])))
    assert any(line.startswith("latency of head: 33.0 ms (+- 1.0 ms, screen, 2026-01-01, ") for line in said)
    assert "latency of right_wrist: 10.0 ms (the robot file)" in said
    assert "latency of left_wrist: 0.0 ms (nobody has measured it)" in said
    assert any(line.startswith("latency of gripper right: 90.0 ms") for line in said)


def test_a_twin_stands_as_its_urdf_says_whatever_a_calibration_believes(tmp_path):
    pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
    from wam_ros.sim.embodiment import robot_spec

    robot = load_robot(named(tmp_path, content()))
    assert robot.frames
    models = [robot_spec(r).compile() for r in (robot, load_robot("sim_r1_lite"))]
    assert np.array_equal(models[0].body_pos, models[1].body_pos)


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        (content(robot="another"), {}, "expected sim_r1_lite, got another"),
        (
            content(),
            {"cameras": [{"name": "left_wrist", "serial": "4711"}]},
            "left_wrist: serial: expected 4711, got 0815",
        ),
        (replace(content(), date="2030-01-01"), {}, "was changed after it was verified"),
    ],
    ids=["robot", "serial", "edited"],
)
def test_a_file_that_is_not_this_robots_is_refused_by_name(tmp_path, file, changes, said):
    with pytest.raises(CalibrationError, match=said):
        load_robot(named(tmp_path, file, **changes))


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    path = named(tmp_path, content())
    (tmp_path / "cell.yaml").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_robot(path)


@pytest.mark.parametrize(
    ("frame", "parent", "said"),
    [
        ("no_such_frame", TOOL, "no such frame"),
        ("left_arm_link3", TOOL, "a revolute joint"),
        ("left_tool_link", WRIST, "does not hang on it"),
    ],
)
def test_only_frames_on_fixed_joints_can_be_placed_and_nothing_hangs_on_itself(robot, frame, parent, said):
    placed = {WRIST: Place(TOOL, XYZ, TURN), frame: Place(parent, XYZ, TURN)}
    with pytest.raises(ConfigError, match=said):
        urdf_text(replace(robot, frames=placed))


@settings(max_examples=8)
@given(st.lists(st.floats(-0.5, 0.5), min_size=6, max_size=6))
def test_any_place_comes_back_from_the_urdf(twist):
    from scipy.spatial.transform import Rotation

    robot, T = load_robot("sim_r1_lite"), exp(np.array(twist))
    quaternion = tuple(Rotation.from_matrix(T[:3, :3]).as_quat().tolist())
    placed = replace(robot, frames={WRIST: Place(TOOL, tuple(T[:3, 3].tolist()), quaternion)})
    kinematics, position = Kinematics(placed), robot.ready_position()
    between = np.linalg.inv(kinematics.pose(position, TOOL)) @ kinematics.pose(position, WRIST)
    assert np.allclose(between, T, atol=1e-7)


def test_files_with_latencies_are_held_to_their_hash_and_older_ones_still_load(tmp_path):
    path = tmp_path / "cell.yaml"
    save(with_latencies(content(), {}), path)
    assert load(path).latencies == MEASURED
    plain = with_latencies(replace(content(), latencies={}), {})
    save(plain, path)
    text = path.read_text().replace("latencies: {}\n", "")
    assert "latencies" not in text
    path.write_text(text)
    assert load(path) == plain
