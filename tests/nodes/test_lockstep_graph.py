# SPDX-License-Identifier: Apache-2.0
"""The real graph in lockstep: what happens depends on the seed and the declared latency, on nothing else."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
pytest.importorskip("pinocchio", reason="the demonstrator needs pinocchio")
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import MissingDependencyError
from wam_ros.core.joint_topics import command_topics
from wam_ros.files.assets import load_policy, load_task
from wam_ros.graph import RunOptions, build_graph
from wam_ros.nodes.motion import MotionNode
from wam_ros.nodes.policy import PolicyNode
from wam_ros.nodes.safety import SafetyNode
from wam_ros.nodes.sim_robot import SimRobot
from wam_ros.ros.convert import stamp_to_ns
from wam_ros.ros.qos import COMMAND, EVENT, SENSOR
from wam_ros.ros.status import read_values

PROGRAMS = {"sim_robot": SimRobot, "policy": PolicyNode, "motion": MotionNode, "safety": SafetyNode}


class Diary(Node):
    """Writes down every chunk, command and picture, by topic and stamp."""

    def __init__(self, context, robot) -> None:
        super().__init__("diary", context=context)
        self.entries: dict[tuple[str, int], object] = {}
        self.statuses: dict[str, dict[str, str]] = {}
        self.create_subscription(JointTrajectory, "policy/chunk", self._on_chunk, COMMAND)
        for topic in command_topics(robot):
            self.create_subscription(JointState, topic.stream.topic, self._noting(topic.stream.topic), COMMAND)
        self.create_subscription(Image, robot.cameras[0].color, self._on_picture, SENSOR)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)
        self.arm = self.create_client(SetBool, "arm")
        self.play = self.create_client(SetBool, "sim/play")
        self.reset = self.create_client(Trigger, "sim/reset")

    def of(self, topic: str) -> list[int]:
        return sorted(stamp for name, stamp in self.entries if name == topic)

    def _on_chunk(self, message) -> None:
        rows = tuple(tuple(point.positions) for point in message.points)
        self.entries["chunk", stamp_to_ns(message.header.stamp)] = rows

    def _noting(self, topic):
        def note(message) -> None:
            self.entries[topic, stamp_to_ns(message.header.stamp)] = tuple(message.position)

        return note

    def _on_picture(self, message) -> None:
        self.entries["picture", stamp_to_ns(message.header.stamp)] = hashlib.sha256(message.data).hexdigest()

    def _on_diagnostics(self, array) -> None:
        self.statuses |= {status.name: read_values(status) for status in array.status}

    def call(self, executor, client, request) -> bool:
        wait_until(executor, client.service_is_ready)
        future = client.call_async(request)
        wait_until(executor, future.done)
        return future.result().success


def graph_of(context, robot, latency_s: float) -> list[Node]:
    options = RunOptions(
        "towel_fold", robot="sim_r1_lite", policy="expert", pace="lockstep", declared_latency_s=latency_s
    )
    specs = build_graph(robot, load_task("towel_fold"), load_policy("expert"), options)
    try:
        return [
            PROGRAMS[spec.target](
                context=context, parameter_overrides=[Parameter(k, value=v) for k, v in spec.params.items()]
            )
            for spec in specs
        ]
    except MissingDependencyError as error:
        pytest.skip(str(error))


def play(context, robot, latency_s: float, seconds: float) -> Diary:
    """An attempt of so many simulated seconds."""
    nodes, diary = graph_of(context, robot, latency_s), Diary(context, robot)
    sim = nodes[0]
    with spinning(context, *nodes, diary) as executor:
        wait_until(executor, lambda: diary.statuses.get("wam/policy", {}).get("active") == "1")
        wait_until(executor, lambda: diary.call(executor, diary.arm, SetBool.Request(data=True)))
        wait_until(executor, lambda: all(diary.statuses[f"wam/{n}"]["state"] == "ARMED" for n in ("policy", "motion")))
        assert diary.call(executor, diary.play, SetBool.Request(data=True))
        wait_until(executor, lambda: sim._twin.elapsed_ns >= seconds * 1e9)
        assert diary.call(executor, diary.play, SetBool.Request(data=False))
    return diary


def test_two_runs_of_one_seed_and_latency_are_bit_equal(ros_context, robot):
    first, second = (play(ros_context, robot, 0.19, seconds=1.3) for _ in range(2))
    # The wall clock decides when a run is stopped, so its last moments do not count; a chunk's stamp lies before its landing.
    end_ns = min(first.of("picture")[-1], second.of("picture")[-1]) - 100_000_000
    until_ns = {"chunk": end_ns - 190_000_000}
    played = [
        {key: entry for key, entry in diary.entries.items() if key[1] <= until_ns.get(key[0], end_ns)}
        for diary in (first, second)
    ]
    assert sorted(played[0].keys() ^ played[1].keys()) == []
    assert sorted(key for key in played[0] if played[0][key] != played[1][key]) == []
    assert len(first.of("chunk")) >= 2
    assert len({entry for (topic, _), entry in first.entries.items() if topic == "picture"}) > 5, "nothing moved"


@pytest.mark.parametrize("latency_ms", [50, 400])
def test_the_first_command_of_a_chunk_comes_when_its_latency_has_passed(ros_context, robot, latency_ms):
    diary = play(ros_context, robot, latency_ms / 1e3, seconds=0.9)
    topic = robot.arms[0].command.topic
    still, moving = None, None
    for before_ns, stamp_ns in pairwise(diary.of(topic)):
        if diary.entries[topic, before_ns] != diary.entries[topic, stamp_ns]:
            still, moving = before_ns, stamp_ns
            break
    assert moving is not None, "the arm was never told to move"
    landed_ns = diary.of("chunk")[0] + latency_ms * 1_000_000
    assert still <= landed_ns <= moving <= landed_ns + 20_000_000
