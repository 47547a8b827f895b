# SPDX-License-Identifier: Apache-2.0
"""A calibration file is written of a verified result only, and read only unchanged and for the cameras it is of."""

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
import yaml

from wam_ros.bench.staged_poses import LENS, three_cameras
from wam_ros.calibrate import describe
from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import CalibrationError, ConfigError
from wam_ros.core.handeye.problem import Noise
from wam_ros.core.handeye.session import Session
from wam_ros.core.transforms import invert, log
from wam_ros.files.assets import load_robot
from wam_ros.files.calibration import load, make_file, save

OPTICS = Optics(640, 480, LENS.fx, LENS.fy, LENS.cx, LENS.cy)
SERIALS = {"head": "H1", "left_wrist": "L1", "right_wrist": "R1"}
DATE = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def case():
    problem, truth = three_cameras(np.random.default_rng(1), Noise(), 11)
    session = Session(replace(problem, poses={}, sightings=()))
    for pose in range(11):
        tools = {arm: problem.poses[arm, pose] for arm in problem.arms}
        seen = [s for s in problem.sightings if s.pose == pose]
        session.add(tools, seen, held_out=pose % 5 == 4)
    result = session.finish()
    optics = dict.fromkeys(SERIALS, OPTICS)
    return truth, result, make_file(load_robot("sim_r1_lite"), Board(), result, optics, SERIALS, DATE)


def test_what_is_written_is_read_back(case, tmp_path):
    truth, result, content = case
    path = tmp_path / "deep" / "cell.yaml"
    save(content, path)
    found = load(path, SERIALS)
    assert found == content
    assert found.date == "2026-03-01T12:00:00+00:00"
    for name in SERIALS:
        T = found.cameras[name].placed.matrix()
        np.testing.assert_allclose(T, result.calibration.solution.transforms["camera", name], atol=1e-9)
        assert np.linalg.norm(log(invert(truth["camera", name]) @ T)[:3]) < 0.005


def test_frames_are_those_of_the_robot(case):
    content = case[2]
    placed = content.cameras["left_wrist"].placed
    assert (placed.parent, placed.child) == ("left_tool_link", "left_wrist_optical_frame")
    assert content.cameras["head"].placed.parent == "left_arm_base_link"
    assert (content.bases["right"].parent, content.bases["right"].child) == (
        "left_arm_base_link",
        "right_arm_base_link",
    )


def test_the_error_is_told(case):
    text = "\n".join(describe(case[2]))
    assert "(95 %)" in text
    assert "held out: 6 pictures" in text


def test_a_file_changed_by_hand_is_refused(case, tmp_path):
    path = tmp_path / "cell.yaml"
    save(case[2], path)
    data = yaml.safe_load(path.read_text())
    data["cameras"]["head"]["placed"]["xyz_m"][0] += 0.01
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(CalibrationError, match="changed after it was verified"):
        load(path)


def test_a_file_from_before_there_were_other_boards_is_read(case, tmp_path):
    path = tmp_path / "cell.yaml"
    save(case[2], path)
    data = yaml.safe_load(path.read_text())
    del data["board"]["kind"]
    path.write_text(yaml.safe_dump(data))
    assert load(path) == case[2]


def test_a_file_of_another_camera_is_refused(case, tmp_path):
    path = tmp_path / "cell.yaml"
    save(case[2], path)
    with pytest.raises(CalibrationError, match="camera head: serial: expected H2, got H1"):
        load(path, {"head": "H2"})
    with pytest.raises(CalibrationError, match="calibrate this camera"):
        load(path, {"front": "F1"})


def test_something_else_than_a_calibration_is_refused(tmp_path):
    path = tmp_path / "cell.yaml"
    path.write_text("robot: x\n")
    with pytest.raises(ConfigError, match=r"cell\.yaml"):
        load(path)


def test_no_file_is_made_of_a_result_that_held_out_poses_contradict(case):
    result = case[1]
    wrong = replace(result, verification=replace(result.verification, chi_square=99.0))
    with pytest.raises(CalibrationError, match="no file is written"):
        make_file(load_robot("sim_r1_lite"), Board(), wrong, dict.fromkeys(SERIALS, OPTICS), SERIALS, DATE)


def test_a_session_without_held_out_poses_is_not_verified():
    problem, _ = three_cameras(np.random.default_rng(2), Noise(), 10)
    session = Session(replace(problem, poses={}, sightings=()))
    assert session.estimate() is None
    for pose in range(10):
        session.add(
            {arm: problem.poses[arm, pose] for arm in problem.arms}, [s for s in problem.sightings if s.pose == pose]
        )
    assert session.poses == 10
    assert session.estimate() is not None
    with pytest.raises(CalibrationError, match="held out"):
        session.finish()
