# SPDX-License-Identifier: Apache-2.0
"""A camera's intrinsics are found from a folder of pictures, written as ROS reads them, and stated ones are judged."""

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.unit.test_boards import BOARD, OPTICS, facing, photographed
from wam_ros import cli
from wam_ros.calibration.captures import read_captures
from wam_ros.core.board import Optics
from wam_ros.core.errors import CalibrationError, ConfigError
from wam_ros.files.assets import load_robot
from wam_ros.files.camera_info import load_camera_info, save_camera_info


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine good pictures of one camera, and one blurred."""
    folder, rng = tmp_path_factory.mktemp("shots") / "front", np.random.default_rng(1)
    folder.mkdir()
    for i in range(9):
        at = ((i % 3 - 1) * 0.05, (i // 3 % 3 - 1) * 0.04)
        tilt = np.r_[rng.uniform(-0.5, 0.5, 2), rng.uniform(-0.2, 0.2)]
        grey = photographed(facing(rng.uniform(0.24, 0.32), tilt, at), seed=i)
        Image.fromarray(grey).save(folder / f"shot_{i}.png")
    Image.fromarray(photographed(facing(0.14), blur_px=2.6)).save(folder / "shot_blurred.png")
    return folder


def wrong(path):
    """Intrinsics of another camera."""
    save_camera_info(Optics(640, 480, 470.0, 380.0, 322.0, 238.0), "front", path)
    return path


def test_intrinsics_are_found_written_and_read_back(folder, tmp_path, capsys):
    out = tmp_path / "front.yaml"
    command = ["calibrate", "intrinsics", str(folder), "--out", str(out), "--stated", str(wrong(tmp_path / "old.yaml"))]
    assert cli.main(command) == cli.OK
    said = capsys.readouterr().out
    assert "shot_blurred.png: does not count, board: the picture is blurred" in said
    assert "front: 9 pictures of ChArUco 11 x 8" in said
    assert "poor, take the ones found here" in said
    found = load_camera_info(out)
    assert (found.width, found.height) == (640, 480)
    assert abs(found.fx - OPTICS.fx) < 3
    assert yaml.safe_load(out.read_text())["projection_matrix"]["data"][0] == pytest.approx(found.fx)
    command[-2:] = ["--stated", str(out)]
    assert cli.main(command) == cli.OK
    assert "px: good" in capsys.readouterr().out


def test_captures_without_optics_find_them_in_their_pictures(folder):
    robot = load_robot("sim_r1_lite")
    files = sorted(path.name for path in folder.glob("shot_?.png"))
    rows = [{"position": robot.ready_position().tolist(), "pictures": {"left_wrist": file}} for file in files]
    listed = folder / "captures.yaml"
    listed.write_text(yaml.safe_dump({"captures": rows}))
    captures, said = read_captures(listed, robot, BOARD)
    assert abs(captures.optics["left_wrist"].fx - OPTICS.fx) < 3
    assert said[0].startswith("left_wrist: 640 x 480, fx ")
    listed.write_text(yaml.safe_dump({"captures": rows[:3]}))
    with pytest.raises(CalibrationError, match="camera left_wrist: intrinsics: expected at least 8 pictures, got 3"):
        read_captures(listed, robot, BOARD)


def test_a_folder_that_holds_no_pictures_is_named(tmp_path, capsys):
    assert cli.main(["calibrate", "intrinsics", str(tmp_path)]) == cli.MISTAKE
    assert "expected pictures" in capsys.readouterr().err
    assert cli.main(["calibrate", "intrinsics", str(tmp_path / "none")]) == cli.MISTAKE
    assert "a folder of pictures of one camera" in capsys.readouterr().err


def test_pictures_of_two_sizes_are_refused(tmp_path, capsys):
    for i, size in enumerate([(64, 48), (32, 24)]):
        Image.new("L", size).save(tmp_path / f"{i}.png")
    assert cli.main(["calibrate", "intrinsics", str(tmp_path)]) == cli.MISTAKE
    assert "one size" in capsys.readouterr().err


def test_a_lens_that_is_not_described_is_refused(tmp_path):
    path = wrong(tmp_path / "fish.yaml")
    path.write_text(path.read_text().replace("plumb_bob", "equidistant"))
    with pytest.raises(ConfigError, match="distortion_model"):
        load_camera_info(path)
