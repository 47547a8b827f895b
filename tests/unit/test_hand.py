# SPDX-License-Identifier: Apache-2.0
"""A hand is seen where its joints have it, or not at all; what is held before it accuses nobody."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.room_support import measured
from tests.unit.test_drift import CAMERAS, MATRIX, OPTICS, looking, posed
from wam_ros.core.drift import DriftMonitor
from wam_ros.core.hand import Hand
from wam_ros.core.overlap import Gaze, meet
from wam_ros.core.transforms import exp, invert, rigid

#: Middles and half sides, in the frame of the palm's middle (x ahead): palm, two fingers, the camera's post behind them.
SHAPES = (
    ((0.0, 0.0, 0.0), (0.022, 0.065, 0.017)),
    ((0.06, 0.03, 0.0), (0.03, 0.0045, 0.009)),
    ((0.06, -0.03, 0.0), (0.03, 0.0045, 0.009)),
    ((-0.04, 0.0, 0.045), (0.006, 0.01, 0.03)),
)
OWN = np.array([True, True, True, False])
ARM = rigid(np.eye(3), np.array([0.1, 0.3, 0.1]))
STILL, TWIST = np.zeros(6), np.r_[0.006, -0.003, 0.007, 0.02, 0.02, -0.02]
EYE = looking([-0.02, 0.009, 0.075], [0.06, 0.0, 0.0])
"""Where the palm carries its camera."""


def hand(T_base_palm, T_base_arm=ARM):
    placed = [invert(T_base_arm) @ T_base_palm @ rigid(np.eye(3), np.array(middle)) for middle, _ in SHAPES]
    return Hand(T_base_arm, np.array(placed), np.array([half for _, half in SHAPES]), OWN)


def boxes(held):
    return [(held.T_base_arm @ T, half) for T, half in zip(held.T_arm_box, held.half_m, strict=True)]


def seen(T_base_camera, *held, more=()):
    return measured(T_base_camera, OPTICS, boxes=[*(b for h in held for b in boxes(h)), *more])


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5), st.floats(0.12, 0.8))
def test_every_point_that_a_camera_must_see_is_there(units, away_m):
    held = hand(rigid(np.eye(3), np.array([0.4, 0.1, 0.3])) @ exp(np.r_[0, 0, 0, 0.3 * np.array(units[:3])]))
    aside = np.array([0.5 * units[3] - 0.1, 0.5 * units[4], 0.8])
    T = looking(np.array([0.45, 0.1, 0.3]) + away_m * aside / np.linalg.norm(aside), [0.45, 0.1, 0.3])
    gaze = Gaze(seen(T, held), MATRIX, T)
    met = meet(held.seen_by(gaze), gaze)
    if met is not None:
        assert np.abs(met.apart_m).max() < 0.0015 + 0.5 * away_m / OPTICS.fx


def test_a_wrist_camera_that_sees_its_own_fingers_meets_them_and_one_that_looks_away_does_not():
    palm = rigid(np.eye(3), np.array([0.4, 0.1, 0.3]))
    held, T = hand(palm), palm @ EYE
    gaze = Gaze(seen(T, held), MATRIX, T)
    assert len(meet(held.seen_by(gaze), gaze).apart_m) > 60
    away = palm @ looking([-0.02, 0.009, 0.075], [-0.5, 0.0, 0.1])
    gaze = Gaze(seen(away, held), MATRIX, away)
    assert meet(held.seen_by(gaze), gaze) is None


def watched(camera_twist=STILL, arm_twist=STILL, cameras=("left",), cover=()):
    """A hand that goes about with its camera, and perhaps a head that sees both; twists of what is believed."""
    monitor = DriftMonitor({name: "arm" if name == "left" else "" for name in cameras})
    for moment in range(9):
        palm = rigid(np.eye(3), np.array([0.35 + 0.004 * moment, 0.1 - 0.003 * moment, 0.2])) @ exp(
            np.r_[0, 0, 0, 0.05 * np.array([np.sin(0.6 * moment), 0.2, np.cos(0.5 * moment)])]
        )
        true, believed = hand(palm), ARM @ exp(arm_twist)
        more = [(palm @ T, half) for T, half in cover]
        wrist = palm @ EYE
        gazes = {"left": Gaze(seen(wrist, true, more=more), MATRIX, believed @ invert(ARM) @ wrist @ exp(camera_twist))}
        if "head" in cameras:
            head = posed(0)["head"]
            gazes["head"] = Gaze(seen(head, true, more=more), MATRIX, head)
        held = Hand(believed, true.T_arm_box, true.half_m, OWN)
        monitor.see(400_000_000 * moment, gazes, {"arm": held})
    return monitor


def test_one_camera_alone_is_watched_by_the_hand_it_sees():
    clean = watched()
    assert clean.suspect() is None
    assert clean.blind() == {}
    found = watched(camera_twist=TWIST).suspect()
    assert found.body == ("camera", "left")
    assert found.shift_m > 10 * found.noise_m


def test_a_camera_is_told_from_the_arm_that_carries_it():
    assert watched(cameras=("left", "head")).suspect() is None
    camera = watched(camera_twist=TWIST, cameras=("left", "head")).suspect()
    assert camera.body == ("camera", "left")
    arm = watched(arm_twist=TWIST, cameras=("left", "head")).suspect()
    assert arm.body == ("arm", "arm")
    assert arm.key == "arm_arm"
    assert "as if its base were " in str(arm)


@pytest.mark.parametrize(
    ("middle", "half"),
    [
        ((0.075, 0.0, 0.019), (0.02, 0.01, 0.002)),  # between the fingers
        ((0.075, 0.0, 0.019), (0.06, 0.06, 0.002)),  # cloth over the fingers
        ((0.03, 0.0, 0.024), (0.1, 0.1, 0.006)),  # cloth over all of it
    ],
)
def test_what_is_held_before_the_hand_accuses_nobody(middle, half):
    cover = [(rigid(np.eye(3), np.array(middle)), np.array(half))]
    assert watched(cover=cover).suspect() is None


def test_without_hands_a_lone_camera_is_blind():
    assert set(CAMERAS) > {"left"}
    monitor, T = DriftMonitor({"left": "arm"}), posed(0)["left"]
    for moment in range(9):
        monitor.see(400_000_000 * moment, {"left": Gaze(measured(T, OPTICS), MATRIX, T)})
    assert "a hand" in monitor.blind()["left"]
