# SPDX-License-Identifier: Apache-2.0
"""A description that takes over from another one: what it says wins, all else is the other's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from wam_ros.checks import check_robot
from wam_ros.core.errors import ConfigError
from wam_ros.core.robot import Robot
from wam_ros.files.assets import load_robot, names, twins
from wam_ros.files.inherit import merged, read_description


def written(folder: Path, **files: dict) -> None:
    for name, data in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))


def test_keys_merge_deeply_named_items_by_their_names_and_other_lists_as_a_whole():
    base = {"a": {"x": 1, "y": [1, 2]}, "arms": [{"name": "left", "k": 1}, {"name": "right", "k": 2}]}
    changes = {"a": {"y": [3]}, "arms": [{"name": "right", "k": 5}, {"name": "third"}], "b": None}
    assert merged(base, changes) == {
        "a": {"x": 1, "y": [3]},
        "arms": [{"name": "left", "k": 1}, {"name": "right", "k": 5}, {"name": "third"}],
        "b": None,
    }
    assert base["arms"][1]["k"] == 2, "the base was altered"


def test_a_file_may_take_over_from_one_that_takes_over(tmp_path):
    written(tmp_path, a={"x": 1, "y": 1, "z": 1}, b={"like": "a", "y": 2, "z": 2}, c={"like": "b", "z": 3})
    assert read_description(tmp_path / "c.yaml", lambda n: tmp_path / f"{n}.yaml") == {"x": 1, "y": 2, "z": 3}


def test_a_file_that_takes_over_from_itself_is_refused(tmp_path):
    written(tmp_path, a={"like": "b"}, b={"like": "a"})
    with pytest.raises(ConfigError, match="takes over from itself"):
        read_description(tmp_path / "a.yaml", lambda n: tmp_path / f"{n}.yaml")


def test_an_unknown_base_lists_the_known_robots(tmp_path):
    written(tmp_path, mine={"like": "nobody"})
    with pytest.raises(ConfigError, match="expected one of"):
        load_robot(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("name", [name for name in names("robots") if f"sim_{name}" in names("robots")])
def test_a_twin_differs_from_its_robot_in_nothing_that_a_policy_sees(name):
    """Joints, their order, poses, position bounds, gripper ends, frames and topics of the arms are one and the same."""
    real, twin = load_robot(name), load_robot(f"sim_{name}")
    assert twin.simulated
    assert not real.simulated

    def seen(robot: Robot) -> list:
        arms = []
        for arm in robot.arms:
            ends = (arm.gripper.joint, arm.gripper.closed_native, arm.gripper.open_native, arm.gripper.fingers)
            topics = [s.topic for s in (arm.state, arm.command, arm.gripper_state, arm.gripper_command)]
            bounds = (arm.limits.lower_rad, arm.limits.upper_rad)
            arms.append((arm.name, arm.joints, arm.home_rad, arm.ready_rad, arm.tool_frame, bounds, ends, topics))
        return [arms, robot.base_frame, robot.leader_camera, [(c.name, c.frame, c.arm) for c in robot.cameras]]

    assert seen(real) == seen(twin)
    assert (real.target_lifetime_s is None) == (twin.target_lifetime_s is None)


@pytest.mark.parametrize("name", names("robots"))
def test_the_folded_pose_is_believed_although_it_lies_on_the_stops(name):
    for arm in load_robot(name).arms:
        margin = arm.limits.feedback_margin_rad
        for zero, lower, upper in zip(arm.home_rad, arm.limits.lower_rad, arm.limits.upper_rad, strict=True):
            assert lower - margin < zero < upper + margin


def test_every_robot_has_one_camera_on_each_arm_and_twins_are_known():
    for name in names("robots"):
        robot = load_robot(name)
        assert sorted(camera.arm for camera in robot.cameras) == ["", *sorted(arm.name for arm in robot.arms)]
    assert twins() == [name for name in names("robots") if name.startswith("sim_")]


def test_a_camera_on_an_arm_that_is_not_there_is_refused(tmp_path):
    written(tmp_path, mine={"like": "sim_r1_lite", "cameras": [{"name": "head", "arm": "third"}]})
    with pytest.raises(ConfigError, match=r"camera head: arm: expected .*left.*third"):
        check_robot(str(tmp_path / "mine.yaml"))
