# SPDX-License-Identifier: Apache-2.0
"""Every closed form finds a random X exactly from exact data, whatever the world frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.closed import SOLVERS, relative_motions
from wam_ros.core.transforms import exp, invert, log


def exact_case(seed, count=8):
    rng = np.random.default_rng(seed)
    X, Z = (exp(rng.uniform(-0.8, 0.8, 6)) for _ in range(2))
    robot = np.stack([exp(rng.uniform(-1, 1, 6)) for _ in range(count)])
    return X, robot, invert(robot @ X) @ Z


@pytest.mark.parametrize("name", SOLVERS)
@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_a_closed_form_is_exact_on_exact_data(name, seed):
    X, robot, board = exact_case(seed)
    found = SOLVERS[name](*relative_motions(robot, board))
    assert np.abs(log(invert(X) @ found)).max() < 1e-6


@pytest.mark.parametrize("name", SOLVERS)
def test_the_result_does_not_depend_on_the_world_frame(name):
    X, robot, board = exact_case(3)
    moved = exp(np.array([5.0, -3, 1, 0.4, 0.2, -1])) @ robot
    np.testing.assert_allclose(SOLVERS[name](*relative_motions(moved, board)), X, atol=1e-7)


def test_fewer_than_three_poses_are_refused():
    _, robot, board = exact_case(1)
    with pytest.raises(CalibrationError, match="at least 3"):
        relative_motions(robot[:2], board[:2])
