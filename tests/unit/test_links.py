# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pinocchio", reason="no pinocchio in this environment")
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.core.types import Trajectory
from wam_ros.files.assets import load_robot
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.links import Links
from wam_ros.kinematics.path import tool_paths

ROBOT = load_robot("sim_r1_lite")
LINKS, KINEMATICS = Links(ROBOT), Kinematics(ROBOT)


def placed(position):
    """Link name to its pose in the root, by multiplying up the tree."""
    poses = {LINKS.names[0][0]: np.eye(4)}
    for (parent, child), pose in zip(LINKS.names, LINKS.poses(position), strict=True):
        poses[child] = poses[parent] @ pose
    return poses


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 1))
def test_the_tree_of_links_ends_where_kinematics_says(share):
    lower, upper = ROBOT.bounds()
    position = lower + share * (upper - lower)
    poses = placed(position)
    T_root_base = poses[ROBOT.base_frame]
    for arm in ROBOT.arms:
        expected = T_root_base @ KINEMATICS.tool_pose(position, arm)
        assert poses[arm.tool_frame] == pytest.approx(expected, abs=1e-9)


def test_every_link_has_one_parent_that_is_listed_before_it():
    children = [child for _, child in LINKS.names]
    assert len(set(children)) == len(children)
    known = {LINKS.names[0][0]}
    for parent, child in LINKS.names:
        assert parent in known
        known.add(child)


def test_fingers_open_with_their_gripper():
    closed, opened = ROBOT.ready_position().copy(), ROBOT.ready_position()
    closed[np.array(ROBOT.gripper_mask)] = 0.0
    moved = np.abs(LINKS.poses(closed) - LINKS.poses(opened)).max(axis=(1, 2)) > 1e-6
    fingers = {child for (_, child), changed in zip(LINKS.names, moved, strict=True) if changed}
    assert len(fingers) == sum(len(arm.gripper.fingers) for arm in ROBOT.arms)


def test_a_path_keeps_both_ends_and_is_thinned():
    rows = ROBOT.ready_position() + np.linspace(0, 0.2, 500)[:, None] * ~np.array(ROBOT.gripper_mask)
    trajectory = Trajectory(ROBOT.joint_names, tuple(range(500)), rows, np.zeros_like(rows))
    paths = tool_paths(KINEMATICS, trajectory, most=20)
    assert list(paths) == [arm.name for arm in ROBOT.arms]
    for arm in ROBOT.arms:
        points = paths[arm.name]
        assert points.shape == (20, 3)
        assert points[0] == pytest.approx(KINEMATICS.tool_pose(rows[0], arm)[:3, 3])
        assert points[-1] == pytest.approx(KINEMATICS.tool_pose(rows[-1], arm)[:3, 3])
