# SPDX-License-Identifier: Apache-2.0
"""Joints find their way from the driver to the robot order and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError, ImplausibleError, ShapeError
from wam_ros.core.joint_topics import command_topics, fault_of, feedback_topics
from wam_ros.files.assets import load_robot

ROBOT = load_robot("sim_r1_lite")
JOINED = replace(ROBOT, arms=tuple(replace(a, gripper_state=a.state, gripper_command=a.command) for a in ROBOT.arms))


@pytest.mark.parametrize("robot", [ROBOT, JOINED], ids=["own topic", "same topic"])
@given(data=st.data())
def test_every_joint_has_one_place_and_comes_back_unchanged(robot, data):
    size = len(robot.joint_names)
    position = np.array(data.draw(st.lists(st.floats(-3, 3), min_size=size, max_size=size)))
    back = np.full(size, np.nan)
    for said, heard in zip(command_topics(robot), feedback_topics(robot), strict=True):
        native = said.to_native(position)
        assert said.joints == robot.joint_names[said.columns]
        assert np.isnan(back[heard.columns]).all()
        back[heard.columns] = heard.from_native([*native.tolist(), *[0.0] * heard.stream.spare_values])
    np.testing.assert_allclose(back, position, atol=1e-12)


@pytest.mark.parametrize("robot", [ROBOT, JOINED], ids=["own topic", "same topic"])
def test_rates_scale_as_positions_do(robot):
    position, rate = np.array(robot.ready_position()), np.linspace(-1, 1, len(robot.joint_names))
    for topic in command_topics(robot):
        step = topic.to_native(position + rate) - topic.to_native(position)
        np.testing.assert_allclose(topic.to_native_rate(rate), step, atol=1e-9)


def test_too_few_values_are_refused():
    with pytest.raises(ShapeError, match=r"expected 6 to 7, got 5"):
        feedback_topics(ROBOT)[0].from_native([0.0] * 5)


def test_values_are_taken_by_name_where_the_driver_names_our_joints(robot):
    topic = feedback_topics(robot)[0]
    names = ["torso", *reversed(topic.joints)]
    assert topic.from_native([9.0, *range(6)], names).tolist() == [5, 4, 3, 2, 1, 0]


def test_placeholder_names_are_passed_over_and_half_known_names_refused(robot):
    topic = feedback_topics(robot)[0]
    assert topic.from_native(list(range(7)), ["left"]).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ShapeError, match=r"expected all our joints, got .* without .*left_arm_joint2"):
        topic.from_native(list(range(6)), [topic.joints[0], *"abcde"])


def test_too_many_values_are_refused_unless_the_driver_is_known_to_append_them():
    (arm, gripper), values = feedback_topics(ROBOT)[:2], [0.0, 1.5, -1.0, 0.0, 0.0, 0.0]
    assert ROBOT.arms[0].state.spare_values == 1
    assert arm.from_native([*values, 99.0]).tolist() == values
    with pytest.raises(ShapeError, match="expected 6 to 7, got 14"):
        arm.from_native([*values, 0.5, *values, 0.5])
    with pytest.raises(ShapeError, match="expected 1, got 2"):
        gripper.from_native([50.0, 50.0])


def test_names_without_the_arms_prefix_are_ours_in_any_order_and_strangers_are_refused():
    topic = feedback_topics(ROBOT)[0]
    assert topic.from_native([5, 4, 3, 2, 1, 0], [f"joint{i}" for i in (6, 5, 4, 3, 2, 1)]).tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]
    with pytest.raises(ShapeError, match="expected all our joints"):
        topic.from_native(list(range(6)), ["hip", "knee", "ankle", "toe", "heel", "sole"])


def test_one_placeholder_for_all_values_is_no_name():
    topic = feedback_topics(ROBOT)[0]
    assert topic.from_native(list(range(6)), [""] * 6).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("robot", "opened", "closed"),
    [("r1_lite", 101.8, 0.0), ("ac_one", -3.49, 0.1), ("ac_one_2023", 5.03, -0.1)],
    ids=["overtravel", "squeezing", "older arm"],
)
def test_what_real_arms_say_at_their_ends_is_believed(robot, opened, closed):
    described = load_robot(robot)
    grips = [topic for topic in feedback_topics(described) if topic.joints[-1].endswith("gripper")]
    folded = list(described.arms[0].home_rad)
    for topic in grips:
        rest = folded if len(topic.joints) > 1 else []
        assert topic.believed([*rest, opened])[-1] == pytest.approx(1.015, abs=0.015)
        assert topic.believed([*rest, closed])[-1] == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize(
    ("robot", "opened", "what"),
    [
        ("r1_lite", 1000.0, "left_gripper"),
        ("ac_one", 5.0, "left_gripper"),
        ("ac_one", 1.0, "left_gripper"),
        ("ac_one", 80.0, "left_gripper"),
        ("ac_one_2023", -3.4, "left_gripper"),
        ("ac_one_2023", 80.0, "left_gripper"),
    ],
    ids=["tenths", "fives", "shares", "millimetres", "newer arm", "older arm in millimetres"],
)
def test_a_gripper_in_another_scale_is_not_believed_when_it_is_open(robot, opened, what):
    described = load_robot(robot)
    topic = next(t for t in feedback_topics(described) if t.joints[-1] == what)
    rest = list(described.arms[0].home_rad) if len(topic.joints) > 1 else []
    with pytest.raises(ImplausibleError, match="read the driver's value at both ends"):
        topic.believed([*rest, opened])
    cause, why = fault_of(topic, [*rest, opened], ())
    assert cause == f"IMPLAUSIBLE:{what}", "safety refuses to arm with it"
    assert "correct closed_native and open_native" in why


@pytest.mark.parametrize(("robot", "told", "said"), [("ac_one", -3.4, -3.4), ("ac_one_2023", 1.0, 5.0)])
@pytest.mark.parametrize("opening", [0.0, 0.3, 1.0])
def test_a_gripper_is_told_in_the_unit_of_commands_and_heard_in_that_of_feedback(robot, told, said, opening):
    described = load_robot(robot)
    position = np.array(described.ready_position())
    for command, feedback, arm in zip(
        command_topics(described), feedback_topics(described), described.arms, strict=True
    ):
        position[command.columns][-1] = opening
        assert command.to_native(position)[-1] == pytest.approx(told * opening)
        assert command.to_native_rate(position)[-1] == pytest.approx(told * opening)
        assert feedback.to_native(position)[-1] == pytest.approx(said * opening)
        at_the_driver = [*arm.home_rad, command.to_native(position)[-1] * arm.gripper.driver_gain]
        assert feedback.believed(at_the_driver)[-1] == pytest.approx(opening)


@pytest.mark.parametrize("gain", [0.0, -5.0])
def test_a_driver_that_turns_commands_to_nothing_or_round_is_refused(gain):
    with pytest.raises(ConfigError, match="driver_gain: expected more than 0"):
        replace(ROBOT.arms[0].gripper, driver_gain=gain)


@pytest.mark.parametrize("robot", ["r1_lite", "ac_one"])
def test_degrees_are_not_believed_and_said_to_be_degrees(robot):
    described = load_robot(robot)
    topic = feedback_topics(described)[0]
    ready = np.array(described.arms[0].ready_rad)
    rest = [described.arms[0].gripper.open_native] if topic.gripper else []
    topic.believed([*ready, *rest])
    with pytest.raises(ImplausibleError, match="look like degrees; set the driver to radians"):
        topic.believed([*np.degrees(ready), *rest])


def test_a_joint_out_of_its_range_is_named_with_both_cures():
    topic = feedback_topics(ROBOT)[0]
    with pytest.raises(ImplausibleError, match=r"left_arm_joint2 .* expected -0.07 to 3.21, got -0.5; bring the joint"):
        topic.believed([0.0, -0.5, -1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("values", "names", "cause"),
    [
        ([0.0] * 5, (), "JOINTS_WRONG:left"),
        ([0.0] * 8, (), "JOINTS_WRONG:left"),
        ([0.0] * 6, list("abcdef"), "JOINTS_WRONG:left"),
        ([float("nan")] * 6, (), "NOT_FINITE:left"),
        ([0.0, 90.0, -55.0, 0.0, 0.0, 0.0], (), "IMPLAUSIBLE:left_arm_joint2"),
        ([0.0] * 6, ["left_arm"], ""),
    ],
)
def test_each_trap_of_feedback_has_its_cause(values, names, cause):
    said, why = fault_of(feedback_topics(ROBOT)[0], values, names)
    assert said == cause
    assert bool(why) == bool(cause)
