# SPDX-License-Identifier: Apache-2.0
"""The graph in which a robot is calibrated, and what does not fit it."""

from __future__ import annotations

import importlib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
import yaml

from wam_ros.calibration_graph import CalibrationOptions, plan_calibration, prepared
from wam_ros.core.board import Board
from wam_ros.core.errors import ConfigError
from wam_ros.files.assets import load_robot, load_task
from wam_ros.files.board import parse_board
from wam_ros.files.load import to_data
from wam_ros.graph import PROGRAMS
from wam_ros.launching import calibration_options, node_keywords

TWIN = "sim_r1_lite"
BOARD = Board(columns=9, rows=6, square_m=0.028, marker_m=0.021, dictionary="4x4_250")


def specs(**options):
    return {spec.name: spec for spec in plan_calibration(CalibrationOptions(**{"robot": TWIN, **options})).specs}


def real(folder: Path) -> str:
    path = folder / "real.yaml"
    path.write_text(yaml.safe_dump(to_data(replace(load_robot(TWIN), simulated=False))))
    return str(path)


def test_the_calibration_stands_where_the_policy_would_and_motion_alone_commands(tmp_path):
    twin, robot = specs(move="drive", pace="lockstep"), specs(robot=real(tmp_path), move="drive")
    assert list(twin) == ["sim_robot", "calibration", "motion", "safety"]
    assert list(robot) == ["calibration", "motion", "safety"], "robot and twin differ by one node"
    after = {name: spec.params["lockstep_after"] for name, spec in twin.items()}
    assert after == {"sim_robot": "safety", "calibration": "sim_robot", "motion": "calibration", "safety": "motion"}
    assert twin["calibration"].params["drive"] is True
    assert specs()["calibration"].params["drive"] is False
    assert list(specs(move="teleop", teleop="gamepad"))[-1] == "teleop"


def test_nodes_are_given_only_parameters_that_they_declare():
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    for spec in specs(move="teleop", teleop="keyboard").values():
        assert spec.target in PROGRAMS
        module = importlib.import_module(f"wam_ros.nodes.{spec.target}")
        declared = [v for n, v in vars(module).items() if n.endswith("Params") and is_dataclass(v)]
        known = {field.name for cls in declared for field in fields(cls)} | {"use_sim_time"}
        assert set(spec.params) <= known, spec.name


def test_the_twin_gets_the_board_and_pictures_in_which_it_can_be_seen(tmp_path):
    options = prepared(CalibrationOptions(TWIN, board=BOARD), 600, tmp_path)
    robot, task = load_robot(options.robot), load_task(options.task)
    assert {(c.width, c.height) for c in robot.cameras} == {(800, 600)}
    assert parse_board(task.scene_options["board"]) == BOARD
    assert parse_board(plan_calibration(options).specs[1].params["board"]) == BOARD
    untouched = CalibrationOptions(real(tmp_path), board=BOARD)
    again = prepared(untouched, 600, tmp_path / "real")
    assert load_robot(again.robot) == load_robot(untouched.robot)


def test_a_robot_is_calibrated_anew_whatever_its_old_file_is_worth(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"like": TWIN, "calibration": "lost.yaml"}))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_robot(str(path))
    options = prepared(CalibrationOptions(str(path)), 600, tmp_path / "config")
    assert load_robot(options.robot).calibration == ""
    assert plan_calibration(options).robot.name == TWIN


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"robot": ""}, "robot: expected a name"),
        ({"move": "push"}, "move: expected hand or teleop or drive, got 'push'"),
        ({"move": "teleop"}, "teleop: expected leader or gamepad or keyboard"),
        ({"teleop": "leader"}, "correct it for move hand"),
        ({"pace": "lockstep"}, "pace lockstep needs a simulated robot and move drive"),
        ({"task": "towel_fold"}, "scene: expected board, got 'towel'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        specs(**options)


def test_launch_plays_the_same_nodes():
    given = {"robot": TWIN, "move": "drive", "poses": "11", "speed": "0.3", "board": "{columns: 9, rows: 6}"}
    launched = plan_calibration(calibration_options(given))
    wished = CalibrationOptions(TWIN, move="drive", poses=11, speed_share=0.3, board=Board(9, 6))
    assert launched == plan_calibration(wished)
    assert [node_keywords(spec)["executable"] for spec in launched.specs] == [
        "sim_robot",
        "calibration",
        "motion",
        "safety",
    ]
