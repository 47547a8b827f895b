# SPDX-License-Identifier: Apache-2.0
"""Group laws of rigid transforms."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from wam_ros.core.transforms import apply, exp, invert, log, rpy, skew

twists = arrays(np.float64, 6, elements=st.floats(-1.2, 1.2, allow_nan=False))


@given(twists)
def test_log_undoes_exp(twist):
    np.testing.assert_allclose(log(exp(twist)), twist, atol=1e-7)


@given(twists, twists, twists)
def test_transforms_form_a_group(a, b, c):
    A, B, C = exp(a), exp(b), exp(c)
    np.testing.assert_allclose((A @ B) @ C, A @ (B @ C), atol=1e-12)
    np.testing.assert_allclose(A @ invert(A), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(invert(A @ B), invert(B) @ invert(A), atol=1e-12)


@given(twists, twists)
def test_chained_transforms_multiply(a, b):
    T_a_b, T_b_c, p_c = exp(a), exp(b), np.array([0.1, -0.2, 0.3])
    np.testing.assert_allclose(apply(T_a_b, apply(T_b_c, p_c)), apply(T_a_b @ T_b_c, p_c), atol=1e-12)


@given(twists)
def test_skew_is_the_cross_product(twist):
    np.testing.assert_allclose(skew(twist[:3]) @ twist[3:], np.cross(twist[:3], twist[3:]), atol=1e-12)


def test_inversion_works_on_stacks():
    stack = np.stack([exp(np.full(6, x)) for x in (0.1, 0.4)])
    np.testing.assert_allclose(stack @ invert(stack), np.tile(np.eye(4), (2, 1, 1)), atol=1e-12)


@given(twists, st.sampled_from([0.0, np.pi / 2, -np.pi / 2]))
def test_roll_pitch_yaw_are_those_of_a_urdf_also_where_two_axes_fall_together(twist, pitch):
    R = exp(twist)[:3, :3] @ Rotation.from_euler("xyz", [0.3, pitch, 0.0]).as_matrix()
    upright = Rotation.from_euler("xyz", [twist[3], pitch, twist[5]]).as_matrix()
    for turn in (R, upright):
        np.testing.assert_allclose(Rotation.from_euler("xyz", rpy(turn)).as_matrix(), turn, atol=1e-6)
