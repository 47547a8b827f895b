# SPDX-License-Identifier: Apache-2.0
"""A double on the wire has the driver's habits, and our side copes with each of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState

from tests.ros_support import spinning, wait_until
from wam_ros.checks import check_dataset
from wam_ros.core.errors import ConfigError
from wam_ros.core.robot import Robot, Stream
from wam_ros.files.assets import load_robot
from wam_ros.files.dataset.declaration import read_declaration
from wam_ros.files.dataset.read import DatasetReader
from wam_ros.files.load import to_data
from wam_ros.nodes.double import Double
from wam_ros.nodes.recorder import RecorderNode
from wam_ros.ros.act import CommandSink
from wam_ros.ros.convert import stamp_to_ns
from wam_ros.ros.feedback import JointFeedback
from wam_ros.ros.observe import ObservationSource
from wam_ros.ros.qos import COMMAND, STATE

PICTURE = 24  # rows; pictures of full size take time and test nothing more


def standard(robot: Robot) -> Robot:
    """The robot with standard types instead of its vendor's, which are not installed everywhere."""

    def spoken(stream: Stream) -> Stream:
        return replace(stream, kind="joint_state", message="") if stream.message else stream

    def arm(a):
        return replace(
            a,
            state=spoken(a.state),
            command=spoken(a.command),
            gripper_state=spoken(a.gripper_state),
            gripper_command=spoken(a.gripper_command),
        )

    small = tuple(replace(c, height=PICTURE, width=2 * PICTURE) for c in robot.cameras)
    return replace(robot, arms=tuple(map(arm, robot.arms)), cameras=small)


class Side(Node):
    """Our side of the driver: commands out, feedback and observations in."""

    def __init__(self, context, robot: Robot) -> None:
        super().__init__("side", context=context)
        self.robot, self.seen = robot, []
        self.sink = CommandSink(self, robot)
        self.feedback = JointFeedback(self, robot, lambda: int(self.get_clock().now().nanoseconds))
        self.source = ObservationSource(self, robot, on_observation=self.seen.append)

    def stream(self, position: np.ndarray) -> None:
        self.sink.stream(position, int(self.get_clock().now().nanoseconds))

    def destroy_node(self) -> None:
        self.source.close()
        super().destroy_node()


def described(robot: Robot, folder) -> str:
    """Path of a file that describes it."""
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(to_data(robot)))
    return str(path)


@contextmanager
def opened(context, robot: Robot, folder, *others: Node):
    """A double of a robot, and other nodes, on one executor."""
    double = Double(context=context, parameter_overrides=[Parameter("robot", value=described(robot, folder))])
    with spinning(context, double, *others) as executor:
        yield double, executor


@contextmanager
def against(context, name: str, folder):
    """A double of a robot and our side of it."""
    robot = standard(load_robot(name))
    side = Side(context, robot)
    with opened(context, robot, folder, side) as (double, executor):
        wait_until(executor, lambda: bool(np.isfinite(side.feedback.position).all()))
        yield double, side, executor


def streamed_to(goal, side, executor, near=0.03):
    def there() -> bool:
        side.stream(goal)
        return bool(np.abs(side.feedback.position - goal)[:6].max() < near)

    wait_until(executor, there)


@pytest.fixture
def streamed(ros_context, tmp_path):
    with against(ros_context, "r1_lite", tmp_path) as parts:
        yield parts


@pytest.fixture
def latched(ros_context, tmp_path):
    with against(ros_context, "ac_one", tmp_path) as parts:
        yield parts


def test_one_that_moves_only_while_targets_stream_and_reads_blindly(capfd, streamed):
    double, side, executor = streamed
    assert "speaks as r1_lite does; look at it with: wam doctor --robot " in capfd.readouterr().err
    # Its stamps are empty; the time of arrival stands for them.
    wait_until(executor, lambda: any(seen.complete for seen in side.seen))
    assert list(side.seen[0].views) == [camera.name for camera in side.robot.cameras]
    assert side.feedback.position[6] == pytest.approx(1.018), "an open gripper reads beyond open"
    wait_until(executor, lambda: len(_reliabilities(side)) == 8)
    assert set(_reliabilities(side)) == {ReliabilityPolicy.BEST_EFFORT}
    said = _overheard(side, executor, STATE)
    assert {(*m.name, stamp_to_ns(m.header.stamp)) for m in said} == {("left", 0)}, "one word for all joints, no time"

    goal = np.array(side.robot.ready_position())
    goal[:2] += 0.1
    streamed_to(goal, side, executor)
    goal[:2] += 0.5
    side.stream(goal)
    start_ns = double._pace.now_ns
    wait_until(executor, lambda: double._pace.now_ns > start_ns + 800_000_000)
    assert np.abs(side.feedback.position - goal)[:2].max() > 0.2, "one target alone was followed to its end"

    rogue = side.create_publisher(JointState, side.robot.arms[0].command.topic, COMMAND)
    before = double._commands.refused
    wait_until(executor, lambda: rogue.get_subscription_count() > 0)

    def blindly_zero() -> bool:
        rogue.publish(JointState(position=[0.0], velocity=[1.5] * 6))
        return bool(abs(side.feedback.position[1]) < 1.2)

    wait_until(executor, blindly_zero)  # the missing five were read as zeros: why our side never sends fewer
    assert double._commands.refused > before


def test_one_that_keeps_the_last_target_for_ever_and_speaks_a_thousand_times_a_second(latched):
    double, side, executor = latched
    wait_until(executor, lambda: len(_reliabilities(side)) == 4)
    assert set(_reliabilities(side)) == {ReliabilityPolicy.RELIABLE}
    stamps = [stamp_to_ns(m.header.stamp) for m in _overheard(side, executor, QoSProfile(depth=1000))]
    assert np.diff(stamps).min() == 1_000_000
    heard = side.feedback
    updates = []
    heard._on_update = lambda: updates.append(heard.stamp_ns)
    wait_until(executor, lambda: len(updates) > 40)
    first = double._pace.now_ns
    updates.clear()
    wait_until(executor, lambda: double._pace.now_ns > first + 1_000_000_000)
    said = 2 * side.robot.arms[0].state.rate_hz
    assert 0 < len(updates) < 0.5 * said, "the newest is read at our pace, the rest is never taken"

    goal = np.array(side.robot.ready_position())
    goal[:6] -= 0.05
    streamed_to(goal, side, executor)
    goal[:6] -= 0.3
    side.stream(goal)
    wait_until(executor, lambda: bool(np.abs(heard.position - goal)[:6].max() < 0.03))
    wait_until(executor, lambda: any(seen.complete for seen in side.seen))


def test_one_draws_depth_for_listeners_only(latched):
    double, side, executor = latched
    names, head = [camera.name for camera in side.robot.cameras], side.robot.camera("head")
    assert not any(map(double._twin.wants_depth, names))
    heard = []
    side.create_subscription(Image, head.depth, heard.append, STATE)
    wait_until(executor, lambda: bool(heard))
    assert [name for name in names if double._twin.wants_depth(name)] == ["head"]
    assert (heard[0].height, heard[0].width) == (head.height, head.width)


@pytest.mark.parametrize(("name", "reads_open", "fps"), [("r1_lite", 101.8, 15), ("ac_one", -3.4, 30)])
def test_a_session_recorded_against_one_is_whole_and_in_the_vendors_parts_and_units(
    ros_context, tmp_path, name, reads_open, fps
):
    robot, root = standard(load_robot(name)), tmp_path / "set"
    given = {"robot": described(robot, tmp_path), "root": str(root), "codec": "h264"}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    recorder = RecorderNode(context=ros_context, parameter_overrides=overrides)
    with opened(ros_context, robot, tmp_path, recorder) as (_, executor):
        wait_until(executor, lambda: recorder._source.latest_joints() is not None)
        assert recorder._attempt(recorder._start)[0]
        wait_until(executor, lambda: int(recorder._session.figures()["rows"]) > 8)
        assert recorder._attempt(recorder._stop)[0]
        wait_until(executor, lambda: recorder._session.figures()["state"] == "IDLE")
    assert check_dataset(root, given["robot"], deep=True)[-1] == "good"
    assert read_declaration(root).layout.fps == fps
    (episode,) = DatasetReader(root)
    arm = robot.arms[0]
    np.testing.assert_allclose(episode.values("observation.state.left_arm"), [arm.ready_rad] * len(episode), atol=0.02)
    np.testing.assert_allclose(episode.values("observation.state.left_gripper"), reads_open, atol=0.1)
    np.testing.assert_allclose(episode.values("action.right_gripper"), reads_open, atol=0.1)
    assert set(episode.values("action_source")) == {"next_state"}, "nobody commands it"


def test_a_double_of_a_twin_is_refused(ros_context):
    with pytest.raises(ConfigError, match="needs no double"):
        Double(context=ros_context, parameter_overrides=[Parameter("robot", value="sim_r1_lite")])


def _overheard(side: Side, executor, qos: QoSProfile) -> list[JointState]:
    """Some messages of the first arm, as they come."""
    said: list[JointState] = []
    ear = side.create_subscription(JointState, side.robot.arms[0].state.topic, said.append, qos)
    wait_until(executor, lambda: len(said) > 10)
    side.destroy_subscription(ear)
    return said


def _reliabilities(side: Side) -> list[ReliabilityPolicy]:
    """Of the driver's ends: feedback that it sends, commands that it hears."""
    sent = {stream.topic for arm in side.robot.arms for stream in (arm.state, arm.gripper_state)}
    heard = {stream.topic for arm in side.robot.arms for stream in (arm.command, arm.gripper_command)}
    ends = [end for topic in sent for end in side.get_publishers_info_by_topic(topic)]
    ends += [end for topic in heard for end in side.get_subscriptions_info_by_topic(topic)]
    return [end.qos_profile.reliability for end in ends]
