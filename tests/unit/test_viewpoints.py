# SPDX-License-Identifier: Apache-2.0
"""Views of a board are within reach, show the board, turn enough, and keep the arms apart."""

import numpy as np
import pytest

from wam_ros.core.board import Board, Optics
from wam_ros.core.handeye.excitation import excitation
from wam_ros.core.transforms import apply, invert, rigid
from wam_ros.files.assets import load_robot
from wam_ros.kinematics.clearance import Clearance
from wam_ros.kinematics.viewpoints import Viewpoints, spread

OPTICS = Optics(640, 480, 440.0, 440.0, 320.0, 240.0)
BOARD = Board()


@pytest.fixture(scope="module")
def robot():
    return load_robot("sim_r1_lite")


@pytest.fixture(scope="module")
def views(robot):
    return Viewpoints(robot)


@pytest.fixture(scope="module")
def drawn(views):
    # A board on the table before the robot, face up, its rows to the right.
    lying = rigid(np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]]), np.array([0.42, 0.11, -0.04]))
    return lying, views.draw("left_wrist", OPTICS, lying, BOARD, 10, np.random.default_rng(0))


def test_it_is_known_which_arm_carries_which_camera(views):
    assert views.carriers() == {"head": "", "left_wrist": "left", "right_wrist": "right"}


def test_the_views_show_the_board_from_its_front(views, drawn):
    lying, positions = drawn
    assert len(positions) == 10
    for position in positions:
        T_camera_board = invert(views.camera_pose(position, "left_wrist")) @ lying
        pixels = OPTICS.pinhole.project(apply(T_camera_board, BOARD.corners()))
        assert ((pixels > 0) & (pixels < [640, 480])).all(axis=1).mean() >= 0.5
        assert (T_camera_board[:3, :3].T @ T_camera_board[:3, 3])[2] > 0


def test_the_views_turn_the_tool_enough_and_keep_clear(robot, views, drawn):
    tools = np.stack([views.tools(position)["left"] for position in drawn[1]])
    assert excitation(tools).turn_rad > 0.2
    distances = Clearance(robot).check(np.stack(drawn[1]))
    assert min(distances.arm_to_arm_m.min(), distances.arm_to_body_m.min()) > 0.03


def test_only_the_carrying_arm_moves(robot, drawn):
    ready = robot.ready_position()
    slots = [i for i, name in enumerate(robot.joint_names) if not name.startswith("left_arm")]
    for position in drawn[1]:
        np.testing.assert_array_equal(position[slots], ready[slots])


def test_the_first_of_an_order_differ_most(views, drawn):
    tools = {i: views.tools(position)["left"] for i, position in enumerate(drawn[1])}
    order = spread(drawn[1], tools)
    assert sorted(order) == list(range(10))
    by_order = excitation(np.stack([tools[i] for i in order[:4]])).overall_rad
    assert by_order > excitation(np.stack([tools[i] for i in order])).overall_rad
