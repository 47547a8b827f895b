# SPDX-License-Identifier: Apache-2.0
"""Leader arms, gamepads, keys: what they say becomes where the arms shall be, and letting go is always safe."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError, ShapeError
from wam_ros.files.assets import load_robot
from wam_ros.kinematics.forward import Kinematics
from wam_ros.teleoperation.gamepad import LB, RB, SILENCE_S, A, B, Gamepad, Y
from wam_ros.teleoperation.hand import JogHand, LeaderHand
from wam_ros.teleoperation.jog import Jog
from wam_ros.teleoperation.keyboard import NUDGE_S, RELEASED_S, Keyboard
from wam_ros.teleoperation.lead import ROW_S, Speedometer, ahead
from wam_ros.teleoperation.leader import LeaderArm
from wam_ros.teleoperation.wish import Deed, Wish

ROBOT = load_robot("sim_r1_lite")
NAMES, READY = ROBOT.joint_names, np.array(ROBOT.ready_position())
KINEMATICS = Kinematics(ROBOT)
SECOND = 1_000_000_000
TICK_NS = 50_000_000

# what is said ahead


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=2), st.lists(st.floats(-2, 2), min_size=2, max_size=2))
def test_a_chunk_begins_where_the_hand_is_with_its_speed_and_ends_at_rest(position, velocity):
    chunk = ahead(7, ("a", "b"), np.array(position), np.array(velocity))
    steps = np.diff(chunk.positions, axis=0) / ROW_S
    np.testing.assert_allclose(chunk.positions[0], position)
    assert (np.abs(np.diff(np.abs(steps), axis=0)) <= np.abs(steps[:-1]) + 1e-9).all()
    assert (np.abs(steps[-1]) <= 0.05 * np.abs(velocity) + 1e-9).all()
    assert (np.abs(chunk.positions[-1] - position) <= 0.1 * np.abs(velocity) + 1e-9).all()
    assert chunk.offsets_ns[0] == 0


def test_speed_is_that_of_the_last_moment_and_grippers_have_none():
    meter = Speedometer((False, True))
    for k in range(10):
        velocity = meter.tell(k * TICK_NS, np.array([0.02 * k, 0.1 * k]))
    np.testing.assert_allclose(velocity, [0.4, 0.0])
    assert not meter.tell(0, np.array([1.0, 0.0])).any(), "time began anew"
    meter.forget()
    assert not meter.tell(SECOND, np.array([9.0, 0.0])).any()


# leader


def test_a_leader_may_speak_arm_by_arm_in_its_own_names_and_units():
    own = [f"m{i}" for i in range(14)]
    leader = LeaderArm(ROBOT, own, closed=20.0, opened=70.0)
    leader.take(own[7:], [0.1] * 6 + [70.0], SECOND)
    assert leader.position(SECOND) is None
    assert leader.silent(SECOND) == own[:7]
    leader.take(own[:7][::-1], [45.0, *[0.2] * 6], SECOND)
    np.testing.assert_allclose(leader.position(SECOND), [*[0.2] * 6, 0.5, *[0.1] * 6, 1.0])
    assert leader.position(2 * SECOND) is None, "it has fallen silent"


def test_a_leader_without_names_speaks_in_robot_order():
    leader = LeaderArm(ROBOT)
    leader.take([], READY, SECOND)
    np.testing.assert_allclose(leader.position(SECOND), READY)


@pytest.mark.parametrize(
    ("names", "values", "complaint"),
    [
        (["elbow", *NAMES[1:]], READY, "joint names: expected left_arm_joint1, .*, got elbow; set leader_names"),
        (NAMES, READY[:9], "values: expected 14, got 9; check the leader's driver"),
        ([], READY[:3], "values: expected 14, got 3"),
        (NAMES, [*READY[:4], np.nan, *READY[5:]], f"{NAMES[4]}: expected a number, got NaN"),
    ],
)
def test_a_bad_message_of_a_leader_is_one_sentence_and_counts_for_nothing(names, values, complaint):
    leader = LeaderArm(ROBOT)
    leader.take(NAMES, READY, SECOND)
    with pytest.raises(ShapeError, match=complaint):
        leader.take(names, values, SECOND + 1)
    np.testing.assert_array_equal(leader.position(SECOND), READY)


def test_wrong_parameters_of_a_leader_are_refused():
    with pytest.raises(ConfigError, match=r"leader_names: expected 14 names, .*, got 2"):
        LeaderArm(ROBOT, ["a", "b"])
    with pytest.raises(ConfigError, match="leader_closed and leader_open are equal"):
        LeaderArm(ROBOT, closed=1.0, opened=1.0)


def test_a_released_pedal_or_a_silent_leader_wants_nothing_and_says_why():
    leader, pressed = LeaderArm(ROBOT), [True]
    hand = LeaderHand(leader, lambda: pressed[0])
    assert hand.wanted(SECOND, None) is None
    assert hand.excuse(SECOND).startswith(f"nothing has come from the leader's {NAMES[0]}, ")
    leader.take(NAMES, READY, SECOND)
    assert hand.wanted(SECOND, None) is not None
    pressed[0] = False
    assert hand.wanted(SECOND, None) is None
    assert hand.excuse(SECOND) == "the pedal is released"


# gamepad


def pad_says(pad, now_ns, *pressed, axes=()):
    values = dict(axes)
    pad.take([values.get(i, 0.0) for i in range(8)], [int(i in pressed) for i in range(11)], now_ns)


def test_without_its_dead_man_a_gamepad_wants_nothing():
    pad = Gamepad(2, 0.1, 0.5)
    assert pad.wish(SECOND) is None
    pad_says(pad, SECOND, axes={0: 1.0, 1: 1.0})
    assert pad.wish(SECOND) is None
    pad_says(pad, SECOND, LB, axes={0: 1.0, 1: -1.0, 3: 1.0})
    wish = pad.wish(SECOND)
    assert wish.linear_m_s == pytest.approx((-0.1, 0.1, 0.0))
    assert wish.angular_rad_s == pytest.approx((0.0, 0.0, 0.5))
    assert pad.wish(SECOND + round(SILENCE_S * 1e9) + 1) is None, "its cable was pulled"


def test_a_gamepad_tilts_with_rb_grips_with_a_and_changes_arms_with_y():
    pad = Gamepad(2, 0.1, 0.5)
    pad_says(pad, SECOND, LB, RB, axes={1: 1.0})
    assert pad.wish(SECOND).angular_rad_s == pytest.approx((0.0, 0.5, 0.0))
    pad_says(pad, SECOND, A)
    pad_says(pad, SECOND, LB)
    assert not pad.wish(SECOND).grip, "a grip needs the dead-man too"
    pad_says(pad, SECOND, LB, A)
    assert pad.wish(SECOND).grip
    assert not pad.wish(SECOND).grip
    pad_says(pad, SECOND, LB, Y)
    assert pad.wish(SECOND).arm == 1


def test_buttons_and_cross_ask_once_each_time_they_are_pressed():
    pad = Gamepad(2, 0.1, 0.5)
    for _ in range(3):
        pad_says(pad, SECOND, B, axes={7: 1.0})
    assert pad.deeds() == [Deed.HAND_BACK, Deed.RECORD]
    pad_says(pad, SECOND, axes={6: -1.0})
    assert pad.deeds() == [Deed.SUCCESS]
    assert pad.deeds() == []


@pytest.mark.parametrize(
    ("axes", "buttons", "complaint"),
    [
        ([0.0] * 6, [0] * 11, "at least 8 and 8, got 6 and 11"),
        ([0.0] * 8, [0] * 3, "at least 8 and 8, got 8 and 3"),
        ([0.0] * 7 + [np.nan], [0] * 11, "an axis is no number"),
    ],
)
def test_another_kind_of_gamepad_is_refused(axes, buttons, complaint):
    with pytest.raises(ShapeError, match=complaint):
        Gamepad(2, 0.1, 0.5).take(axes, buttons, 0)


# keyboard


def test_a_key_is_a_nudge_and_no_key_is_a_released_dead_man():
    keys = Keyboard(2, 0.1, 0.5)
    assert keys.wish(SECOND) is None
    keys.take("wq", SECOND)
    assert keys.wish(SECOND) == Wish(0, (0.1, 0.0, 0.0), (0.0, 0.0, 0.5))
    assert keys.wish(SECOND + round(NUDGE_S * 1e9) + 1) == Wish(0)
    assert keys.wish(SECOND + round(RELEASED_S * 1e9) + 1) is None


def test_keys_ask_for_deeds_and_unknown_keys_for_nothing():
    keys = Keyboard(2, 0.1, 0.5)
    keys.take("hx12\n3Yn?!", SECOND)
    assert keys.deeds() == [
        *(Deed.HAND_BACK, Deed.STOP, Deed.RECORD, Deed.RECORD_END, Deed.START),
        *(Deed.DISCARD, Deed.SUCCESS, Deed.FAILURE),
    ]
    assert keys.wish(SECOND) is None
    keys.take("\t ", SECOND)
    assert keys.wish(SECOND) == Wish(1, grip=True)


# jogging


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1), st.lists(st.floats(-0.15, 0.15), min_size=3, max_size=3))
def test_a_jogged_tool_goes_as_fast_as_wished_and_the_other_arm_stands(arm, speed):
    jog = Jog(ROBOT)
    jog.begin(READY)
    for _ in range(8):
        position = jog.advance(Wish(arm, tuple(speed)), 0.05)
    one, other = ROBOT.arms[arm], ROBOT.arms[1 - arm]
    moved = KINEMATICS.tool_pose(position, one)[:3, 3] - KINEMATICS.tool_pose(READY, one)[:3, 3]
    assert jog.blocked or np.abs(moved - 0.4 * np.array(speed)).max() < 2e-3
    np.testing.assert_array_equal(
        [position[NAMES.index(j)] for j in other.joints], [READY[NAMES.index(j)] for j in other.joints]
    )


def test_a_tool_that_is_pushed_beyond_its_reach_stands_and_comes_back_at_once():
    jog = Jog(ROBOT)
    jog.begin(READY)
    positions = [jog.advance(Wish(0, (0.5, 0.0, 0.0)), 0.05) for _ in range(60)]
    assert jog.blocked > 10
    assert np.abs(np.diff(positions, axis=0)).max() < 0.21
    lower, upper = ROBOT.bounds()
    assert (positions[-1] >= lower).all()
    assert (positions[-1] <= upper).all()
    back = jog.advance(Wish(0, (-0.2, 0.0, 0.0)), 0.05)
    arm = ROBOT.arms[0]
    before, after = (KINEMATICS.tool_pose(p, arm)[0, 3] for p in (positions[-1], back))
    assert before - after == pytest.approx(0.01, abs=3e-3)


def test_a_grip_is_opened_if_closed_and_closed_if_open():
    jog = Jog(ROBOT)
    jog.begin(READY)
    assert jog.advance(Wish(1, grip=True), 0.05)[13] == 0.0
    assert jog.advance(Wish(1), 0.05)[13] == 0.0
    assert jog.advance(Wish(1, grip=True), 0.05)[13] == 1.0


def test_each_press_of_the_dead_man_begins_where_the_robot_is():
    keys = Keyboard(2, 0.1, 0.5)
    hand = JogHand(keys, Jog(ROBOT))
    keys.take("w", SECOND)
    np.testing.assert_array_equal(hand.wanted(SECOND, READY), READY)
    assert np.abs(hand.wanted(SECOND + TICK_NS, READY) - READY).max() > 1e-3
    assert hand.wanted(4 * SECOND, READY) is None
    elsewhere = READY + 0.05 * ~np.array(ROBOT.gripper_mask)
    keys.take("w", 5 * SECOND)
    np.testing.assert_array_equal(hand.wanted(5 * SECOND, elsewhere), elsewhere)
    assert hand.wanted(5 * SECOND + 1, None) is None
    assert hand.excuse(0) == "the dead-man is released"
