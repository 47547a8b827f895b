# SPDX-License-Identifier: Apache-2.0
"""How a model sees a camera: its pixels lie where its rays say, and depth that is no metres is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.errors import ShapeError
from wam_ros.core.transforms import rigid
from wam_ros.vision.colored_cloud import ColoredClouds, error_colors
from wam_ros.vision.sight import Sight

MATRIX = np.array([[300.0, 0, 159.5], [0, 310.0, 119.5], [0, 0, 1]])


def wall(distance_m: float = 1.0) -> np.ndarray:
    return np.full((240, 320), distance_m, np.float32)


@given(st.sampled_from([1.0, 0.95, 0.8, 0.5]), st.sampled_from([(64, 80), (240, 320), (60, 96)]))
def test_a_thing_lies_on_the_same_ray_in_the_picture_and_in_the_view(crop, size):
    sight = Sight("head", 240, 320, *size, crop)
    ramp = np.indices((240, 320))[::-1].astype(np.float32)
    rays = [(ramp[axis] - MATRIX[axis, 2]) / MATRIX[axis, axis] for axis in (0, 1)]
    view = sight.intrinsics(MATRIX)
    # Depth is sampled, so what a pixel of the view shows is a pixel of the picture, half a step off at most.
    for axis, ray in enumerate(rays):
        shown = sight.depth(ray - ray.min() + 1) + ray.min() - 1
        own = (np.indices(size)[1 - axis] - view[axis, 2]) / view[axis, axis]
        step = 1 / view[axis, axis] + 1 / MATRIX[axis, axis]
        # The crop is cut at whole pixels.
        assert np.abs(shown - own).max() <= step


def test_a_view_of_the_whole_picture_at_its_size_is_the_picture():
    sight = Sight("head", 240, 320, 240, 320)
    picture = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    np.testing.assert_array_equal(sight.color(picture), picture)
    np.testing.assert_allclose(sight.intrinsics(MATRIX), MATRIX)


@pytest.mark.parametrize("unit", [1000.0, 1e-3])
def test_depth_in_another_unit_is_refused_by_name(unit):
    with pytest.raises(ShapeError, match="depth of head: expected metres, got a median of"):
        Sight("head", 240, 320, 64, 80).depth(wall(0.8 * unit))


def test_holes_are_no_reason_to_refuse_and_give_no_points():
    sight, depth = Sight("head", 240, 320, 60, 80), wall()
    depth[:, :160], depth[:60] = 0, np.nan
    seen = sight.depth(depth)
    clouds = ColoredClouds({"head": sight}, {"head": MATRIX}, far_m=2.0)
    white = {"head": np.full((60, 80, 3), 255, np.uint8)}
    cloud = clouds.make(white, {"head": seen}, {"head": np.eye(4)})
    assert len(cloud.points) == len(cloud.colors) == 45 * 40
    np.testing.assert_allclose(cloud.points[:, 2], 1)
    assert not len(clouds.make(white, {"head": np.zeros_like(seen)}, {"head": np.eye(4)}).points)


def test_a_cloud_has_the_colours_of_its_pixels_in_the_frame_of_the_pose_and_no_background():
    sight = Sight("head", 240, 320, 60, 80)
    depth = np.full((60, 80), 1.99, np.float32)
    depth[10, 20] = 0.5
    color = np.zeros((60, 80, 3), np.uint8)
    color[10, 20] = 10, 20, 30
    pose = rigid(np.eye(3), np.array([1.0, 0, 0]))
    clouds = ColoredClouds({"head": sight, "left": sight}, {"head": MATRIX, "left": MATRIX}, far_m=2.0)
    points, colors = clouds.make({"head": color}, {"head": depth, "left": depth}, {"head": pose, "left": pose})
    view = sight.intrinsics(MATRIX)
    expected = 1 + (20 - view[0, 2]) / view[0, 0] * 0.5, (10 - view[1, 2]) / view[1, 1] * 0.5, 0.5
    np.testing.assert_allclose(points, [expected], atol=1e-6)
    assert colors.tolist() == [[10, 20, 30]]


def test_errors_go_from_green_to_red_and_what_is_unknown_is_grey():
    good, bad, worse, unknown = error_colors(np.array([[0.0, 0.25, 3.0, np.nan]]))[0].astype(int)
    assert good[1] > good[0]
    assert bad[0] > bad[1]
    assert bad.tolist() == worse.tolist()
    assert len(set(unknown.tolist())) == 1
