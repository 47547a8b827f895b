# SPDX-License-Identifier: Apache-2.0
"""Every action layout brings a committed prefix to rows and back to the same joints."""

import numpy as np
import pytest

pytest.importorskip("pinocchio", reason="pinocchio is not installed")
from wam_ros.core.card import VectorLayout
from wam_ros.core.errors import BackendError, ConfigError
from wam_ros.policies.layouts import layout_of

KINDS = {"joint_absolute": 14, "joint_relative": 14, "pose_absolute": 16, "pose_relative": 14}


def bound(kind, robot):
    return layout_of(VectorLayout(kind, tuple(f"d{i}" for i in range(KINDS[kind]))), robot)


@pytest.fixture
def joints(robot):
    return np.array(robot.ready_position())


@pytest.fixture
def path(joints):
    """A small motion of all joints and grippers, (6, J)."""
    rng = np.random.default_rng(0)
    return joints + np.linspace(0, 1, 6)[:, None] * rng.uniform(-0.05, 0.05, 14)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_path_mean_that_path(kind, robot, joints, path):
    layout = bound(kind, robot)
    rows = layout.rows(path, joints)
    assert rows.shape == (6, KINDS[kind])
    np.testing.assert_allclose(layout.positions(rows, joints), path, atol=2e-3)


@pytest.mark.parametrize("kind", ["joint_relative", "pose_relative"])
def test_a_relative_row_of_the_observed_pose_is_zero_but_for_the_grippers(kind, robot, joints):
    row = bound(kind, robot).rows(joints[None], joints)[0]
    np.testing.assert_allclose(np.delete(row, [6, 13]), 0, atol=1e-9)
    np.testing.assert_allclose(row[[6, 13]], joints[[6, 13]])


def test_a_pose_out_of_reach_is_refused_with_its_arm(robot, joints):
    layout = bound("pose_absolute", robot)
    row = layout.state(joints).copy()
    row[0] += 3
    with pytest.raises(BackendError, match="arm left"):
        layout.positions(row[None], joints)


def test_a_pose_layout_for_another_number_of_arms_is_refused(robot):
    with pytest.raises(ConfigError, match="as many arms"):
        layout_of(VectorLayout("pose_absolute", tuple("abcdefgh")), robot)
