# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of a robot: everything that can be wrong at a driver has its line and its cure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wam_ros.core.inspection import Finding, Seen, Where, inspect, turned_rad
from wam_ros.core.joint_topics import command_topics, feedback_topics
from wam_ros.doctor import show
from wam_ros.files.assets import load_robot

ROBOT = load_robot("r1_lite")
LEFT = feedback_topics(ROBOT)[0].stream
COMMAND = command_topics(ROBOT)[0].stream.topic
WRIST = ROBOT.camera("left_wrist")


def healthy() -> dict[str, Seen]:
    """A driver without a fault."""
    seen = {
        t.stream.topic: Seen(("driver",), (), ("sensor_msgs/msg/JointState",), 600, t.stream.rate_hz, 0.002, "6 values")
        for t in feedback_topics(ROBOT)
    }
    seen |= {t.stream.topic: Seen(subscribers=("tracker",)) for t in command_topics(ROBOT)}
    return seen | {c.color: Seen(("eyes",), (), (), 45, c.rate_hz, 0.03, "640x360") for c in ROBOT.cameras}


def wrong(seen: dict[str, Seen], robot=ROBOT, where: Where = Where()) -> list[Finding]:  # noqa: B008
    return [finding for finding in inspect(robot, seen, where) if not finding.ok]


def test_what_stands_in_brackets_is_printed(capsys):
    show([Finding("models", False, "wam_ros[models] is missing", "pip install 'wam_ros[models]'")])
    assert capsys.readouterr().out.count("wam_ros[models]") == 2


def test_nothing_is_wrong_with_a_healthy_driver_and_every_part_is_named():
    found = inspect(ROBOT, healthy(), Where())
    assert [f for f in found if not f.ok] == []
    assert {"feedback of left", "feedback of right_gripper", "camera head", f"commands on {COMMAND}"} <= {
        f.what for f in found
    }
    assert all(f.detail for f in found)


def test_the_wrong_domain_is_said_with_the_one_that_speaks():
    (finding,) = wrong({}, where=Where(0, [2, 61]))
    assert finding.cure == "export ROS_DOMAIN_ID=2"
    (finding,) = wrong({}, where=Where(3))
    assert "ROS domain 3" in finding.detail
    assert "echo $ROS_DOMAIN_ID" in finding.cure


@pytest.mark.parametrize(
    ("topic", "change", "cure"),
    [
        (LEFT.topic, {"publishers": ()}, "start its driver"),
        (LEFT.topic, {"rate_hz": 20.0}, "network"),
        (LEFT.topic, {"count": 0}, "its type is sensor_msgs/msg/JointState"),
        (LEFT.topic, {"fault": "left_arm_joint2: these look like degrees"}, "degrees"),
        (WRIST.color, {"fault": "picture: expected 640x360, got 1280x720; correct width"}, "1280x720"),
        (WRIST.color, {"publishers": ()}, "start its driver"),
        (COMMAND, {"publishers": ("gello",), "count": 40}, "end gello"),
        (COMMAND, {"publishers": ("tracker_idle",)}, "robot.idle_publishers='[tracker_idle]'"),
        (COMMAND, {"subscribers": ()}, "arm controllers"),
    ],
)
def test_each_fault_of_a_topic_is_one_finding_with_its_cure(topic, change, cure):
    seen = healthy()
    seen[topic] = replace(seen[topic], **change)
    (finding,) = wrong(seen)
    assert cure in finding.cure


def test_a_publisher_that_talks_is_not_excused_as_idle():
    seen = healthy()
    seen[COMMAND] = replace(seen[COMMAND], publishers=("gello",), count=40)
    assert "idle_publishers" not in wrong(seen)[0].cure
    assert wrong(seen, replace(ROBOT, idle_publishers=("gello",))) == []


@pytest.mark.parametrize(("lag_s", "cure"), [(None, "let the driver stamp"), (-37.0, "chrony"), (4.0, "chrony")])
def test_stamps_matter_where_they_are_used(lag_s, cure):
    seen = healthy()
    seen[LEFT.topic] = replace(seen[LEFT.topic], lag_s=lag_s)
    assert wrong(seen) == [], "the time of arrival counts on this robot"
    (finding,) = wrong(seen, replace(ROBOT, stamp_source="header"))
    assert cure in finding.cure


def test_another_version_of_the_driver_is_heard_and_two_at_once_are_refused():
    seen = healthy()
    seen[WRIST.color_else[0]] = seen.pop(WRIST.color)
    assert wrong(seen) == []
    seen[WRIST.color] = seen[WRIST.color_else[0]]
    (finding,) = wrong(seen)
    assert "both speak" in finding.detail


@pytest.mark.parametrize(
    ("changes", "swapped"),
    [({"left_wrist": 30.0, "right_wrist": 1.0}, False), ({"left_wrist": 1.0, "right_wrist": 30.0}, True)],
)
def test_the_camera_that_sees_an_arm_move_must_be_the_one_on_it(changes, swapped):
    seen = healthy()
    seen[LEFT.topic] = replace(seen[LEFT.topic], moved=0.4)
    for name, moved in changes.items():
        topic = ROBOT.camera(name).color
        seen[topic] = replace(seen[topic], moved=moved)
    found = wrong(seen)
    assert bool(found) == swapped
    if swapped:
        assert "swap the topics of left_wrist and right_wrist" in found[0].cure


def test_when_nothing_or_everything_moves_cameras_are_not_judged():
    seen = healthy()
    for arm in ROBOT.arms:
        seen[arm.state.topic] = replace(seen[arm.state.topic], moved=0.4)
    assert [f for f in inspect(ROBOT, seen, Where()) if "not checked" in f.detail]
    assert turned_rad([]) == 0.0
    assert turned_rad([np.array([0.0, 1.0]), np.array([0.1, 1.3])]) == pytest.approx(0.3)


CONTROLLER = "/left_arm_controller/joint_trajectory"
GOOD = {"joints": list(ROBOT.arms[0].joints), "command_interfaces": ["position"], "interpolation_method": "splines"}


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        (GOOD, ""),
        (None, "switch_controllers --activate left_arm_controller"),
        ({**GOOD, "joints": ["hip"]}, "not left_arm_joint1"),
        ({**GOOD, "joints": [*GOOD["joints"], "lift"]}, "allow_partial_joints_goal"),
        ({**GOOD, "joints": [*GOOD["joints"], "lift"], "allow_partial_joints_goal": True}, ""),
        ({**GOOD, "command_interfaces": ["effort"]}, "command interface position"),
        ({**GOOD, "interpolation_method": "none"}, "interpolation_method to splines"),
    ],
)
def test_a_controllers_features_are_held_against_what_it_is_sent(said, cure):
    first = ROBOT.arms[0]
    command = replace(first.command, topic=CONTROLLER, kind="joint_trajectory")
    robot = replace(ROBOT, arms=(replace(first, command=command), *ROBOT.arms[1:]))
    seen = {**healthy(), CONTROLLER: Seen(subscribers=("left_arm_controller",))}
    wrong = [f for f in inspect(robot, seen, Where(), {CONTROLLER: said}) if not f.ok]
    assert len(wrong) == bool(cure)
    assert all(cure in finding.cure for finding in wrong)


def test_a_topic_of_a_gripper_alone_turns_no_joint():
    assert turned_rad([np.zeros(0), np.zeros(0)]) == 0.0
