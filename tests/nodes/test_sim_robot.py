# SPDX-License-Identifier: Apache-2.0
"""The twin on the wire: it must look like the driver, in both paces."""

from __future__ import annotations

import gc
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
import itertools

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import SetBool, Trigger

from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import ConfigError, MissingDependencyError
from wam_ros.core.joint_topics import command_topics, feedback_topics
from wam_ros.files.load import to_data
from wam_ros.nodes.sim_robot import SimRobot
from wam_ros.ros.convert import depth_from_msg, ns_to_stamp, stamp_to_ns
from wam_ros.ros.lockstep import Member, Token
from wam_ros.ros.qos import COMMAND, EVENT, SENSOR, STATE
from wam_ros.ros.status import read_values

TOWEL = {"robot": "sim_r1_lite", "task": "towel_fold"}


def twin(context, **params) -> SimRobot:
    overrides = [Parameter(name, value=value) for name, value in {**TOWEL, **params}.items()]
    try:
        return SimRobot(context=context, parameter_overrides=overrides)
    except MissingDependencyError as error:
        pytest.skip(str(error))


class Watcher(Node):
    """Hears every topic of the twin, and can call its services."""

    def __init__(self, context, robot) -> None:
        super().__init__("watcher", context=context)
        self.robot = robot
        self.heard = defaultdict(list)
        for camera in robot.cameras:
            self._hear(Image, camera.color, SENSOR)
            self._hear(Image, camera.depth, SENSOR)
            self._hear(CameraInfo, camera.info, SENSOR)
        for topic in feedback_topics(robot):
            self._hear(JointState, topic.stream.topic, STATE)
        self._hear(Clock, "/clock", STATE)
        self._hear(JointState, "sim/truth", EVENT)
        self._hear(DiagnosticStatus, "sim/judge", EVENT)
        self.commands = {
            t.name: (t, self.create_publisher(JointState, t.stream.topic, COMMAND)) for t in command_topics(robot)
        }
        self.reset = self.create_client(Trigger, "sim/reset")
        self.play = self.create_client(SetBool, "sim/play")

    def _hear(self, kind, topic, qos) -> None:
        self.create_subscription(kind, topic, self.heard[topic].append, qos)

    def call(self, executor, client, request):
        wait_until(executor, client.service_is_ready)
        future = client.call_async(request)
        wait_until(executor, future.done)
        assert future.result().success
        return future.result()

    def send(self, position: np.ndarray, stamp_ns: int) -> None:
        """Command all joints, at most 1 rad/s."""
        for topic, publisher in self.commands.values():
            message = JointState(position=topic.to_native(position).tolist(), velocity=[1.0] * len(topic.joints))
            message.header.stamp = ns_to_stamp(stamp_ns)
            publisher.publish(message)

    def arm_state(self) -> np.ndarray:
        """(J,) newest feedback in robot order."""
        out = np.full(len(self.robot.joint_names), np.nan)
        for topic in feedback_topics(self.robot):
            if self.heard[topic.stream.topic]:
                out[topic.columns] = topic.from_native(self.heard[topic.stream.topic][-1].position)
        return out

    def everything(self) -> bool:
        return all(self.heard.values())

    def stamps_ns(self, topic: str) -> list[int]:
        return [stamp_to_ns(m.header.stamp) for m in self.heard[topic]]


@pytest.fixture
def realtime(ros_context, robot):
    node, watcher = twin(ros_context), Watcher(ros_context, robot)
    with spinning(ros_context, node, watcher) as executor:
        wait_until(executor, watcher.everything)
        yield node, watcher, executor


def test_it_speaks_the_drivers_topics_in_the_drivers_units(realtime, robot):
    _, watcher, _ = realtime
    for camera in robot.cameras:
        color, depth, info = (watcher.heard[topic][0] for topic in (camera.color, camera.depth, camera.info))
        assert (color.encoding, color.height, color.width) == ("rgb8", camera.height, camera.width)
        assert (depth.encoding, depth.height, depth.width) == ("16UC1", camera.height, camera.width)
        assert color.header.stamp == depth.header.stamp == info.header.stamp
        assert color.header.frame_id == camera.frame
        assert info.k[2] == pytest.approx(camera.width / 2, abs=1)
        assert np.frombuffer(color.data, np.uint8).std() > 5, "a picture of nothing"
        assert 0.05 < np.median(depth_from_msg(depth)) < 3
    arm = robot.arms[0]
    assert watcher.heard[arm.state.topic][0].name == [arm.name], "the driver sends one placeholder for all joints"
    assert len(watcher.heard[arm.state.topic][0].position) == len(arm.joints)
    assert watcher.heard[arm.gripper_state.topic][0].position[0] == pytest.approx(arm.gripper.open_native, abs=2)


def test_a_paused_robot_stands_still_while_its_stamps_go_on(realtime, robot):
    _, watcher, executor = realtime
    topic = robot.arms[0].state.topic
    wait_until(executor, lambda: len(watcher.heard[topic]) > 60)
    stamps = watcher.stamps_ns(topic)
    assert all(b > a for a, b in itertools.pairwise(stamps))
    positions = np.array([m.position for m in watcher.heard[topic]])
    assert (positions == positions[0]).all()


def test_streamed_targets_move_an_arm_and_silence_stops_it(realtime, robot):
    _, watcher, executor = realtime
    watcher.call(executor, watcher.play, SetBool.Request(data=True))
    goal = robot.ready_position() + np.where(robot.gripper_mask, 0.0, 0.15)

    def streamed_there() -> bool:
        watcher.send(goal, 0)
        return bool(np.abs(watcher.arm_state() - goal).max() < 0.05)

    wait_until(executor, streamed_there)
    for topic, publisher in watcher.commands.values():
        publisher.publish(
            JointState(position=topic.to_native(robot.ready_position()).tolist(), velocity=[0.1] * len(topic.joints))
        )
    # One single target at 0.1 rad/s counts for 0.2 s: the arms move 0.02 rad, then stay.
    count = len(watcher.heard[robot.arms[0].state.topic])
    wait_until(executor, lambda: len(watcher.heard[robot.arms[0].state.topic]) > count + 100)
    assert np.abs(watcher.arm_state() - goal)[~np.array(robot.gripper_mask)].max() < 0.08


def test_a_gripper_moves_no_faster_than_it_can(realtime, robot):
    _, watcher, executor = realtime
    watcher.call(executor, watcher.play, SetBool.Request(data=True))
    column = robot.joint_names.index(robot.arms[0].gripper.joint)
    closed = np.where(robot.gripper_mask, 0.0, robot.ready_position())
    topic = robot.arms[0].gripper_state.topic
    watcher.heard[topic].clear()

    def closing() -> bool:
        watcher.send(closed, 0)
        return bool(watcher.arm_state()[column] < 0.1)

    wait_until(executor, closing)
    heard = watcher.heard[topic]
    openings = np.array([robot.arms[0].gripper.from_native(m.position[0]) for m in heard])
    seconds = np.array([stamp_to_ns(m.header.stamp) for m in heard]) / 1e9
    falling = (openings < 0.9) & (openings > 0.2)
    fastest = np.polyfit(seconds[falling] - seconds[0], openings[falling], 1)[0]
    assert -1.3 * robot.arms[0].gripper.speed_1_s < fastest < 0


@pytest.mark.parametrize(
    "bad",
    [
        JointState(position=[0.0] * 3, velocity=[1.0] * 3),
        JointState(position=[0.0] * 6),
        JointState(position=[0.0] * 6, velocity=[0.0] * 6),
        JointState(position=[float("nan")] * 6, velocity=[1.0] * 6),
    ],
    ids=["short", "no speeds", "zero speeds", "nan"],
)
def test_a_malformed_command_is_refused_and_counted(ros_context, robot, bad):
    node, watcher = twin(ros_context), Watcher(ros_context, robot)
    with spinning(ros_context, node, watcher) as executor:
        _, publisher = watcher.commands[robot.arms[0].name]
        wait_until(executor, lambda: publisher.get_subscription_count() == 1)
        publisher.publish(bad)
        wait_until(executor, lambda: node._read()[2]["commands_refused"] == 1)
        watcher.call(executor, watcher.play, SetBool.Request(data=True))
        heard = watcher.heard[robot.arms[0].state.topic]
        wait_until(executor, lambda: len(heard) > 60)
    assert np.allclose(heard[-1].position, robot.arms[0].ready_rad, atol=0.03)


class Graph:
    """Stands in for policy, motion and safety: a member that moves the arms a little each tick."""

    def __init__(self, watcher: Watcher, last: int | None = None) -> None:
        self.ticks: list[Token] = []
        self._watcher, self._last = watcher, last
        self._ready = watcher.robot.ready_position()
        Member(watcher, "graph", "sim_robot", ready=self._complete, act=self._act)

    def _complete(self, token: Token) -> bool:
        cameras, arms = self._watcher.robot.cameras, feedback_topics(self._watcher.robot)
        pictured = all(self._newest(c.color) >= token.needed_ns for c in cameras)
        go_on = len(self.ticks) != self._last
        return go_on and pictured and all(self._newest(t.stream.topic) >= token.time_ns for t in arms)

    def _newest(self, topic: str) -> int:
        heard = self._watcher.heard[topic]
        return stamp_to_ns(heard[-1].header.stamp) if heard else -1

    def _act(self, token: Token) -> int:
        self.ticks.append(token)
        swing = 0.2 * np.sin(len(self.ticks) / 20)
        self._watcher.send(self._ready + np.where(self._watcher.robot.gripper_mask, 0.0, swing), token.time_ns)
        return token.time_ns


def lockstep_run(context, robot, ticks: int, seed: int = 3):
    """Every sensor message of some rounds after a reset, without duplicates, and the graph's tokens."""
    node, watcher = twin(context, pace="lockstep", lockstep_after="graph", seed=seed), Watcher(context, robot)
    graph = Graph(watcher)
    with spinning(context, node, watcher) as executor:
        wait_until(executor, watcher.everything)
        watcher.call(executor, watcher.reset, Trigger.Request())
        watcher.call(executor, watcher.play, SetBool.Request(data=True))
        wait_until(executor, lambda: len(graph.ticks) >= ticks)
        watcher.call(executor, watcher.play, SetBool.Request(data=False))
    return watcher, graph


def test_the_same_seed_gives_bit_equal_sensors_in_lockstep(ros_context, robot):
    runs = []
    for _ in range(2):
        watcher, graph = lockstep_run(ros_context, robot, ticks=30)
        end_ns = graph.ticks[29].time_ns
        runs.append(
            {
                (topic, stamp_to_ns(m.header.stamp)): bytes(m.data) if hasattr(m, "data") else tuple(m.position)
                for topic in [c.color for c in robot.cameras] + [t.stream.topic for t in feedback_topics(robot)]
                for m in watcher.heard[topic]
                if stamp_to_ns(m.header.stamp) <= end_ns
            }
        )
    assert runs[0] == runs[1]
    assert len({data for (topic, _), data in runs[0].items() if topic == robot.cameras[0].color}) > 3, "nothing moved"


def test_in_lockstep_each_round_is_ten_milliseconds_and_two_steps(ros_context, robot):
    watcher, graph = lockstep_run(ros_context, robot, ticks=20)
    times = [token.time_ns for token in graph.ticks[:20]]
    assert np.diff(times).tolist() == [10_000_000] * 19
    joints = sorted(set(watcher.stamps_ns(robot.arms[0].state.topic)))
    played = [s for s in joints if times[0] <= s <= times[-1]]
    assert np.diff(played).tolist() == [5_000_000] * (len(played) - 1)
    assert watcher.heard["sim/judge"]
    assert set(watcher.stamps_ns("sim/truth")) == set(watcher.stamps_ns(robot.camera(robot.leader_camera).color))


def test_paused_lockstep_time_stands_still_and_its_sensors_are_said_again(ros_context, robot):
    node, watcher = twin(ros_context, pace="lockstep", lockstep_after="graph"), Watcher(ros_context, robot)
    color = robot.cameras[0].color
    with spinning(ros_context, node, watcher) as executor:
        wait_until(executor, lambda: watcher.everything() and len(watcher.heard[color]) >= 3)
        assert len(set(watcher.stamps_ns(color))) == 1
        before = watcher.stamps_ns(color)[0]
        watcher.call(executor, watcher.reset, Trigger.Request())
        wait_until(executor, lambda: watcher.stamps_ns(color)[-1] > before)


def test_what_attempts_show_in_lockstep_lies_too_far_apart_to_be_brought_to_one_time(ros_context, robot):
    node, watcher = twin(ros_context, pace="lockstep", lockstep_after="graph"), Watcher(ros_context, robot)
    graph = Graph(watcher, last=14)  # the newest picture is 10 ms old then
    topics = ["sim/truth", *(camera.color for camera in robot.cameras)]
    with spinning(ros_context, node, watcher) as executor:
        wait_until(executor, watcher.everything)
        watcher.call(executor, watcher.play, SetBool.Request(data=True))
        wait_until(executor, lambda: len(graph.ticks) == 14)
        end_ns = graph.ticks[-1].time_ns
        watcher.call(executor, watcher.reset, Trigger.Request())
        wait_until(executor, lambda: all(watcher.stamps_ns(topic)[-1] > end_ns for topic in topics))
    believed_ns = 1e9 * max(camera.max_skew_s for camera in robot.cameras)
    for topic in topics:
        stamps = watcher.stamps_ns(topic)
        assert min(s for s in stamps if s > end_ns) - max(s for s in stamps if s <= end_ns) > believed_ns


def test_a_reset_makes_the_next_attempt_only_after_one_was_played(realtime):
    _, watcher, executor = realtime
    judged = watcher.heard["sim/judge"]
    assert watcher.call(executor, watcher.reset, Trigger.Request()).message == "attempt 0, seed 0"
    watcher.call(executor, watcher.play, SetBool.Request(data=True))
    assert watcher.call(executor, watcher.reset, Trigger.Request()).message == "attempt 1, seed 1"
    wait_until(executor, lambda: read_values(judged[-1])["attempt"] == "1")
    assert {"progress", "success", "grasped"} <= set(read_values(judged[-1]))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"pace": "fast"}, "expected realtime or lockstep, got fast"),
        ({"pace": "lockstep"}, "lockstep_after"),
        ({"lockstep_after": "safety"}, "lockstep_after"),
        ({"robot": "no_such_robot"}, "no_such_robot"),
    ],
)
def test_a_wrong_parameter_is_one_sentence(ros_context, params, said):
    with pytest.raises(ConfigError, match=said):
        twin(ros_context, **params)


def test_cameras_of_different_rates_are_refused_in_lockstep(ros_context, robot, tmp_path):
    first, *others = robot.cameras
    uneven = replace(robot, cameras=(replace(first, rate_hz=30.0), *others))
    path = tmp_path / "uneven.yaml"
    path.write_text(yaml.safe_dump(to_data(uneven)))
    other = twin(ros_context)
    before = other._twin.world.render(first.name)[0]
    with pytest.raises(ConfigError, match="one rate_hz, got"):
        twin(ros_context, robot=str(path), pace="lockstep", lockstep_after="safety")
    gc.collect()
    # A renderer that is left behind frees its textures in whatever context is current then.
    assert np.array_equal(other._twin.world.render(first.name)[0], before)
    other.destroy_node()
