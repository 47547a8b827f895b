# SPDX-License-Identifier: Apache-2.0
"""The recorder on the wire: a driver's topics in, a dataset out, and the same observations when they are replayed."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from tests.nodes.test_observe import MS, Driver
from tests.ros_support import spinning, wait_until
from tests.unit.dataset_support import FPS, HEIGHT, PERIOD_NS, WIDTH, small
from wam_ros.core.errors import ConfigError
from wam_ros.core.joint_topics import feedback_topics
from wam_ros.core.policy import Cell, Mosaic
from wam_ros.core.stitch import stitch
from wam_ros.core.types import Chunk, Trajectory
from wam_ros.files.archive import read_messages
from wam_ros.files.dataset.check import examine
from wam_ros.files.dataset.read import DatasetReader
from wam_ros.files.load import to_data
from wam_ros.nodes.recorder import RecorderNode
from wam_ros.ros.convert import chunk_to_msg, image_to_msg, ns_to_stamp, trajectory_to_msg
from wam_ros.ros.observe import ObservationSource
from wam_ros.ros.qos import COMMAND, EVENT, LATCHED, SENSOR, STATE
from wam_ros.ros.status import find_status, read_values
from wam_ros.vision.resize import resize

TASK = {"task": "towel_fold", "codec": "h264"}


@pytest.fixture
def twin(robot):
    return small(robot)


@pytest.fixture
def description(twin, tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(to_data(twin)))
    return path


class Operator(Driver):
    """A driver whose time moves when it says so, and the person who records it."""

    def __init__(self, robot, context):
        super().__init__(robot, context)
        kinds = {"start": Trigger, "stop": Trigger, "discard": Trigger, "mark": SetBool}
        self.clients_of = {name: self.create_client(kind, f"record/{name}") for name, kind in kinds.items()}
        self.chunks = self.create_publisher(JointTrajectory, "policy/chunk", COMMAND)
        self.commits = self.create_publisher(JointTrajectory, "motion/committed", COMMAND)
        self.instructions = self.create_publisher(String, "instruction", LATCHED)
        self.controls = self.create_publisher(String, "control/source", LATCHED)
        self.clock_port = self.create_publisher(Clock, "/clock", STATE)
        self.time_ns = 100 * PERIOD_NS
        self.status = {}
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)

    def _on_diagnostics(self, array):
        status = find_status(array, "wam/recorder")
        if status is not None:
            self.status = read_values(status)

    def now_ns(self):
        return self.time_ns

    def send_depth(self, stamp_ns, depth_mm):
        camera = self.robot.cameras[0]
        image = np.full((camera.height, camera.width), depth_mm, np.uint16)
        self.depths[camera.name].publish(image_to_msg(image, "16UC1", stamp_ns, camera.frame))

    def texture(self, stamp_ns, number):
        """A picture that no other moment or camera has."""
        rng = np.random.default_rng(stamp_ns % 2**32 + number)
        return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)

    def send_moment(self, stamp_ns, value, *, but=()):
        """Everything a robot says in one period."""
        self.send_joints(stamp_ns - 3 * MS, np.full(14, value - 0.003))
        self.send_joints(stamp_ns + 2 * MS, np.full(14, value + 0.002))
        self.send_depth(stamp_ns, 1000)
        for number, camera in enumerate(self.robot.cameras):
            if camera.name not in but:
                image = image_to_msg(self.texture(stamp_ns, number), "rgb8", stamp_ns, camera.frame)
                self.cameras[camera.name].publish(image)


class Scene:
    def __init__(self, recorder, operator, executor, root):
        self.recorder, self.operator, self.executor, self.root = recorder, operator, executor, root
        self.moments = 0

    def call(self, name, **request):
        client = self.operator.clients_of[name]
        wait_until(self.executor, client.service_is_ready)
        future = client.call_async(client.srv_type.Request(**request))
        wait_until(self.executor, future.done)
        return future.result()

    def until_status(self, **wanted):
        wait_until(self.executor, lambda: wanted.items() <= self.operator.status.items())

    def advance(self, time_ns):
        """Let time be that; the clock is best effort, so it is said until it has been heard."""
        self.operator.time_ns = max(self.operator.time_ns, time_ns)

        def heard():
            self.operator.clock_port.publish(Clock(clock=ns_to_stamp(self.operator.time_ns)))
            return self.recorder.get_clock().now().nanoseconds >= self.operator.time_ns

        wait_until(self.executor, heard)

    def send(self, count, start_ns, *, but=()):
        """Send moments at their time, each when the one before has arrived; time rests until it has."""
        source = self.recorder._source
        for i in range(count):
            stamp_ns = start_ns + i * PERIOD_NS
            self.advance(stamp_ns + 2 * MS)
            self.operator.send_moment(stamp_ns, 0.2 + i / 100, but=but)
            arrived = [c.name for c in self.operator.robot.cameras if c.name not in but]
            wait_until(
                self.executor,
                lambda at=stamp_ns, names=arrived: (
                    source.joints_stamp_ns >= at + 2 * MS
                    and all(source.image_stamp_ns(name) == at for name in names)
                    and source._newest_ns("head/depth") == at
                ),
            )

    def recordings(self):
        assert not examine(self.root, deep=True).problems
        return list(DatasetReader(self.root))


@pytest.fixture
def make(ros_context, twin, description, tmp_path):
    @contextmanager
    def make_(**params):
        root = tmp_path / "set"
        given = {"robot": str(description), "root": str(root), "use_sim_time": True, **TASK, **params}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        recorder = RecorderNode(context=ros_context, parameter_overrides=overrides)
        operator = Operator(twin, ros_context)
        with spinning(ros_context, recorder, operator) as executor:
            ports = [*operator.cameras.values(), *operator.joints.values(), operator.commits, operator.chunks]
            wait_until(executor, lambda: all(port.get_subscription_count() for port in ports))
            wait_until(executor, lambda: operator.depths["head"].get_subscription_count() > 0)
            scene = Scene(recorder, operator, executor, root)
            scene.advance(operator.time_ns)
            yield scene

    return make_


def test_an_episode_is_recorded_row_by_row(make):
    with make() as scene:
        start_ns = scene.operator.now_ns()
        reply = scene.call("start")
        assert reply.success, reply.message
        scene.send(12, start_ns)
        assert scene.call("mark", data=True).success
        assert "12 rows" in scene.call("stop").message
        scene.until_status(state="IDLE", episodes="1")
        assert float(scene.operator.status["save_s"]) < 5
        (recording,) = scene.recordings()
    assert len(recording) == 12
    np.testing.assert_allclose(recording.states, [[0.2 + i / 100] * 14 for i in range(12)], atol=1e-6)
    np.testing.assert_array_equal(recording.values("stamp_ns"), start_ns + np.arange(12) * PERIOD_NS)
    assert recording.values("complete").all()
    assert recording.instructions == ["Fold the towel in half."] * 12
    assert recording.described.success == "success"
    assert {picture.max() for picture in recording.archived_depths("head")} == {1000}
    streams = recording.described.ledger["streams"]
    assert [streams[name]["count"] for name in ("head", "left_wrist", "right_wrist")] == [12] * 3
    assert [streams[name]["lost"] for name in ("head", "left_wrist", "right_wrist")] == [0] * 3
    assert streams["joints/left"]["count"] == 24
    archived = list(read_messages(recording.archive / "archive_0.mcap"))
    assert sum(m.topic == scene.operator.topics["left"].stream.topic for m in archived) == 24


def test_a_pre_roll_begins_the_archive_too_with_what_was_said_before_it(make):
    with make(preroll_s=0.5) as scene:
        scene.operator.instructions.publish(String(data="Fold it again."))
        wait_until(scene.executor, lambda: scene.recorder._session.rows.instruction == "Fold it again.")
        start_ns = scene.operator.now_ns()
        scene.send(15, start_ns)
        scene.call("start")
        scene.send(2, start_ns + 15 * PERIOD_NS)
        scene.call("stop")
        scene.until_status(state="IDLE", episodes="1")
        (recording,) = scene.recordings()
    stamps_ns = recording.values("stamp_ns")
    archived = list(read_messages(recording.archive / "archive_0.mcap"))
    joints = [m.stamp_ns for m in archived if m.topic == scene.operator.topics["left"].stream.topic]
    assert len(recording) in (9, 10), "half a second at 15 Hz, and two rows"
    assert stamps_ns[0] - PERIOD_NS < joints[0] <= stamps_ns[1]
    assert len(joints) in range(2 * len(recording) - 2, 2 * len(recording) + 2)
    assert [m.log_ns <= joints[0] for m in archived if m.topic == "/instruction"] == [True]


def test_recorded_and_replayed_observations_are_equal_to_the_last_bit(make, ros_context, twin):
    """What the recorder and the policy see of the same messages is the same, and the archive holds those messages."""
    with make(archive_pictures=True) as scene:
        live = []
        observe = scene.recorder._session.observe
        scene.recorder._source._on_observation = lambda seen: (live.append(seen), observe(seen))
        start_ns = scene.operator.now_ns()
        scene.call("start")
        scene.send(10, start_ns)
        scene.call("stop")
        scene.until_status(state="IDLE", episodes="1")
        (recording,) = scene.recordings()
    replayed = replay(recording.archive / "archive_0.mcap", twin, ros_context)
    assert [o.stamp_ns for o in replayed] == [o.stamp_ns for o in live] == recording.values("stamp_ns").tolist()
    cells = (Cell("head", 0, 0, 32, 40), Cell("left_wrist", 32, 0, 16, 20), Cell("right_wrist", 32, 20, 16, 20))
    mosaic = Mosaic(48, 40, cells)
    for number, (now, then) in enumerate(zip(replayed, live, strict=True)):
        np.testing.assert_array_equal(now.joints.position, then.joints.position)
        np.testing.assert_array_equal(recording.states[number], np.float32(then.joints.position))
        for name, view in then.views.items():
            np.testing.assert_array_equal(now.views[name].color, view.color)
            assert (now.views[name].stamp_ns, now.views[name].skew_ns) == (view.stamp_ns, view.skew_ns)
        np.testing.assert_array_equal(now.views["head"].depth_m, then.views["head"].depth_m)
        pair = [stitch(mosaic, {n: v.color for n, v in o.views.items()}, resize) for o in (now, then)]
        np.testing.assert_array_equal(*pair)


def replay(path, robot, context):
    """Publish an archive message by message, each when the one before has been taken in."""
    seen, taken = [], []
    waiting = [Parameter("use_sim_time", value=True)]  # and nobody says what time it is
    listener, player = Node("policy", context=context, parameter_overrides=waiting), Node("player", context=context)
    with spinning(context, listener, player) as executor:
        source = ObservationSource(
            listener, robot, on_observation=seen.append, with_depth=True, on_sample=lambda *_: taken.append(1)
        )
        pictures = {t for c in robot.cameras for t in (c.color, c.depth) if t}
        joints = {t.stream.topic for t in feedback_topics(robot)}
        ports = {}
        for topic in sorted(pictures | joints):
            kind, qos = (Image, SENSOR) if topic in pictures else (JointState, STATE)
            ports[topic] = player.create_publisher(kind, topic, qos)
        wait_until(executor, lambda: all(port.get_subscription_count() for port in ports.values()))
        for message in read_messages(path):
            if message.topic in ports:
                before = len(taken)
                ports[message.topic].publish(message.data)
                wait_until(executor, lambda before=before: len(taken) > before)
        wait_until(executor, lambda: len(seen) == 10)
        source.close()
    return seen


def test_the_action_is_what_motion_commits_to_and_the_request_stands_beside_it(make, twin):
    with make() as scene:
        start_ns = scene.operator.now_ns()
        scene.call("start")
        times = tuple(start_ns + i * PERIOD_NS for i in range(8))
        positions = np.tile(np.arange(8.0)[:, None] / 10, (1, 14))
        zeros = np.zeros((8, 14))
        scene.operator.commits.publish(trajectory_to_msg(Trajectory(twin.joint_names, times, positions, zeros)))
        rows = np.tile(np.array([[0.5], [0.6], [0.7]]), (1, 14))
        scene.operator.chunks.publish(chunk_to_msg(Chunk.at_rate(start_ns, twin.joint_names, rows, FPS)))
        maker = scene.recorder._session.rows
        wait_until(scene.executor, lambda: maker._committed and maker._chunks)
        scene.operator.instructions.publish(String(data="Fold it again."))
        wait_until(scene.executor, lambda: maker.instruction == "Fold it again.")
        scene.send(5, start_ns)
        scene.operator.controls.publish(String(data="teleop"))
        wait_until(scene.executor, lambda: maker.leader == "teleop")
        scene.send(1, start_ns + 5 * PERIOD_NS)
        scene.call("stop")
        scene.until_status(state="IDLE", episodes="1")
        (recording,) = scene.recordings()
    np.testing.assert_allclose(recording.actions[:, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], atol=1e-6)
    np.testing.assert_allclose(recording.values("requested_action")[:3, 0], [0.5, 0.6, 0.7], atol=1e-6)
    assert recording.values("requested").tolist() == [True] * 3 + [False] * 3
    said_ns = maker._leaders[-1][0]
    marked = ["teleop" if stamp_ns >= said_ns else "" for stamp_ns in recording.values("stamp_ns")]
    assert recording.values("control_source").tolist() == ["policy"] * 3 + marked[3:]
    assert start_ns < said_ns
    assert recording.instructions == ["Fold it again."] * 6


def test_what_an_operator_asks_for_out_of_turn_is_refused_with_a_reason(make):
    with make() as scene:
        for name in ("stop", "discard"):
            reply = scene.call(name)
            assert not reply.success
            assert "expected an open episode" in reply.message
        assert not scene.call("mark", data=True).success
        scene.call("start")
        assert not scene.call("start").success
        scene.send(3, scene.operator.now_ns())
        assert scene.call("discard").success
        scene.until_status(state="IDLE", episodes="0")
        assert scene.recordings() == []


def test_a_camera_that_changes_its_size_is_refused_and_the_episode_stays_valid(make):
    with make() as scene:
        start_ns = scene.operator.now_ns()
        scene.call("start")
        scene.send(4, start_ns)
        wrong = image_to_msg(np.zeros((20, 30, 3), np.uint8), "rgb8", start_ns + 4 * PERIOD_NS, "")
        scene.operator.cameras["left_wrist"].publish(wrong)
        scene.until_status(refused_left_wrist="1")
        scene.send(3, start_ns + 4 * PERIOD_NS, but=("left_wrist",))
        scene.advance(start_ns + 8 * PERIOD_NS)
        wait_until(scene.executor, lambda: scene.recorder._session._episode.rows >= 6)
        scene.call("stop")
        scene.until_status(state="IDLE", episodes="1")
        (recording,) = scene.recordings()
    assert len(recording) == 7
    assert recording.values("complete").tolist()[:4] == [True] * 4
    assert not recording.values("complete")[-1]
    np.testing.assert_allclose(recording.values("skew")[:, 1], [0, 0, 0, 0, -1 / 15, -2 / 15, -3 / 15], atol=1e-6)
    worst_s = recording.described.ledger["streams"]["left_wrist"]["worst_skew_s"]
    assert worst_s == pytest.approx(3 / 15, abs=1e-6)


def test_a_lost_frame_of_the_leader_is_filled_in_and_stands_in_the_ledger(make):
    with make() as scene:
        start_ns = scene.operator.now_ns()
        scene.call("start")
        scene.send(3, start_ns)
        scene.send(3, start_ns + 4 * PERIOD_NS)
        scene.call("stop")
        scene.until_status(state="IDLE", episodes="1")
        (recording,) = scene.recordings()
    assert recording.values("filled").tolist() == [False] * 3 + [True] + [False] * 3
    head = recording.described.ledger["streams"]["head"]
    assert (head["gaps"], head["lost"]) == (1, 1)


def test_the_episode_is_closed_when_the_node_ends(make):
    with make() as scene:
        scene.call("start")
        scene.send(4, scene.operator.now_ns())
        root = scene.root
    (recording,) = DatasetReader(root)
    assert recording.described.ended == "the recorder was ended"
    assert not examine(root).problems


@pytest.mark.parametrize(("name", "value"), [("depth", "deep"), ("codec", "mjpeg")])
def test_a_setting_that_does_not_exist_is_refused(ros_context, description, tmp_path, name, value):
    given = {"robot": str(description), "root": str(tmp_path / "set"), name: value}
    with pytest.raises(ConfigError, match=f"recorder: {name}: expected"):
        RecorderNode(context=ros_context, parameter_overrides=[Parameter(n, value=v) for n, v in given.items()])


def test_a_recorder_that_is_killed_is_recovered_by_the_next(ros_context, twin, description, tmp_path, make):
    root = tmp_path / "set"
    given = {"robot": description, "root": root, **TASK}
    settings = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", "wam_ros", "node", "recorder", "--ros-args", *settings]
    process = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL)
    operator = Operator(twin, ros_context)
    try:
        with spinning(ros_context, operator) as executor:
            scene = Scene(None, operator, executor, root)
            wait_until(executor, lambda: operator.status.get("state") == "IDLE")
            assert scene.call("start").success
            ports = [*operator.cameras.values(), *operator.joints.values(), operator.depths["head"]]
            wait_until(executor, lambda: all(port.get_subscription_count() for port in ports))
            wall = operator.get_clock()
            start_ns = wall.now().nanoseconds
            for i in range(2 * FPS):
                operator.send_moment(start_ns + i * PERIOD_NS, 0.2)
                wait_until(executor, lambda at=start_ns + (i + 1) * PERIOD_NS: wall.now().nanoseconds > at)
            wait_until(executor, lambda: int(operator.status["rows"]) > 1.5 * FPS)
            rows = int(operator.status["rows"])
            process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait(10)
    with make() as scene:
        assert "rows kept" in scene.recorder._session.news
        (recording,) = scene.recordings()
    assert recording.described.ended.startswith("recovered")
    assert len(recording) >= rows - FPS
