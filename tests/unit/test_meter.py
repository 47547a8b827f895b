# SPDX-License-Identifier: Apache-2.0
"""What the motion stage says of its own smoothness and lag, against the offline figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.seams import jerk_rms, lag_s
from wam_ros.motion.meter import MotionMeter

STEP_S = 0.01
TIMES_S = np.arange(0, 6, STEP_S)


def wave(times_s, phases):
    return 0.4 * np.sin(2 * np.pi * 0.4 * times_s[:, None] + np.asarray(phases))


def metered(commanded, measured):
    meter = MotionMeter(STEP_S)
    for row, felt in zip(commanded, measured, strict=True):
        meter.add(row, felt)
    return meter


@given(st.lists(st.floats(-1, 1), min_size=12, max_size=60))
def test_the_jerk_is_that_of_the_whole_motion_looked_at_later(values):
    positions = np.array(values[: len(values) // 3 * 3]).reshape(-1, 3)
    expected = jerk_rms(positions, STEP_S)
    assert metered(positions, positions).jerk_rms_rad_s3 == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(st.floats(0.0, 0.1), st.lists(st.floats(0, 6), min_size=1, max_size=12))
def test_a_delay_is_found_and_agrees_with_the_best_shift(delay_s, phases):
    commanded, measured = wave(TIMES_S, phases), wave(TIMES_S - delay_s, phases)
    lag = metered(commanded, measured).tracking_lag_s
    assert lag == pytest.approx(delay_s, abs=0.008)
    assert lag == pytest.approx(lag_s(measured, commanded, STEP_S), abs=0.008)


def test_the_distance_is_the_root_mean_square():
    commanded = wave(TIMES_S, [0.0, 1.0])
    assert metered(commanded, commanded - 0.02).tracking_rms_rad == pytest.approx(0.02)


def test_at_rest_and_without_feedback_nothing_is_claimed():
    meter = MotionMeter(STEP_S)
    for _ in range(10):
        meter.add(np.zeros(3), None)
    assert (meter.jerk_rms_rad_s3, meter.tracking_lag_s, meter.tracking_rms_rad) == (0.0, 0.0, 0.0)


def test_restarted_it_knows_nothing():
    meter = metered(wave(TIMES_S, [0.0]), wave(TIMES_S - 0.05, [0.0]))
    meter.restart()
    assert (meter.jerk_rms_rad_s3, meter.tracking_lag_s, meter.tracking_rms_rad) == (0.0, 0.0, 0.0)
