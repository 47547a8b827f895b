# SPDX-License-Identifier: Apache-2.0
"""Samples of easy_handeye2 are solved, with the camera on the tool and beside the robot, or refused by name."""

import re

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from wam_ros import cli
from wam_ros.core.errors import CalibrationError, ConfigError
from wam_ros.core.handeye.calibrate import calibrate
from wam_ros.core.transforms import exp, invert, log, rigid
from wam_ros.files.easy_handeye import load_samples


def as_pose(T):
    translation, rotation = T[:3, 3].tolist(), Rotation.from_matrix(T[:3, :3]).as_quat().tolist()
    return {
        "translation": dict(zip("xyz", translation, strict=True)),
        "rotation": dict(zip("xyzw", rotation, strict=True)),
    }


def samples(tmp_path, *, on_tool, count=14):
    """A camera on the tool, or beside the robot with the marker on the tool, and its truth."""
    rng = np.random.default_rng(0)
    X, Z = exp(np.r_[0.05, -0.02, 0.08, 0.3, -0.2, 1.2]), exp(np.r_[0.5, 0.1, 0.0, 0.1, 0.05, -0.4])
    rows = []
    for _ in range(count):
        tracking = rigid(np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 0.4])) @ exp(
            rng.uniform(-0.1, 0.1, 6) * [1, 1, 1, 5, 5, 5]
        )
        robot = Z @ invert(X @ tracking)
        robot = robot @ exp(rng.normal(0, 1, 6) * np.repeat([0.0005, 0.001], 3))
        rows.append({"robot": as_pose(robot), "tracking": as_pose(tracking)})
    path = tmp_path / "cell.samples"
    path.write_text(yaml.safe_dump({"samples": rows}))
    return path, X


@pytest.mark.parametrize("on_tool", [True, False])
def test_samples_give_the_camera_with_its_error(tmp_path, on_tool):
    path, X = samples(tmp_path, on_tool=on_tool)
    solution = calibrate(load_samples(path, on_tool=on_tool)).solution
    # Beside the robot the file holds T_tool_base: the camera's pose in the base is the same X.
    error = log(invert(X) @ solution.transforms["camera", "camera"])
    assert error @ np.linalg.solve(solution.covariance_of(("camera", "camera")), error) < 35
    assert np.linalg.norm(error[:3]) < 0.003


def test_the_command_says_where_the_camera_is_and_how_sure_that_is(tmp_path, capsys):
    path, X = samples(tmp_path, on_tool=True)
    assert cli.main(["calibrate", "samples", str(path)]) == cli.OK
    said = capsys.readouterr().out
    found = np.array([float(v) for v in re.search(r"xyz ([-\d., ]+) mm", said).group(1).split(",")])
    assert np.linalg.norm(found - 1e3 * X[:3, 3]) < 3
    assert "(95 %)" in said
    assert "held out: 2 samples" in said


def in_millimetres(*sides):
    def spoil(row):
        for side in sides:
            for axis in "xyz":
                row[side]["translation"][axis] *= 1000

    return spoil


def inverted(row):
    pose = row["robot"]
    t = [pose["translation"][axis] for axis in "xyz"]
    q = [pose["rotation"][axis] for axis in "xyzw"]
    row["robot"] = as_pose(invert(rigid(Rotation.from_quat(q).as_matrix(), np.array(t))))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (in_millimetres("tracking"), "millimetres"),
        (in_millimetres("robot"), "tool position: expected metres, less than 10, got .*; millimetres must be divided"),
        (in_millimetres("robot", "tracking"), "tool position: expected metres, less than 10, got .*; millimetres must"),
        (inverted, "poses of one side are inverted.*or the camera is beside the robot and was said to be on the tool"),
    ],
)
def test_the_wrong_kind_of_samples_is_named(tmp_path, spoil, words):
    path, _ = samples(tmp_path, on_tool=True)
    text = yaml.safe_load(path.read_text())
    for row in text["samples"]:
        spoil(row)
    path.write_text(yaml.safe_dump(text))
    with pytest.raises(CalibrationError, match=words):
        calibrate(load_samples(path, on_tool=True))


def test_files_that_hold_no_samples_are_refused(tmp_path):
    path = tmp_path / "a.samples"
    path.write_text("samples: [{robot: {}}]")
    with pytest.raises(ConfigError, match="tracking: expected a value"):
        load_samples(path, on_tool=True)


def test_a_marker_behind_the_camera_is_refused(tmp_path):
    path, _ = samples(tmp_path, on_tool=True)
    text = yaml.safe_load(path.read_text())
    text["samples"][0]["tracking"]["translation"]["z"] = -0.4
    path.write_text(yaml.safe_dump(text))
    with pytest.raises(CalibrationError, match="behind the camera"):
        load_samples(path, on_tool=True)
