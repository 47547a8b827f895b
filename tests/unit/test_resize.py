# SPDX-License-Identifier: Apache-2.0
"""Resizing is pixel for pixel what the models were evaluated with, by a formula written independently."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wam_ros.core.errors import ShapeError
from wam_ros.vision.resize import resize, resize_depth

BITS = 22


def weights(size, wanted):
    """(wanted, size) triangle filter, as wide as the reduction, cut at the border and normalised."""
    scale = size / wanted
    reach = max(scale, 1.0)
    centre = (np.arange(wanted) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(int), 0)
    last = np.minimum((centre + reach + 0.5).astype(int), size)
    at = np.arange(size)
    rows = np.maximum(0.0, 1.0 - np.abs((at[None, :] + 0.5 - centre[:, None]) / reach))
    rows[(at < first[:, None]) | (at >= last[:, None])] = 0.0
    return rows / rows.sum(axis=1, keepdims=True)


def one_pass(image, size):
    """Filter axis 0 in fixed point of 22 bits and round."""
    if image.shape[0] == size:
        return image
    fixed = np.floor(weights(image.shape[0], size) * 2**BITS + 0.5).astype(np.int64)
    # Products of 22 and 8 bits, summed, stay far below 2^53: float64 is exact here, and quick.
    summed = np.tensordot(fixed.astype(float), image.astype(float), axes=1).astype(np.int64) + 2 ** (BITS - 1)
    return np.clip(summed >> BITS, 0, 255).astype(np.uint8)


def by_formula(image, height, width):
    """Columns first, then rows, each rounded to bytes."""
    across = one_pass(image.transpose(1, 0, 2), width).transpose(1, 0, 2)
    return one_pass(across, height)


def in_floating_point(image, height, width):
    rows, columns = weights(image.shape[0], height), weights(image.shape[1], width)
    return np.einsum("hi,ijc,wj->hwc", rows, image.astype(float), columns, optimize=True)


def noise(height, width):
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


PAIRS = [((480, 640), (256, 320)), ((480, 640), (128, 160)), ((240, 320), (256, 320)), ((240, 320), (128, 160))]
PAIRS += [((256, 256), (224, 224)), ((720, 1280), (256, 320)), ((600, 40), (30, 36))]


@pytest.mark.parametrize(("size", "wanted"), PAIRS)
def test_bilinear_antialias_is_exact_at_the_sizes_of_cameras_and_models(size, wanted):
    image = noise(*size)
    np.testing.assert_array_equal(resize(image, *wanted, "bilinear_antialias"), by_formula(image, *wanted))


@pytest.mark.parametrize(("size", "wanted"), PAIRS)
def test_bilinear_antialias_lies_within_one_step_of_the_unrounded_formula(size, wanted):
    image = noise(*size)
    away = np.abs(resize(image, *wanted, "bilinear_antialias") - np.rint(in_floating_point(image, *wanted)))
    assert away.max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))),
    st.integers(1, 24),
    st.integers(1, 24),
)
def test_bilinear_antialias_is_exact_at_any_size(image, height, width):
    np.testing.assert_array_equal(resize(image, height, width, "bilinear_antialias"), by_formula(image, height, width))


def test_a_small_picture_gives_these_bytes():
    image = np.repeat(np.array([[0, 100, 200, 40]], np.uint8)[:, :, None], 3, axis=2)
    # Reduced by two: weights 1/8 3/8 3/8 1/8, cut and normalised at the border: 3/7 3/7 1/7.
    expected = [round((3 * 0 + 3 * 100 + 200) / 7), round((100 + 3 * 200 + 3 * 40) / 7)]
    assert resize(image, 1, 2, "bilinear_antialias")[0, :, 0].tolist() == expected


def test_area_is_the_mean_of_what_is_covered():
    image = noise(8, 12)
    means = image.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize(image, 4, 6, "area") - means).max() <= 0.5


def test_bilinear_without_antialias_takes_two_neighbours():
    image = np.repeat(np.array([[0, 90, 30, 60, 200, 120]], np.uint8)[:, :, None], 3, axis=2)
    # Pixel centres of 2 in 6 lie at 1 and 4 exactly: nothing of the neighbours enters.
    assert resize(image, 1, 2, "bilinear")[0, :, 0].tolist() == [90, 200]


@pytest.mark.parametrize("method", ["bilinear_antialias", "bilinear", "area"])
@pytest.mark.parametrize("size", [(48, 64), (16, 20)])
def test_a_window_of_a_larger_picture_is_written_in_place(method, size):
    canvas = np.zeros((40, 50, 3), np.uint8)
    window = canvas[4:20, 10:30]
    image = noise(*size)
    assert resize(image, 16, 20, method, window) is window
    np.testing.assert_array_equal(canvas[4:20, 10:30], resize(image, 16, 20, method))
    canvas[4:20, 10:30] = 0
    assert not canvas.any()


@pytest.mark.parametrize("method", ["bilinear_antialias", "bilinear", "area"])
def test_a_picture_of_the_right_size_is_copied(method):
    image = noise(9, 7)
    image.setflags(write=False)
    out = resize(image, 9, 7, method)
    np.testing.assert_array_equal(out, image)
    assert not np.shares_memory(out, image)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_what_is_not_rgb_bytes_is_refused(wrong):
    with pytest.raises(ShapeError, match="expected uint8"):
        resize(wrong, 2, 2, "area")


def test_depth_is_sampled_and_never_mixed():
    depth_m = np.where(np.arange(12)[None, :] < 6, 0.5, 2.0).astype(np.float32).repeat(8, axis=0)
    small = resize_depth(depth_m, 4, 6)
    assert set(np.unique(small)) == {np.float32(0.5), np.float32(2.0)}
    assert (small[:, :3] == 0.5).all()
    assert np.array_equal(resize_depth(depth_m, 8, 12), depth_m)
    with pytest.raises(ShapeError, match="depth picture"):
        resize_depth(depth_m[..., None], 4, 6)
