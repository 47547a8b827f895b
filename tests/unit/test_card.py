# SPDX-License-Identifier: Apache-2.0
"""Laws of the normaliser, and what a card refuses."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.card import Card, DepthCoding, Normaliser, VectorLayout, check_card_fits
from wam_ros.core.errors import ConfigError, ShapeError
from wam_ros.files.assets import load_policy
from wam_ros.files.card import WEIGHTS, read_card, sha256_of, write_card

finite = st.floats(-100, 100, allow_nan=False)


@given(st.lists(st.tuples(finite, st.floats(0.01, 50), finite), min_size=1, max_size=14))
def test_normalising_and_back_is_the_identity_inside_the_clamp(rows):
    low = np.array([r[0] for r in rows])
    high = low + [r[1] for r in rows]
    normaliser = Normaliser("min_max", tuple(low), tuple(high), clamp=0)
    values = np.array([r[2] for r in rows])
    np.testing.assert_allclose(normaliser.inverse(normaliser.forward(values)), values, atol=1e-9)


def test_the_bounds_map_to_one_and_a_clamp_holds():
    normaliser = Normaliser("quantile", (0.0, -1.0), (2.0, 1.0), clamp=5)
    np.testing.assert_allclose(normaliser.forward(np.array([2.0, -1.0])), [1, -1])
    assert normaliser.forward(np.array([1e6, 0.0]))[0] == 5


@given(st.integers(1, 16), st.integers(1, 14), st.integers(0, 2**32 - 1))
def test_each_row_of_a_chunk_may_have_its_own_map(rows, dimensions, seed):
    draw = np.random.default_rng(seed)
    low = draw.normal(size=(rows, dimensions))
    high = low + draw.uniform(0.01, 2, low.shape)
    normaliser = Normaliser("quantile", *(tuple(map(tuple, bound.tolist())) for bound in (low, high)), clamp=0)
    chunk = draw.normal(size=(3, rows, dimensions))
    alone = [Normaliser("quantile", tuple(a), tuple(b), clamp=0) for a, b in zip(low, high, strict=True)]
    expected = np.stack([one.forward(chunk[:, k]) for k, one in enumerate(alone)], axis=1)
    np.testing.assert_allclose(normaliser.forward(chunk), expected)
    np.testing.assert_allclose(normaliser.inverse(expected), chunk, atol=1e-9)


def test_a_chunk_of_another_length_is_refused():
    with pytest.raises(ShapeError, match=r"expected \(2, 1\), got \(3, 1\)"):
        Normaliser("quantile", ((0.0,), (0.0,)), ((1.0,), (1.0,))).forward(np.zeros((3, 1)))


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ConfigError, match="rows of one length"):
        Normaliser("quantile", ((0.0,), (0.0, 0.0)), ((1.0,), (1.0, 1.0)))


def test_a_dimension_that_never_moved_is_centred_not_blown_up():
    normaliser = Normaliser("min_max", (0.3,), (0.3,))
    assert normaliser.forward(np.array([0.3]))[0] == 0
    assert abs(normaliser.forward(np.array([0.31]))[0]) < 0.02


def test_a_vector_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"expected \(2,\), got \(3,\)"):
        Normaliser("min_max", (0.0, 0.0), (1.0, 1.0)).forward(np.zeros(3))


@pytest.fixture
def card(robot):
    policy = load_policy("hold")
    layout = VectorLayout("joint_absolute", robot.joint_names)
    unit = Normaliser("z_score", (-1.0,) * 14, (1.0,) * 14)
    return Card(
        1, "fastwam", "main", "tiny", "x0", 5.0, 5.0, 10, "do: {task}", 16, "hashed", policy.mosaic,
        layout, layout, unit, unit, policy.rate_hz, policy.horizon, policy.execute_rows, "Apache-2.0", "test", "0",
    )  # fmt: skip


def test_a_card_that_agrees_is_accepted(card, robot):
    check_card_fits(card, load_policy("hold"), robot)


@pytest.mark.parametrize("change", [{"rate_hz": 10.0}, {"horizon": 16}])
def test_a_card_of_another_rate_or_horizon_is_refused_with_the_remedy(card, robot, change):
    with pytest.raises(ConfigError, match="copy the value from the checkpoint's card"):
        check_card_fits(dataclasses.replace(card, **change), load_policy("hold"), robot)


def test_a_card_of_another_robot_is_refused(card, robot):
    other = VectorLayout("joint_absolute", tuple(f"x{i}" for i in range(14)))
    with pytest.raises(ConfigError, match="trained for this robot"):
        check_card_fits(dataclasses.replace(card, action=other), load_policy("hold"), robot)


def test_a_card_whose_statistics_have_another_size_is_refused(card):
    with pytest.raises(ConfigError, match="action_normaliser"):
        dataclasses.replace(card, action_normaliser=Normaliser("z_score", (0.0,), (1.0,)))


def saved(folder, card, weights=b"weights"):
    (folder / WEIGHTS).write_bytes(weights)
    card = dataclasses.replace(card, weights_sha256=sha256_of(folder / WEIGHTS))
    write_card(folder, card)
    return card


def test_a_written_card_is_read_back_equal(card, tmp_path):
    assert saved(tmp_path, card) == read_card(tmp_path)


def test_weights_that_changed_after_the_card_are_refused(card, tmp_path):
    saved(tmp_path, card)
    (tmp_path / WEIGHTS).write_bytes(b"other")
    with pytest.raises(ConfigError, match="damaged or belongs to another card"):
        read_card(tmp_path)


def test_a_folder_without_card_or_with_an_unknown_key_is_refused_with_its_path(card, tmp_path):
    with pytest.raises(ConfigError, match=r"no card; expected a folder made by"):
        read_card(tmp_path)
    saved(tmp_path, card)
    path = tmp_path / "card.json"
    path.write_text(path.read_text().replace('"steps"', '"stepz"'))
    with pytest.raises(ConfigError, match=r"\$\.stepz"):
        read_card(tmp_path)


@given(st.floats(0.05, 2), st.floats(0.1, 10), st.floats(0, 1))
def test_a_distance_between_near_and_far_survives_its_coding(near, span, share):
    coding = DepthCoding(near, near + span)
    distance = np.array([near + share * span])
    np.testing.assert_allclose(coding.inverse(coding.forward(distance)), distance, rtol=1e-9)


def test_depth_is_one_at_near_minus_one_at_far_and_where_nothing_is_known():
    coding = DepthCoding(0.2, 2.0)
    known = coding.forward(np.array([0.2, 2.0, 0.15, 9.0]))
    np.testing.assert_allclose(known, [1, -1, 1, -1])
    np.testing.assert_array_equal(coding.forward(np.array([0.0, 0.014, np.nan, np.inf, -1.0])), -1)
    with pytest.raises(ConfigError, match="near_m < far_m"):
        DepthCoding(2.0, 0.2)


def test_a_card_with_a_depth_coding_is_read_as_it_was_written(tmp_path, card):
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    marked = dataclasses.replace(card, depth=DepthCoding(0.2, 2.0), weights_sha256=sha256_of(tmp_path / WEIGHTS))
    write_card(tmp_path, marked)
    assert read_card(tmp_path) == marked
