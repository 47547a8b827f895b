# SPDX-License-Identifier: Apache-2.0
"""What was foreseen meets what comes, and is measured against it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.errors import ShapeError
from wam_ros.core.foresight import (
    IDENTICAL_DB,
    Awaiting,
    Reckoning,
    chamfer_m,
    depth_errors,
    psnr_db,
    relative_errors,
)
from wam_ros.core.imagination import Imagination, from_sheet, to_sheet

FAR_M = 2.0


def depth(seed: int, shape=(6, 5)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1.9, shape).astype(np.float32)


@given(st.integers(0, 99), st.floats(-0.6, 0.6))
def test_a_picture_that_is_off_by_a_share_has_that_absrel(seed, share):
    seen = depth(seed)
    found = depth_errors([(seen * np.float32(1 + share), seen)], FAR_M)
    assert found.absrel == pytest.approx(abs(share), abs=1e-5)
    if abs(max(1 + share, 1 / (1 + share)) - 1.25) > 1e-3:
        assert found.delta1 == (max(1 + share, 1 / (1 + share)) < 1.25)
    assert found.pixels == seen.size


@given(st.integers(0, 99), st.sampled_from([0.0, -1.0, np.nan, np.inf, 2.5]))
def test_what_nobody_measured_within_range_counts_for_nothing(seed, hole):
    rng, seen = np.random.default_rng(seed), depth(seed)
    foreseen = seen + np.float32(0.05)
    holes = rng.uniform(size=seen.shape) < 0.5
    torn = np.where(holes, np.float32(hole), seen)
    kept = depth_errors([(foreseen[~holes], seen[~holes])], FAR_M)
    assert depth_errors([(foreseen, torn)], FAR_M) == pytest.approx(kept, nan_ok=True)
    assert np.isnan(relative_errors(foreseen, torn, FAR_M)).tolist() == holes.tolist()
    # Nor does it matter how the pixels are shared out among pictures.
    rows = [(foreseen[i], torn[i]) for i in range(len(seen))]
    assert depth_errors(rows, FAR_M) == pytest.approx(kept, nan_ok=True)


def test_without_a_measurement_the_errors_are_unknown_and_sizes_must_agree():
    assert np.isnan(depth_errors([], FAR_M).absrel)
    assert np.isnan(psnr_db([]))
    with pytest.raises(ShapeError, match="depth to compare"):
        depth_errors([(depth(0), depth(0, (3, 3)))], FAR_M)


def test_psnr_is_that_of_its_definition():
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr_db([(black, black)]) == IDENTICAL_DB
    assert psnr_db([(black, black + np.uint8(255))]) == pytest.approx(0)
    assert psnr_db([(black, black + np.uint8(16))]) == pytest.approx(20 * np.log10(255 / 16))


@given(st.integers(0, 99))
def test_chamfer_distance_is_symmetric_and_of_shifted_walls_their_distance(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.uniform(size=(30, 3)), rng.uniform(size=(20, 3))
    assert chamfer_m(one, other) == pytest.approx(chamfer_m(other, one))
    assert chamfer_m(one, one) == 0
    wall = np.stack([*np.meshgrid(np.arange(5.0), np.arange(5.0)), np.zeros((5, 5))], -1).reshape(-1, 3)
    assert chamfer_m(wall, wall + [0, 0, 0.25]) == pytest.approx(0.25)
    assert np.isnan(chamfer_m(one, other[:0]))


times = st.lists(st.integers(0, 1000), min_size=1, max_size=40)


@given(times, times, st.integers(0, 30))
def test_each_foreseen_time_meets_its_nearest_sight_once_or_is_missed(foreseen, stamps, tolerance):
    awaiting: Awaiting[int, int] = Awaiting(tolerance, most=100, remembered=100)
    for time in foreseen:
        awaiting.expect(time, time)
    seen = sorted(set(stamps))
    met = [m for stamp in seen for m in awaiting.see(stamp, stamp)]
    decided = [t for t in foreseen if t <= seen[-1]]
    near = [t for t in decided if min(abs(s - t) for s in seen) <= tolerance]
    assert sorted(m.foreseen for m in met) == sorted(near)
    assert all(abs(m.seen - m.foreseen) == abs(m.late_ns) == min(abs(s - m.foreseen) for s in seen) for m in met)
    assert awaiting.missed == len(decided) - len(near)
    assert len(awaiting) == len(foreseen) - len(decided)


@given(st.integers(1, 8), st.integers(0, 50))
def test_no_more_wait_than_there_is_room_for(most, count):
    awaiting: Awaiting[int, None] = Awaiting(0, most)
    for time in range(count):
        awaiting.expect(time, time)
    assert len(awaiting) == min(most, count)
    assert awaiting.missed == max(0, count - most)
    # The youngest are kept.
    assert all(m.foreseen >= count - most for t in range(count) for m in awaiting.see(t, None))


def test_what_was_imagined_too_late_meets_what_was_seen_meanwhile():
    awaiting: Awaiting[str, int] = Awaiting(5, remembered=3)
    for stamp in (0, 10, 20, 30):
        awaiting.see(stamp, stamp)
    awaiting.expect(22, "then")
    awaiting.expect(0, "long ago")
    assert [(m.foreseen, m.seen) for m in awaiting.see(40, 40)] == [("then", 20)]
    assert awaiting.missed == 1


def test_a_clock_that_goes_back_ends_all_waiting():
    awaiting: Awaiting[str, str] = Awaiting(5)
    awaiting.expect(100, "then")
    awaiting.see(50, "now")
    assert awaiting.see(10, "a new attempt") == []
    assert (len(awaiting), awaiting.missed) == (0, 1)


def test_the_reckoning_keeps_each_distance_in_time_apart_and_forgets_the_oldest():
    reckoning = Reckoning(most=2)
    for value in (0.5, 0.2, 0.4):
        reckoning.add(800_000_000, {"absrel": value, "delta1": np.nan})
    reckoning.add(0, {"absrel": 0.1, "delta1": 1.0})
    figures = reckoning.figures()
    assert figures["absrel_800ms"] == pytest.approx(0.3)
    assert figures["newest_absrel_800ms"] == 0.4
    assert figures["delta1_0ms"] == 1.0
    assert "delta1_800ms" not in figures
    assert reckoning.compared == 4


@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from([(), (3,)]))
def test_a_sheet_holds_every_picture(frames, views, channels):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (frames, 4, 5, *channels), np.uint8) for _ in range(views)]
    sheet = to_sheet(pictures)
    assert sheet.shape == (4 * frames, 5 * views, *channels)
    for out, picture in zip(from_sheet(sheet, frames, views), pictures, strict=True):
        np.testing.assert_array_equal(out, picture)
    with pytest.raises(ShapeError, match="sheet"):
        from_sheet(sheet, frames + 4 * frames, views)


def test_an_imagination_has_as_many_pictures_as_times_and_finds_the_last_in_reach():
    pictures = {"head": np.zeros((3, 2, 2, 3), np.uint8)}
    seen = Imagination(5, (0, 800, 1600), pictures, None, np.zeros((3, 2)))
    assert [seen.at(t) for t in (-1, 0, 799, 800, 9999)] == [0, 0, 0, 1, 2]
    with pytest.raises(ShapeError, match="imagination"):
        Imagination(5, (0, 800), pictures, None, np.zeros((3, 2)))
