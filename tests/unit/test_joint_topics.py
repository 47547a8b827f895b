# SPDX-License-Identifier: Apache-2.0
"""Joints find their way from the driver to the robot order and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.errors import ShapeError
from wam_ros.core.joint_topics import command_topics, feedback_topics
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
        back[heard.columns] = heard.from_native([*native.tolist(), 0.0])
    np.testing.assert_allclose(back, position, atol=1e-12)


@pytest.mark.parametrize("robot", [ROBOT, JOINED], ids=["own topic", "same topic"])
def test_rates_scale_as_positions_do(robot):
    position, rate = np.array(robot.ready_position()), np.linspace(-1, 1, len(robot.joint_names))
    for topic in command_topics(robot):
        step = topic.to_native(position + rate) - topic.to_native(position)
        np.testing.assert_allclose(topic.to_native_rate(rate), step, atol=1e-9)


def test_too_few_values_are_refused():
    with pytest.raises(ShapeError, match=r"at least 6, got 5"):
        feedback_topics(ROBOT)[0].from_native([0.0] * 5)


def test_values_are_taken_by_name_where_the_driver_names_our_joints(robot):
    topic = feedback_topics(robot)[0]
    names = ["torso", *reversed(topic.joints)]
    assert topic.from_native([9.0, *range(6)], names).tolist() == [5, 4, 3, 2, 1, 0]


def test_placeholder_names_are_passed_over_and_half_known_names_refused(robot):
    topic = feedback_topics(robot)[0]
    assert topic.from_native(list(range(8)), ["left"]).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ShapeError, match="all our joints or none"):
        topic.from_native(list(range(6)), [topic.joints[0], *"abcde"])
