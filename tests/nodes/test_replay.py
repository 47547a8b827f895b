# SPDX-License-Identifier: Apache-2.0
"""A recorded episode on the wire again: what a policy node sees is what was recorded, to the last bit."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")

from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from tests.ros_support import spinning, wait_until
from tests.unit.dataset_support import record, small, small_layout
from wam_ros.core.errors import ConfigError, DatasetError
from wam_ros.core.joint_topics import feedback_topics
from wam_ros.files.archive import ArchiveWriter, Message
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.read import DatasetReader
from wam_ros.files.dataset.video import H264
from wam_ros.files.load import to_data
from wam_ros.nodes.replay import Replay
from wam_ros.ros.convert import ns_to_stamp
from wam_ros.ros.lockstep import Member
from wam_ros.ros.observe import ObservationSource
from wam_ros.ros.qos import LATCHED, STATE

ROWS = 12


@pytest.fixture(scope="module")
def twin(robot):
    return small(robot)


@pytest.fixture(scope="module")
def root(twin, tmp_path_factory):
    """A dataset of one episode, whose grippers' openings survive the driver's unit."""
    place = tmp_path_factory.mktemp("replay") / "set"
    dataset = Dataset(place, small_layout(twin), twin, H264)
    record(dataset, twin, small_layout(twin), ROWS, success="success")
    dataset.release()
    return place


def apart(robot, prefix):
    """The same robot with topics that nobody else speaks or hears."""

    def moved(stream):
        return replace(stream, topic=f"/{prefix}{stream.topic}")

    arms = [replace(a, state=moved(a.state), gripper_state=moved(a.gripper_state)) for a in robot.arms]
    cameras = [
        replace(c, color=f"/{prefix}{c.color}", depth=f"/{prefix}{c.depth}" if c.depth else "") for c in robot.cameras
    ]
    return replace(robot, arms=tuple(arms), cameras=tuple(cameras))


def described(robot, tmp_path):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump(to_data(robot)))
    return str(path)


def make(context, root, robot_file, **given):
    given = {"robot": robot_file, "dataset": str(root), **given}
    return Replay(context=context, parameter_overrides=[Parameter(n, value=v) for n, v in given.items()])


class Listener(Node):
    """What the policy node has of its source and its place in the ring."""

    def __init__(self, robot, context, after=""):
        overrides = [Parameter("use_sim_time", value=True)]
        super().__init__("policy", context=context, parameter_overrides=overrides)
        self.seen, self.times, self.instructions, self.tokens = [], [], [], []
        self.source = ObservationSource(self, robot, on_observation=self.seen.append, on_arrival=self._look)
        self.create_subscription(Clock, "/clock", lambda msg: self.times.append(msg.clock), STATE)
        self.create_subscription(String, "instruction", lambda msg: self.instructions.append(msg.data), LATCHED)
        self.ring = Member(self, "policy", after, ready=self._ready, act=self._act) if after else None

    def _look(self):
        if self.ring is not None:
            self.ring.check()

    def _ready(self, token):
        return self.source.joints_stamp_ns >= token.time_ns and self.source.images_stamp_ns >= token.needed_ns

    def _act(self, token):
        self.tokens.append(token)
        return 0

    def destroy_node(self):
        self.source.close()
        super().destroy_node()


def spun_out(executor, replay):
    """Spin until the replay ends its process."""
    with pytest.raises(ExternalShutdownException):
        wait_until(executor, lambda: False)
    assert replay.over


def assert_equal(seen, recording):
    pictures = {camera: list(recording.pictures(camera)) for camera in recording.cameras}
    stamps, skews = recording.values("stamp_ns"), recording.values("skew")
    rows = {int(stamp_ns): row for row, stamp_ns in enumerate(stamps)}
    assert [rows[observation.stamp_ns] for observation in seen] == sorted(rows[o.stamp_ns] for o in seen)
    for observation in seen:
        row = rows[observation.stamp_ns]
        assert observation.complete
        np.testing.assert_array_equal(observation.joints.position, recording.states[row])
        for place, (camera, view) in enumerate(observation.views.items()):
            np.testing.assert_array_equal(view.color, pictures[camera][row])
            assert view.skew_ns == round(float(skews[row, place]) * 1e9)


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_in_lockstep_the_policys_observations_are_the_recorded_rows_to_the_last_bit(
    ros_context, twin, root, tmp_path, transport
):
    cameras = tuple(replace(c, transport=transport, depth="") for c in twin.cameras)
    robot = apart(replace(twin, cameras=cameras), transport)
    listener = Listener(robot, ros_context, after="replay")
    replay = make(ros_context, root, described(robot, tmp_path), pace="lockstep", lockstep_after="policy")
    with spinning(ros_context, listener, replay) as executor:
        spun_out(executor, replay)
        (recording,) = DatasetReader(root)
        assert len(listener.seen) == ROWS
        assert_equal(listener.seen, recording)
        assert [token.time_ns for token in listener.tokens[1:]] == recording.values("stamp_ns")[1:].tolist()
        assert listener.instructions == ["fold"]


def test_joints_of_the_archive_come_as_the_driver_sent_them(ros_context, twin, root, tmp_path):
    robot = apart(twin, "archived")
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    (recording,) = DatasetReader(copy)
    stamps = recording.values("stamp_ns")
    recording.archive.mkdir(parents=True, exist_ok=True)
    writer = ArchiveWriter(recording.archive / "archive_0.mcap")
    for stamp_ns in range(int(stamps[0]) - 5_000_000, int(stamps[-1]) + 6_000_000, 5_000_000):
        for topic in feedback_topics(robot):
            position = topic.to_native(np.full(14, (stamp_ns - int(stamps[0])) / 1e9))
            message = JointState(name=["placeholder"], position=position.tolist())
            message.header.stamp = ns_to_stamp(stamp_ns)
            data = serialize_message(message)
            writer.write(Message(topic.stream.topic, "sensor_msgs/msg/JointState", data, stamp_ns, stamp_ns))
    writer.close()
    listener = Listener(robot, ros_context, after="replay")
    replay = make(ros_context, copy, described(robot, tmp_path), pace="lockstep", lockstep_after="policy")
    with spinning(ros_context, listener, replay) as executor:
        spun_out(executor, replay)
        assert [o.stamp_ns for o in listener.seen] == stamps.tolist()
        for observation in listener.seen:
            expected = np.full(14, (observation.stamp_ns - int(stamps[0])) / 1e9)
            np.testing.assert_allclose(observation.joints.position, expected, atol=1e-9)
        steps = np.diff([token.time_ns for token in listener.tokens])
        assert set(steps[1:-2]) == {10_000_000}


def test_at_the_real_pace_clock_and_observations_follow_the_recording(ros_context, twin, root, tmp_path):
    robot = apart(twin, "real_pace")
    listener = Listener(robot, ros_context)
    replay = make(ros_context, root, described(robot, tmp_path))
    with spinning(ros_context, listener, replay) as executor:
        spun_out(executor, replay)
        (recording,) = DatasetReader(root)
        assert listener.seen
        assert_equal(listener.seen, recording)
        times = [t.sec * 10**9 + t.nanosec for t in listener.times]
        assert times == sorted(times)
        assert times[-1] >= recording.values("stamp_ns")[-1]


def test_it_waits_for_a_listener_and_refuses_to_speak_beside_a_driver(ros_context, twin, root, tmp_path):
    robot = apart(twin, "alone")
    replay = make(ros_context, root, described(robot, tmp_path))
    driver = Node("driver", context=ros_context)
    topic = feedback_topics(robot)[0].stream.topic
    driver.create_publisher(JointState, topic, STATE)
    times = []
    driver.create_subscription(Clock, "/clock", lambda msg: times.append(msg.clock), STATE)
    with spinning(ros_context, replay, driver) as executor:
        wait_until(executor, lambda: len(times) > 20)
        assert len({(t.sec, t.nanosec) for t in times}) == 1
        assert not replay.over
        listener = Listener(robot, ros_context)
        executor.add_node(listener)
        with pytest.raises(ConfigError, match=f"replay: expected nobody else on {topic}"):
            wait_until(executor, lambda: False)
        listener.destroy_node()


def test_what_does_not_fit_is_refused_in_a_sentence(ros_context, robot, twin, root, tmp_path):
    swapped = replace(twin, arms=(twin.arms[1], twin.arms[0]))
    slower = replace(twin, cameras=tuple(replace(c, rate_hz=10.0) for c in twin.cameras))
    for given, sentence in (
        ({"robot_file": described(robot, tmp_path)}, "camera head: expected 320x240 at 15 Hz, got 64x48 at 15 Hz"),
        ({"robot_file": described(slower, tmp_path)}, "camera head: expected 64x48 at 10 Hz, got 64x48 at 15 Hz"),
        ({"robot_file": described(replace(twin, name="other"), tmp_path)}, "robot: expected other"),
        ({"robot_file": described(swapped, tmp_path)}, "joints of the state: expected"),
        ({"robot_file": described(twin, tmp_path), "episode": 1}, "episode: expected 0 to 0, got 1"),
    ):
        with pytest.raises(DatasetError, match=sentence):
            make(ros_context, root, **given)
    with pytest.raises(ConfigError, match="replay: lockstep_after: expected"):
        make(ros_context, root, described(twin, tmp_path), pace="lockstep")
    with pytest.raises(ConfigError, match="replay: pace: expected"):
        make(ros_context, root, described(twin, tmp_path), pace="slow")
