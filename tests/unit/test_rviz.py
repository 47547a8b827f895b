# SPDX-License-Identifier: Apache-2.0
"""The rviz view names topics and frames that exist."""

from __future__ import annotations

import pytest
import yaml

from wam_ros.files.assets import find, load_robot

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
