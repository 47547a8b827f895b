# SPDX-License-Identifier: Apache-2.0
"""The rviz view names topics and frames that exist."""

from __future__ import annotations

import pytest
import yaml

from wam_ros.core.errors import MissingDependencyError
from wam_ros.files.assets import find, load_robot
from wam_ros.graph import NodeSpec, RunOptions, make_plan
from wam_ros.kinematics.description import urdf_text
from wam_ros.launching import node_keywords
from wam_ros.runner import command

OURS = {"/robot_description", "/markers", "/markers/workspace", "/policy/mosaic"}
IMAGINED = {"/measured/points", "/imagined/points", "/imagined/error", "/policy/imagined/color"}


def test_every_topic_of_the_view_is_published_by_somebody():
    view = yaml.safe_load(find("rviz/wam.rviz").read_text())["Visualization Manager"]
    topics = {d[key]["Value"] for d in view["Displays"] for key in ("Topic", "Description Topic") if key in d}
    robot = load_robot("sim_r1_lite")
    imagined = {f"/imagined/{camera.name}/{what}" for camera in robot.cameras for what in ("color", "depth")}
    assert topics == OURS | IMAGINED | imagined | {camera.color for camera in robot.cameras}


def test_its_topics_of_the_imagination_are_those_of_the_code():
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    from wam_ros.ros.clouds import ERROR, MEASURED
    from wam_ros.ros.clouds import IMAGINED as POINTS
    from wam_ros.ros.imagined import COLOR

    assert {f"/{topic}" for topic in (ERROR, POINTS, MEASURED, COLOR)} == IMAGINED


def test_the_frame_in_which_it_draws_is_a_link_of_the_robot():
    view = yaml.safe_load(find("rviz/wam.rviz").read_text())["Visualization Manager"]
    assert view["Global Options"]["Fixed Frame"] == "base_link"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A workspace with these packages, each with a program of its name, and nothing else sourced."""
    pytest.importorskip("ament_index_python", reason="no ROS 2 in this environment")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))

    def install(*packages: str) -> None:
        for package in packages:
            for file in (f"share/ament_index/resource_index/packages/{package}", f"lib/{package}/{package}"):
                (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / file).touch()

    return install


def looked_at(robot: str = "sim_r1_lite", **options) -> dict[str, NodeSpec]:
    return {
        spec.name: spec for spec in make_plan(RunOptions("towel_fold", robot, "expert", rviz=True, **options)).specs
    }


def test_without_rviz_the_line_that_installs_it_is_said(installed):
    with pytest.raises(
        MissingDependencyError, match=r"package: expected rviz2, .*apt-get install ros-.ROS_DISTRO-rviz2"
    ):
        looked_at()


def test_rviz_stands_at_the_side_with_the_view_and_the_robots_root(installed):
    installed("rviz2")
    specs = looked_at()
    assert specs["rviz"].arguments == ("-d", str(find("rviz/wam.rviz")), "-f", "base_link")
    assert looked_at("sim_ac_one")["rviz"].arguments[-1] == "base_link", "not the bench"
    assert specs["viewer"].params["port"] == 0, "no page was asked for"
    assert "port" not in looked_at(view=True)["viewer"].params
    assert not any(specs[name].required for name in ("viewer", "rviz"))


def test_one_node_alone_tells_the_frames(installed):
    installed("rviz2")
    specs = looked_at()
    assert specs["viewer"].params["frames"] == "viewer"
    assert "frames" not in specs
    installed("robot_state_publisher")
    specs = looked_at()
    assert specs["viewer"].params["frames"] == "robot_state_publisher"
    assert specs["frames"].params == {"use_sim_time": True, "robot_description": urdf_text(load_robot("sim_r1_lite"))}
    assert specs["frames"].remaps == (("joint_states", "viewer/joint_states"),)
    assert load_robot("r1_lite").publishes_frames
    own = {spec.name: spec for spec in make_plan(RunOptions("towel_fold", "r1_lite", "hold", rviz=True)).specs}
    assert own["viewer"].params["frames"] == "robot"
    assert "frames" not in own
    assert looked_at("r1_lite", double=True)["viewer"].params["frames"] == "robot_state_publisher", (
        "its double tells none"
    )


def test_run_and_launch_start_the_same_programs_of_others(installed, tmp_path):
    installed("rviz2", "robot_state_publisher")
    specs = looked_at()
    for name, package in (("rviz", "rviz2"), ("frames", "robot_state_publisher")):
        words, launched = command(specs[name], tmp_path / "params.yaml"), node_keywords(specs[name])
        start = words.index("--ros-args")
        assert words[:start] == [str(tmp_path / f"lib/{package}/{package}"), *launched.get("arguments", [])]
        assert (launched["package"], launched["executable"], launched["name"]) == (package, package, name)
        assert words[start:] == [
            "--ros-args",
            *("-r", f"__node:={name}"),
            *(word for pair in launched["remappings"] for word in ("-r", ":=".join(pair))),
            *("--params-file", str(tmp_path / "params.yaml")),
        ]
