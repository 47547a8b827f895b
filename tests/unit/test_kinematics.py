# SPDX-License-Identifier: Apache-2.0
"""Laws of forward and inverse kinematics, and of distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError, ShapeError
from wam_ros.core.task import Box
from wam_ros.files.assets import load_robot
from wam_ros.kinematics.clearance import Clearance
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.inverse import ToolSolver

ROBOT = load_robot("sim_r1_lite")
KINEMATICS = Kinematics(ROBOT)
SOLVERS = [ToolSolver(KINEMATICS, arm) for arm in ROBOT.arms]
LOWER, UPPER = ROBOT.bounds()
MIRROR = np.diag([1.0, -1.0, 1.0])
shares = st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6).map(np.array)


def within(arm: int, share: np.ndarray, margin: float = 0.0) -> np.ndarray:
    joints = slice(7 * arm, 7 * arm + 6)
    return LOWER[joints] + margin + share * (UPPER[joints] - LOWER[joints] - 2 * margin)


def position(arm: int, angles: np.ndarray) -> np.ndarray:
    out = np.array(ROBOT.ready_position())
    out[7 * arm : 7 * arm + 6] = angles
    return out


@given(shares, st.integers(0, 1))
@settings(max_examples=100, deadline=None)
def test_a_pose_is_found_again_from_nearby(share, arm):
    angles = within(arm, share, margin=0.1)
    target = KINEMATICS.tool_pose(position(arm, angles), ROBOT.arms[arm])
    start = angles + 0.05 * np.cos(np.arange(6))
    solution = SOLVERS[arm].solve(target, start)
    assert solution.point_error_m < 1e-3
    assert solution.turn_error_rad < 2e-2
    found = KINEMATICS.tool_pose(position(arm, solution.angles_rad), ROBOT.arms[arm])
    assert np.linalg.norm(found[:3, 3] - target[:3, 3]) == pytest.approx(solution.point_error_m, abs=1e-9)


@given(shares, shares, st.integers(0, 1))
@settings(max_examples=50, deadline=None)
def test_solutions_stay_within_target_limits(goal, start, arm):
    target = KINEMATICS.tool_pose(position(arm, within(arm, goal)), ROBOT.arms[arm])
    angles = SOLVERS[arm].solve(target, within(arm, start)).angles_rad
    limits = ROBOT.arms[arm].limits
    assert (angles >= np.array(limits.lower_rad) - 1e-12).all()
    assert (angles <= np.array(limits.upper_rad) + 1e-12).all()


def test_the_point_is_reached_even_where_the_orientation_is_not():
    # Straight down, far in front: the arm gets there only by tilting its hand.
    target = np.array([[0, 0, 1, 0.52], [0, 1, 0, 0.20], [-1, 0, 0, -0.03], [0, 0, 0, 1.0]])
    solution = SOLVERS[0].solve(target, np.array(ROBOT.arms[0].ready_rad))
    assert solution.turn_error_rad > 0.1
    assert solution.point_error_m < 1e-4


def test_small_moves_of_the_tool_are_small_moves_of_the_joints():
    angles = np.array(ROBOT.arms[0].ready_rad)
    target = KINEMATICS.tool_pose(position(0, angles), ROBOT.arms[0])
    for step in range(40):
        target[:3, 3] += [0.004, -0.002, -0.002] if step < 20 else [-0.004, 0.002, 0.002]
        solved = SOLVERS[0].solve(target, angles).angles_rad
        assert np.abs(solved - angles).max() < 0.08
        angles = solved
    assert angles == pytest.approx(ROBOT.arms[0].ready_rad, abs=5e-3)


def test_arms_mirror_each_other():
    left = KINEMATICS.tool_pose(ROBOT.ready_position(), ROBOT.arms[0])
    right = KINEMATICS.tool_pose(ROBOT.ready_position(), ROBOT.arms[1])
    assert right[:3, 3] == pytest.approx(MIRROR @ left[:3, 3], abs=2e-3)


def test_a_frame_or_vector_that_does_not_fit_is_named():
    with pytest.raises(ConfigError, match="left_foot"):
        KINEMATICS.pose(ROBOT.ready_position(), "left_foot")
    with pytest.raises(ShapeError, match="13"):
        KINEMATICS.tool_pose(ROBOT.ready_position()[:13], ROBOT.arms[0])


def test_hands_that_meet_overlap_and_ready_hands_are_apart():
    apart = np.array(ROBOT.ready_position())
    together = apart.copy()
    for arm in range(2):
        pose = np.array([[0, 0, 1, 0.30], [0, 1, 0, 0.0], [-1, 0, 0, 0.05], [0, 0, 0, 1.0]])
        start = np.array(ROBOT.arms[arm].ready_rad)
        together[7 * arm : 7 * arm + 6] = SOLVERS[arm].solve(pose, start, iterations=200).angles_rad
    distances = Clearance(ROBOT).check(np.stack([apart, together]))
    assert distances.arm_to_arm_m[0] > 0.15
    assert distances.arm_to_arm_m[1] < 0
    assert distances.arm_to_body_m[0] > 0.05
    assert np.isinf(distances.arm_to_obstacle_m).all()


@given(shares, shares)
@settings(max_examples=30, deadline=None)
def test_distance_changes_no_faster_than_the_arms_move(left, right):
    rows = np.array([np.r_[within(0, left), 1, within(1, right), 1]] * 2)
    rows[1] += 1e-3
    distances = Clearance(ROBOT).check(np.clip(rows, LOWER, UPPER))
    # No point of an arm is farther than 0.8 m from any of its six axes; both arms move.
    assert abs(np.diff(distances.arm_to_arm_m)[0]) <= 2 * 6 * 0.8 * 1e-3


def test_a_table_is_as_far_as_it_is_low():
    row = ROBOT.ready_position()
    high, low = (
        Clearance(ROBOT, [Box((0.05, -0.6, top - 0.1), (0.8, 0.6, top))]).check(row).arm_to_obstacle_m[0]
        for top in (-0.04, -0.14)
    )
    assert 0.1 < high < 0.25
    assert low - high == pytest.approx(0.1, abs=2e-3)
