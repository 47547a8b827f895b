# SPDX-License-Identifier: Apache-2.0
"""X-WAM's vectors on a robot: steps add up to poses, arms follow them within their limits, and say what they cannot."""

import numpy as np
import pytest

pytest.importorskip("pinocchio", reason="pinocchio is not installed")
from scipy.spatial.transform import Rotation

from wam_ros.core.card import VectorLayout
from wam_ros.core.errors import ConfigError
from wam_ros.kinematics.follow import ToolFollower
from wam_ros.kinematics.forward import Kinematics
from wam_ros.policies.steps import PosesScalarFirst, PoseSteps, Shortfall, action_layout_of, state_layout_of

RATE_HZ = 15.0


@pytest.fixture
def joints(robot):
    return np.array(robot.ready_position())


@pytest.fixture
def path(joints):
    """A small motion of all joints and grippers, (20, J)."""
    to = np.random.default_rng(0).uniform(-0.2, 0.2, 14)
    return np.clip(joints + np.linspace(0.05, 1, 20)[:, None] * to, -3, 3)


def test_the_state_has_16_numbers_in_the_released_order(robot, joints):
    state = PosesScalarFirst(robot).state(joints)
    assert state.shape == (16,)
    for a, arm in enumerate(robot.arms):
        T = Kinematics(robot).tool_pose(joints, arm)
        x, y, z, qw, qx, qy, qz, opening = state[8 * a : 8 * a + 8]
        np.testing.assert_allclose([x, y, z], T[:3, 3])
        np.testing.assert_allclose(Rotation.from_quat([qx, qy, qz, qw]).as_matrix(), T[:3, :3], atol=1e-12)
        assert qw >= 0
        assert opening == joints[7 * a + 6]


def test_steps_of_a_path_mean_that_path(robot, joints, path):
    path[:, [6, 13]] = np.clip(path[:, [6, 13]], 0, 1)
    layout = PoseSteps(robot, RATE_HZ)
    rows = layout.rows(path, joints)
    assert rows.shape == (20, 14)
    np.testing.assert_allclose(layout.positions(rows, joints), path, atol=2e-3)
    assert layout.shortfall.rows_unreached == layout.shortfall.rows_slowed == 0


def test_steps_accumulate_in_the_base_frame_with_rotations_on_the_left(robot, joints):
    row = np.zeros(14)
    row[:7] = [0.002, 0.001, -0.001, 0.01, -0.005, 0.004, 0.02]
    layout = PoseSteps(robot, RATE_HZ)
    reached = layout.positions(np.tile(row, (5, 1)), joints)[-1]
    kinematics, arm = Kinematics(robot), robot.arms[0]
    start, end = kinematics.tool_pose(joints, arm), kinematics.tool_pose(reached, arm)
    np.testing.assert_allclose(end[:3, 3], start[:3, 3] + 5 * row[:3], atol=1e-4)
    turn = Rotation.from_rotvec(5 * row[3:6]).as_matrix() @ start[:3, :3]
    np.testing.assert_allclose(end[:3, :3], turn, atol=5e-3)
    assert reached[6] == pytest.approx(min(1.0, joints[6] + 0.1))
    np.testing.assert_allclose(reached[7:], joints[7:], atol=1e-6)


def test_a_pose_out_of_reach_is_clamped_and_reported(robot, joints):
    layout = PoseSteps(robot, RATE_HZ)
    rows = np.zeros((30, 14))
    rows[:, 0] = 0.05  # a metre and a half ahead
    positions = layout.positions(rows, joints)
    lower, upper = robot.bounds()
    arms = ~np.array(robot.gripper_mask)
    assert ((positions >= lower - 1e-9) & (positions <= upper + 1e-9))[:, arms].all()
    assert layout.shortfall.rows_unreached > 5
    assert layout.shortfall.worst_m > 0.3
    layout.positions(np.zeros((3, 14)), joints)
    assert layout.shortfall == Shortfall(0, 0, layout.shortfall.worst_m)
    assert layout.shortfall.worst_m < 1e-3


def test_near_a_singularity_the_arm_slows_down_and_never_jumps(robot, joints):
    """Straight ahead through the stretched arm and back: no step is faster than the joints may be."""
    kinematics, arm = Kinematics(robot), robot.arms[0]
    start = kinematics.tool_pose(joints, arm)
    reach = 0.7 * np.sin(np.linspace(0, 2 * np.pi, 60))
    poses = [start.copy() for _ in reach]
    for pose, ahead in zip(poses, reach, strict=True):
        pose[0, 3] += ahead
    followed = ToolFollower(kinematics, arm, RATE_HZ).follow(poses, joints[:6])
    steps = np.diff(np.vstack((joints[:6], followed.angles_rad)), axis=0)
    assert (np.abs(steps) <= np.array(arm.limits.velocity_rad_s) / RATE_HZ + 1e-9).all()
    assert followed.unreached_m.max() > 0.05
    assert followed.slowed.any()
    assert np.isfinite(followed.angles_rad).all()


def test_a_slow_arm_lags_on_the_way_and_arrives_later(robot, joints):
    kinematics, arm = Kinematics(robot), robot.arms[0]
    goal = joints.copy()
    goal[:6] += 0.3
    pose = kinematics.tool_pose(goal, arm)
    followed = ToolFollower(kinematics, arm, 100.0).follow([pose] * 60, joints[:6])
    assert followed.slowed[0]
    assert not followed.slowed[-1]
    np.testing.assert_allclose(followed.angles_rad[-1], goal[:6], atol=5e-3)


def test_layouts_are_found_by_the_card_and_count_their_dimensions(robot):
    def declared(kind, count):
        return VectorLayout(kind, tuple(f"d{i}" for i in range(count)))

    assert isinstance(state_layout_of(declared("pose_scalar_first", 16), robot), PosesScalarFirst)
    assert isinstance(action_layout_of(declared("pose_steps", 14), robot, 15), PoseSteps)
    assert state_layout_of(declared("joint_absolute", 14), robot).state(np.ones(14)).sum() == 14
    with pytest.raises(ConfigError, match="as many arms"):
        state_layout_of(declared("pose_scalar_first", 8), robot)
    with pytest.raises(ConfigError, match="as many arms"):
        action_layout_of(declared("pose_steps", 16), robot, 15)
