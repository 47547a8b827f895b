# SPDX-License-Identifier: Apache-2.0
"""Delays are found to 2 ms at 30 Hz over 20 s, with an interval that holds, or they are refused."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from wam_ros.core.errors import CalibrationError
from wam_ros.core.latency import Signal, find_delay, irregular_motion

JOINTS_S = np.arange(0, 20, 0.005)
FRAMES_S = np.arange(0.01, 19.9, 1 / 30)


def camera_case(seed, delay_s, noise_px=0.5, drop=0.0):
    """Where the robot says a point is in the picture, and where 30 Hz pictures show it, stamped too late."""
    rng = np.random.default_rng(seed)
    motion = np.stack(
        [120 * irregular_motion(JOINTS_S, 1.0, seed), 80 * irregular_motion(JOINTS_S, 1.0, seed + 100)], 1
    )
    frames_s = FRAMES_S + rng.normal(0, 0.002, len(FRAMES_S))
    frames_s = np.sort(frames_s[rng.random(len(frames_s)) >= drop])
    seen = CubicSpline(JOINTS_S, motion)(frames_s - delay_s) + rng.normal(0, noise_px, (len(frames_s), 2))
    return Signal(JOINTS_S, motion + rng.normal(0, 0.05, motion.shape)), Signal(frames_s, 1.02 * seen + [3, -5])


@pytest.mark.parametrize("delay_s", [0.004, 0.047, 0.1234])
def test_a_camera_at_30_hz_is_placed_to_2_ms(delay_s):
    for seed in range(3):
        found = find_delay(*camera_case(seed, delay_s))
        assert abs(found.delay_s - delay_s) < 0.002
        assert found.interval_s < 0.002
        assert found.correlation > 0.99


def test_lost_frames_and_much_noise_widen_the_interval_only():
    clean, poor = camera_case(0, 0.06), camera_case(0, 0.06, noise_px=8.0, drop=0.4)
    found = find_delay(*poor)
    assert abs(found.delay_s - 0.06) < 2 * found.interval_s
    assert found.interval_s > 3 * find_delay(*clean).interval_s


@pytest.mark.parametrize("alike_s", [0.0, 0.4])
def test_the_interval_covers_the_truth_as_often_as_it_says(alike_s):
    hits = []
    for seed in range(120):
        earlier, later = camera_case(seed, 0.05, noise_px=4.0)
        later = Signal(later.time_s, later.value + 8.0 * resembling(later.time_s, alike_s, seed))
        found = find_delay(earlier, later, longest_s=0.07, shortest_s=0.03)
        hits.append(abs(found.delay_s - 0.05) <= found.interval_s)
    assert 0.9 <= np.mean(hits) <= 0.99, np.mean(hits)


def resembling(times_s, alike_s, seed):
    """(N, 2) residuals of unit variance that forget themselves within a time, as those of lens and hand-eye do."""
    rng = np.random.default_rng(1000 + seed)
    fresh = rng.normal(size=(len(times_s), 2))
    kept = np.exp(-np.diff(times_s) / alike_s) if alike_s else np.zeros(len(times_s) - 1)
    for i, keep in enumerate(kept, start=1):
        fresh[i] = keep * fresh[i - 1] + np.sqrt(1 - keep**2) * fresh[i]
    return fresh


def test_an_arm_that_follows_its_command_late_is_measured():
    command = irregular_motion(JOINTS_S, 0.3)[:, None]
    measured = CubicSpline(JOINTS_S, command)(JOINTS_S - 0.083) * 0.98
    measured += np.random.default_rng(0).normal(0, 0.0005, measured.shape)
    found = find_delay(Signal(JOINTS_S, command), Signal(JOINTS_S[40:], measured[40:]))
    assert found.delay_s == pytest.approx(0.083, abs=0.0005)


def test_stamps_that_are_too_early_are_measured_too():
    found = find_delay(*camera_case(1, -0.02), longest_s=0.2, shortest_s=-0.1)
    assert found.delay_s == pytest.approx(-0.02, abs=0.002)


def test_motion_that_repeats_itself_is_refused():
    wave = np.sin(2 * np.pi * 4 * JOINTS_S)[:, None]
    with pytest.raises(CalibrationError, match="repeats itself"):
        find_delay(Signal(JOINTS_S, wave), Signal(JOINTS_S, np.roll(wave, 10, axis=0)))


def test_signals_of_different_things_are_refused():
    earlier, later = camera_case(0, 0.05)
    other = Signal(later.time_s, np.random.default_rng(0).normal(size=later.value.shape))
    with pytest.raises(CalibrationError, match="resemble each other too little"):
        find_delay(earlier, other)


def test_a_device_at_rest_is_refused():
    still = Signal(JOINTS_S, np.zeros((len(JOINTS_S), 1)))
    with pytest.raises(CalibrationError, match="nothing moves"):
        find_delay(still, still)


def test_a_delay_beyond_the_search_is_refused():
    with pytest.raises(CalibrationError, match=r"search farther|too little"):
        find_delay(*camera_case(0, 0.13), longest_s=0.1)


def test_broken_samples_are_refused():
    with pytest.raises(CalibrationError, match="times must increase"):
        Signal(np.zeros(40), np.zeros((40, 1)))
    with pytest.raises(CalibrationError, match="at least 30 samples"):
        Signal(np.arange(5.0), np.zeros((5, 1)))


def test_the_motion_starts_and_ends_at_rest_within_its_amplitude():
    motion = irregular_motion(JOINTS_S, 0.2)
    assert np.abs(motion).max() == pytest.approx(0.2)
    velocity = np.gradient(motion, JOINTS_S)
    assert abs(velocity[0]) < 1e-3
    assert abs(velocity[-1]) < 1e-3
