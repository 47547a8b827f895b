# SPDX-License-Identifier: Apache-2.0
"""What the driver hears, over real DDS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import ConfigError, UnsafeCommandError
from wam_ros.core.joint_topics import command_topics
from wam_ros.core.types import Trajectory
from wam_ros.ros.act import CommandSink
from wam_ros.ros.convert import stamp_to_ns
from wam_ros.ros.qos import COMMAND, STATE

STAMP_NS = 12_345_000_000


def with_kind(robot, kind: str):
    return replace(robot, arms=tuple(replace(arm, command=replace(arm.command, kind=kind)) for arm in robot.arms))


class Driver:
    """Listens as a driver does: best effort."""

    def __init__(self, node: Node, robot, arm_type: type = JointState) -> None:
        self.heard: dict[str, list] = {}
        for i, topic in enumerate(command_topics(robot)):
            kind = arm_type if i % 2 == 0 else JointState
            self.heard[topic.stream.topic] = []
            node.create_subscription(kind, topic.stream.topic, self.heard[topic.stream.topic].append, STATE)
        self.node = node

    def found(self) -> bool:
        return all(self.node.count_publishers(topic) == 1 for topic in self.heard)


@pytest.fixture
def nodes(ros_context):
    pair = Node("motion", context=ros_context), Node("driver", context=ros_context)
    with spinning(ros_context, *pair) as executor:
        yield (*pair, executor)


def test_all_arms_get_their_joints_in_native_units_under_one_stamp(nodes, robot):
    motion, driving, executor = nodes
    sink, driver = CommandSink(motion, robot), Driver(driving, robot)
    position = np.array(robot.ready_position())
    position[[6, 13]] = 0.25, 0.75
    wait_until(executor, driver.found)

    def heard() -> bool:
        sink.stream(position, STAMP_NS)
        return all(driver.heard.values())

    wait_until(executor, heard)
    messages = [driver.heard[topic.stream.topic][-1] for topic in command_topics(robot)]
    assert {stamp_to_ns(m.header.stamp) for m in messages} == {STAMP_NS}
    assert [list(m.position) for m in messages] == [
        list(robot.arms[0].ready_rad),
        [25.0],
        list(robot.arms[1].ready_rad),
        [75.0],
    ]
    assert list(messages[0].velocity) == list(robot.arms[0].limits.velocity_rad_s)
    assert list(messages[0].name) == list(robot.arms[0].joints)
    assert min(messages[0].velocity) > 0
    assert len(messages[1].velocity) == 0


@pytest.mark.parametrize("spoil", [np.nan, np.inf, 99.0], ids=str)
def test_one_bad_joint_keeps_the_whole_command_back(nodes, robot, spoil):
    motion, driving, executor = nodes
    sink, driver = CommandSink(motion, robot), Driver(driving, robot)
    wait_until(executor, driver.found)
    position = np.array(robot.ready_position())
    position[-1] = spoil
    with pytest.raises(UnsafeCommandError):
        sink.stream(position, STAMP_NS)
    with pytest.raises(UnsafeCommandError):
        sink.stream(position[:-1], STAMP_NS)
    good = robot.ready_position()
    wait_until(executor, lambda: sink.stream(good, STAMP_NS + 1) or all(driver.heard.values()))
    assert all(stamp_to_ns(m.header.stamp) == STAMP_NS + 1 for heard in driver.heard.values() for m in heard)


def test_an_arm_that_rests_outside_its_target_bounds_may_be_held_there(nodes, robot):
    motion, _, _ = nodes
    position = np.array(robot.ready_position())
    position[1] = 0.0  # the folded pose lies on the hard stop, outside the bounds of targets
    CommandSink(motion, robot).stream(position, STAMP_NS)


def test_a_trajectory_controller_gets_what_is_committed(nodes, robot):
    robot = with_kind(robot, "joint_trajectory")
    motion, driving, executor = nodes
    sink, driver = CommandSink(motion, robot), Driver(driving, robot, JointTrajectory)
    wait_until(executor, driver.found)
    positions = np.tile(robot.ready_position(), (3, 1))
    positions[:, 7] = 0.1, 0.2, 0.3
    times = tuple(STAMP_NS + k * 40_000_000 for k in range(3))
    still, pushed = np.zeros_like(positions), np.full_like(positions, 0.5)
    trajectory = Trajectory(robot.joint_names, times, positions, still, pushed)
    both = [arm.command.topic for arm in robot.arms]

    def heard() -> bool:
        sink.commit(trajectory)
        return all(driver.heard[topic] for topic in both)

    wait_until(executor, heard)
    assert {stamp_to_ns(driver.heard[topic][-1].header.stamp) for topic in both} == {STAMP_NS}
    msg = driver.heard[both[1]][-1]
    assert list(msg.joint_names) == list(robot.arms[1].joints)
    assert [point.positions[0] for point in msg.points] == [0.1, 0.2, 0.3]
    assert msg.points[2].time_from_start.nanosec == 80_000_000
    assert list(msg.points[2].velocities) == [0.0] * 6
    assert list(msg.points[2].accelerations) == [0.5] * 6
    with pytest.raises(UnsafeCommandError):
        sink.commit(replace(trajectory, velocities=np.full_like(positions, np.nan)))


def test_an_unknown_kind_is_refused_with_the_known_ones(nodes, robot):
    with pytest.raises(ConfigError, match=r"joint_state_with_speed_cap.*got carrier_pigeon"):
        CommandSink(nodes[0], with_kind(robot, "carrier_pigeon"))


def test_two_arms_on_one_topic_are_refused(nodes, robot):
    first, second = robot.arms
    with pytest.raises(ConfigError, match="used twice"):
        CommandSink(nodes[0], replace(robot, arms=(first, replace(second, command=first.command))))


def test_a_publisher_that_the_robot_file_knows_to_be_idle_is_no_intruder(nodes, robot, ros_context):
    motion, driving, executor = nodes
    topic = robot.arms[0].command.topic
    driving.create_publisher(JointState, topic, COMMAND)
    known = CommandSink(motion, replace(robot, idle_publishers=("driver",)))
    wait_until(executor, lambda: motion.count_publishers(topic) == 2)
    assert known.intruder(()) == ""
    strict = CommandSink(Node("motion_of_another", context=ros_context), robot)
    wait_until(executor, lambda: strict.intruder(()) == topic)
    assert strict.intruder(("driver", "motion")) == ""
