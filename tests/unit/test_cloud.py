# SPDX-License-Identifier: Apache-2.0
"""Points of a depth picture project back to where they came from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.errors import ShapeError
from wam_ros.core.transforms import apply, exp, rigid
from wam_ros.vision.cloud import FusedCloud, Rays


@given(st.integers(1, 12), st.integers(1, 12), st.floats(50, 900), st.floats(50, 900), st.integers(0, 99))
def test_points_project_back_to_their_pixels(height, width, focal_x, focal_y, seed):
    intrinsics = np.array([[focal_x, 0, width / 2.5], [0, focal_y, height / 1.7], [0, 0, 1]])
    depth = np.random.default_rng(seed).uniform(0.2, 5.0, (height, width)).astype(np.float32)
    points = Rays(intrinsics, height, width).points(depth).astype(float)
    projected = points @ intrinsics.T / points[:, 2:]
    rows, columns = np.indices((height, width))
    np.testing.assert_allclose(projected[:, 0], columns.ravel(), atol=1e-4)
    np.testing.assert_allclose(projected[:, 1], rows.ravel(), atol=1e-4)
    np.testing.assert_array_equal(points[:, 2], depth.ravel())


def test_unknown_depth_gives_no_point():
    depth = np.array([[0.0, 1.0], [np.nan, -1.0]], np.float32)
    points = Rays(np.eye(3), 2, 2).points(depth)
    assert np.isnan(points).all(axis=1).tolist() == [True, False, True, True]


def test_points_are_written_into_a_given_array():
    out = np.zeros((6, 3), np.float32)
    rays = Rays(np.eye(3), 2, 3)
    assert rays.points(np.ones((2, 3), np.float32), out) is out
    np.testing.assert_array_equal(out[:, 2], 1)


def test_a_depth_picture_of_another_size_is_refused():
    with pytest.raises(ShapeError, match="depth picture"):
        Rays(np.eye(3), 2, 3).points(np.ones((3, 2), np.float32))


@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6), st.integers(0, 99))
def test_points_in_another_frame_are_the_camera_s_points_there(twist, seed):
    T, rays = exp(np.array(twist)), Rays(np.array([[90.0, 0, 4], [0, 80.0, 3], [0, 0, 1]]), 7, 9)
    depth = np.random.default_rng(seed).uniform(-0.5, 5.0, (7, 9)).astype(np.float32)
    expected = apply(T, rays.points(depth).astype(float))
    np.testing.assert_allclose(rays.points_in(T, depth), expected, atol=2e-6)


def test_cameras_are_fused_in_order_and_what_is_missing_gives_no_points():
    left, right = Rays(np.eye(3), 2, 3), Rays(np.eye(3), 4, 1)
    cloud = FusedCloud({"left": left, "right": right})
    depths = {"left": np.ones((2, 3), np.float32), "right": np.full((4, 1), 2, np.float32)}
    poses = {"left": np.eye(4), "right": rigid(np.eye(3), np.array([0, 0, 10.0]))}
    points = cloud.fuse(depths, poses)
    assert points[:, 2].tolist() == [1] * 6 + [12] * 4
    lost = cloud.fuse({"right": depths["right"]}, poses)
    assert lost is points
    assert np.isnan(lost[:6]).all()
    assert not np.isnan(lost[6:]).any()
    assert np.isnan(cloud.fuse(depths, {"left": np.eye(4)})[6:]).all(), "nobody knows where that camera is"
    with pytest.raises(ShapeError, match="depth picture"):
        cloud.fuse({"left": np.ones((3, 2), np.float32)}, poses)
