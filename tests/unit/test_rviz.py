# SPDX-License-Identifier: Apache-2.0
"""The rviz view names topics and frames that exist."""

from __future__ import annotations

import yaml

from wam_ros.files.assets import find, load_robot

OURS = {"/robot_description", "/markers", "/markers/workspace", "/policy/mosaic"}


def test_every_topic_of_the_view_is_published_by_somebody():
    view = yaml.safe_load(find("rviz/wam.rviz").read_text())["Visualization Manager"]
    topics = {d[key]["Value"] for d in view["Displays"] for key in ("Topic", "Description Topic") if key in d}
    robot = load_robot("sim_r1_lite")
    assert topics == OURS | {camera.color for camera in robot.cameras}
    assert view["Global Options"]["Fixed Frame"] == "base_link"
