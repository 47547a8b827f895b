# SPDX-License-Identifier: Apache-2.0
"""Cameras that agree are left alone; the one that has moved is named; who sees nothing in common is said to be blind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.room_support import measured
from wam_ros.bench.drift import stage, summed
from wam_ros.core.board import Optics
from wam_ros.core.drift import DriftMonitor, Limits
from wam_ros.core.overlap import SCALE, Gaze, meet, surface
from wam_ros.core.transforms import exp, rigid

OPTICS = Optics(240, 180, 200.0, 200.0, 119.5, 89.5)
MATRIX = OPTICS.matrix()
CAMERAS = {"head": "", "left": "", "right": ""}


def looking(position, at):
    """T_base_camera at a position, looking at a point."""
    z = np.subtract(at, position) / np.linalg.norm(np.subtract(at, position))
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    return rigid(np.stack([x, np.cross(z, x), z], axis=1), np.array(position))


def posed(moment):
    """Where the cameras are: the head stands, the wrists go about slowly."""
    sway, up = 0.06 * np.sin(0.4 * moment), 0.03 * np.cos(0.3 * moment)
    return {
        "head": looking([-0.1, 0.0, 0.7], [0.45, 0.05, 0.0]),
        "left": looking([0.25 + up, 0.15 + sway, 0.35 + up], [0.55 + sway, 0.25, 0.05]),
        "right": looking([0.25 - sway, -0.15 + up, 0.32 - up], [0.6, -0.05 + sway, 0.05]),
    }


def gazes(moment, believed=None, without=()):
    """What is measured, and where cameras are believed to be: twists away from where they are."""
    poses = posed(moment)
    return {
        name: Gaze(measured(T, OPTICS), MATRIX, T @ exp(np.asarray((believed or {}).get(name, np.zeros(6)))))
        for name, T in poses.items()
        if name not in without
    }


def watched(moments=9, believed=None, without=(), limits=None):
    monitor = DriftMonitor(CAMERAS, limits)
    for moment in range(moments):
        monitor.see(400_000_000 * moment, gazes(moment, believed, without))
    return monitor


def test_cameras_that_agree_are_left_alone():
    monitor = watched()
    assert monitor.suspect() is None
    assert monitor.blind() == {}
    assert max(d.shift_m for d in monitor.displacements()) < 0.0004


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_camera_that_has_moved_is_named_with_its_noise(camera, seed):
    move, turn = np.random.default_rng(seed).normal(size=(2, 3))
    twist = np.r_[0.01 * move / np.linalg.norm(move), np.radians(2) * turn / np.linalg.norm(turn)]
    found = watched(believed={camera: twist}).suspect()
    assert found is not None
    assert found.name == camera
    assert found.shift_m > 10 * found.noise_m
    assert 0.002 < found.shift_m < 0.03
    assert f"camera {camera}: what it sees lies " in str(found)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=12, max_size=12))
def test_what_is_apart_changes_with_the_poses_as_derived(units):
    small = 0.02 * np.array(units)
    there = gazes(3, {"left": small[:6] * SCALE, "head": small[6:] * SCALE})
    here = gazes(3)
    before, after = (meet(surface(g["left"]), g["head"]) for g in (here, there))
    # A point may fall on the pixel beside; over all of them the mean change is the derived one.
    derived = (before.by_one @ small[:6] + before.by_other @ small[6:]).mean()
    assert after.apart_m.mean() - before.apart_m.mean() == pytest.approx(derived, abs=1e-4)


def test_without_depth_nothing_is_said_but_that_it_is_blind():
    monitor = watched(believed={"head": np.r_[0.01, 0, 0.01, 0, 0, 0]}, without=("left", "right"))
    assert monitor.suspect() is None
    blind = monitor.blind()
    assert blind["left"] == blind["right"] == "no depth comes"
    assert "what another camera sees too" in blind["head"]
    assert set(DriftMonitor(CAMERAS).blind()) == set(CAMERAS)


def test_empty_depth_is_as_none():
    monitor = DriftMonitor(CAMERAS)
    for moment in range(9):
        empty = np.zeros((OPTICS.height, OPTICS.width), np.float32)
        monitor.see(400_000_000 * moment, {n: Gaze(empty, MATRIX, T) for n, T in posed(moment).items()})
    assert monitor.displacements() == []
    assert set(monitor.blind()) == set(CAMERAS)


def test_a_fast_camera_is_not_compared():
    moved = {"left": np.r_[0, 0, 0.02, 0, 0, 0]}
    monitor = watched(believed=moved, limits=Limits(speed_m_s=0.001))
    assert monitor.suspect() is None
    assert "at rest or slowly" in monitor.blind()["left"]


def test_time_that_is_set_back_begins_anew():
    monitor = watched(believed={"left": np.r_[0, 0, 0.02, 0, 0, 0]})
    assert monitor.suspect() is not None
    monitor.see(0, gazes(0))
    assert monitor.suspect() is None
    assert set(monitor.blind()) == set(CAMERAS)


def test_moments_too_soon_after_the_last_do_not_count():
    monitor = DriftMonitor(CAMERAS)
    for tick in range(20):
        monitor.see(10_000_000 * tick, gazes(0))
    assert max((d.moments for d in monitor.displacements()), default=0) <= 1


def test_a_wrist_turned_about_its_axis_is_seen_by_what_it_sees():
    turned = {"right": np.r_[0, 0, 0, Rotation.from_euler("x", 2, degrees=True).as_rotvec()]}
    found = watched(believed=turned).suspect()
    assert found.name == "right"
    assert np.degrees(found.turned_rad) == pytest.approx(2, abs=0.7)


def test_attempts_of_the_twin_are_clean_and_a_displaced_camera_is_named():
    with stage("towel_fold") as made:
        figures = summed(made.watch(0, 1))
    assert figures["clean_warned"] == 0
    assert figures["warned"] >= 2 / 3
    assert figures["named_rightly"] == 1
    assert figures["after_s_max"] < 6
