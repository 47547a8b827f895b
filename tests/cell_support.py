# SPDX-License-Identifier: Apache-2.0
"""A robot cell around the real motion and safety nodes: driver, cameras and policy played by one test node.

The cell owns ``/clock``. A step is taken by a timer that never catches up, so simulated time passes with the wall
clock on a quick machine, and waits for everybody on one that is busy: no bound is broken by the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock as ClockMsg
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from tests.ros_support import spinning, wait_until
from wam_ros.core.joint_topics import JointTopic, command_topics, feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.core.types import Chunk
from wam_ros.nodes.motion import MotionNode
from wam_ros.nodes.safety import SafetyNode
from wam_ros.ros.convert import chunk_to_msg, ns_to_stamp, stamp_to_ns
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.qos import COMMAND, EVENT, LATCHED, SENSOR, STATE
from wam_ros.ros.status import OK, find_status, make_status, read_values
from wam_ros.ros.timebase import steady_clock

ROBOT, TASK = "sim_r1_lite", "towel_fold"
START_NS, STEP_NS = 10_000_000_000, 5_000_000
JOINTS_EVERY, CAMERAS_EVERY, POLICY_EVERY = 4, 13, 40
# The bounds themselves are tested on fake time; here messages between threads may take a while.
PATIENT_SAFETY = {"joints_s": 0.8, "camera_periods": 12.0, "motion_s": 1.2, "stall_s": 3.0}
PATIENT_MOTION = {"heartbeat_s": 1.0, "feedback_s": 1.5, "stall_s": 3.0, "tracking_rad": 3.0}


def parameters(values: dict) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in values.items()]


def make_motion(context, **params) -> MotionNode:
    given = {"robot": ROBOT, "task": TASK, "use_sim_time": True} | PATIENT_MOTION | params
    return MotionNode(context=context, parameter_overrides=parameters(given))


def make_safety(context, **params) -> SafetyNode:
    given = {"robot": ROBOT, "use_sim_time": True} | PATIENT_SAFETY | params
    return SafetyNode(context=context, parameter_overrides=parameters(given))


class Cell(Node):
    """Everything around motion and safety.

    Attributes:
        off: names of what keeps silent: a camera, an arm, a gripper, "policy".
        position: (J,) where the arms are; they follow commands at once.
        sent: stamp and (J,) command of each complete set of commands heard.
        told: every different safety state with its cause.
        nodes: motion and safety.
        now_ns: simulated time.
    """

    runner: Executor

    def __init__(self, context, robot: Robot) -> None:
        super().__init__("cell", context=context)
        self.now_ns, self._steps = START_NS, 0
        self.robot = robot
        self.off: set[str] = set()
        self.position = np.array(robot.ready_position())
        self.spoilt: float | None = None
        self.policy_level, self.policy_active = OK, True
        self.sent: list[tuple[int, np.ndarray]] = []
        self.told: list[tuple[str, str]] = []
        self.nodes: list[Node] = []
        self.motion: dict[str, str] = {}
        self.committed: list[JointTrajectory] = []
        self._parts: dict[int, dict[str, np.ndarray]] = {}
        self._listen()
        self._clock = self.create_publisher(ClockMsg, "/clock", STATE)
        self._joints = [(t, self.create_publisher(JointState, t.stream.topic, STATE)) for t in feedback_topics(robot)]
        self._cameras = [(c.name, self.create_publisher(Image, c.color, SENSOR)) for c in robot.cameras]
        self.create_timer(STEP_NS / 1e9, self._on_step, clock=steady_clock())
        self.chunks = self.create_publisher(JointTrajectory, "policy/chunk", COMMAND)
        self._status = self.create_publisher(DiagnosticArray, "diagnostics", EVENT)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)
        self.create_subscription(DiagnosticStatus, "safety/state", self._on_state, LATCHED)
        self.create_subscription(JointTrajectory, "motion/committed", self.committed.append, COMMAND)
        self._wishes = {
            "arm": self.create_client(SetBool, "arm"),
            "safety_stop": self.create_client(Trigger, "safety_stop"),
            "safety_reset": self.create_client(Trigger, "safety_reset"),
            "approach": self.create_client(Trigger, "approach"),
        }

    # -- what the test does ----------------------------------------------------------------

    def until(self, condition: Callable[[], bool]) -> None:
        wait_until(self.runner, condition)

    def call(self, name: str, data: bool | None = None):
        client = self._wishes[name]
        self.until(client.service_is_ready)
        request = SetBool.Request(data=data) if data is not None else Trigger.Request()
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def arm(self) -> None:
        self.until(lambda: self.call("arm", True).success)
        self.until(lambda: self.motion.get("phase") == "following")

    def chunk(self, reach_rad: float = 1.0, joint: int = 0, rows: int = 32) -> JointTrajectory:
        """A chunk captured now that moves one joint."""
        positions = np.tile(self.position, (rows, 1))
        positions[:, joint] += reach_rad * np.linspace(0, 1, rows)
        return chunk_to_msg(Chunk.at_rate(self.now_ns, self.robot.joint_names, positions, 15.0))

    def run(self, reach_rad: float = 1.0) -> None:
        """Arm, send a chunk and wait until the arms move."""
        self.arm()
        self.until(lambda: self.chunks.get_subscription_count() == 2)
        self.chunks.publish(self.chunk(reach_rad))
        start = self.position[0]
        self.until(lambda: self.state == "RUNNING" and abs(self.position[0] - start) > 0.1)

    @property
    def state(self) -> str:
        return self.told[-1][0] if self.told else ""

    @property
    def cause(self) -> str:
        return self.told[-1][1] if self.told else ""

    def speeds(self) -> np.ndarray:
        """(N-1, J) of the commands [1/s]."""
        stamps = np.array([stamp for stamp, _ in self.sent]) / 1e9
        return np.diff([p for _, p in self.sent], axis=0) / np.diff(stamps)[:, None]

    def until_rest(self) -> None:
        """Until the arms were commanded to one place for a while, or nothing is commanded any more."""
        self.until(lambda: len(self.sent) > 12 and np.ptp([p for _, p in self.sent[-10:]], axis=0).max() < 1e-9)

    # -- what the cell does ----------------------------------------------------------------

    def _listen(self) -> None:
        for topic in command_topics(self.robot):
            self.create_subscription(JointState, topic.stream.topic, partial(self._on_command, topic), COMMAND)

    def _on_step(self) -> None:
        self._steps += 1
        self.now_ns += STEP_NS
        if self._steps % JOINTS_EVERY == 0:
            self._say_joints()
        if self._steps % CAMERAS_EVERY == 0:
            self._say_pictures()
        if self._steps % POLICY_EVERY == 0:
            self._say_policy()
        # Data before their time: nobody may find them older than they are.
        self._clock.publish(ClockMsg(clock=ns_to_stamp(self.now_ns)))

    def _say_joints(self) -> None:
        for topic, publisher in self._joints:
            if topic.name not in self.off:
                msg = JointState(name=[topic.name], position=topic.to_native(self.position).tolist())
                if self.spoilt is not None:
                    msg.position[0] = self.spoilt
                msg.header.stamp = ns_to_stamp(self.now_ns)
                publisher.publish(msg)

    def _say_pictures(self) -> None:
        for name, publisher in self._cameras:
            if name not in self.off:
                publisher.publish(Image(height=1, width=1, encoding="mono8", step=1, data=b"\0"))

    def _say_policy(self) -> None:
        if "policy" not in self.off:
            status = make_status("wam/policy", self.policy_level, "", {"active": self.policy_active})
            self._status.publish(DiagnosticArray(status=[status]))

    def _on_command(self, topic: JointTopic, msg: JointState) -> None:
        self.position[topic.columns] = topic.from_native(msg.position)
        stamp_ns = stamp_to_ns(msg.header.stamp)
        parts = self._parts.setdefault(stamp_ns, {})
        parts[topic.name] = topic.from_native(msg.position)
        if len(parts) == len(command_topics(self.robot)):
            self.sent.append((stamp_ns, np.concatenate([parts[t.name] for t in command_topics(self.robot)])))

    def _on_state(self, status: DiagnosticStatus) -> None:
        told = (status.message, read_values(status)["cause"])
        if not self.told or self.told[-1] != told:
            self.told.append(told)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        status = find_status(array, "wam/motion")
        if status is not None:
            self.motion = read_values(status)


@pytest.fixture
def cell(ros_context, robot):
    """A cell with the real motion and safety nodes, all on one executor."""
    yield from _assembled(ros_context, robot, [make_motion(ros_context), make_safety(ros_context)])


@pytest.fixture
def lonely_cell(ros_context, robot):
    """A cell with the real safety node; motion is somewhere else."""
    yield from _assembled(ros_context, robot, [make_safety(ros_context)])


def _assembled(context, robot: Robot, nodes: list[Node]) -> Iterator[Cell]:
    cell = Cell(context, robot)
    cell.nodes = nodes
    with spinning(context, *nodes, cell) as executor:
        cell.runner = executor
        yield cell
        # Time goes on while the nodes bring the arms to rest.
        executor.remove_node(cell)
        with _time_of(cell):
            for node in cell.nodes:
                node.destroy_node()


@contextmanager
def _time_of(cell: Cell) -> Iterator[None]:
    executor, over = LeanExecutor(context=cell.context), Event()
    executor.add_node(cell)

    def pass_time() -> None:
        while not over.is_set():
            executor.spin_once(timeout_sec=0.02)

    thread = Thread(target=pass_time)
    thread.start()
    yield
    over.set()
    thread.join()
    executor.shutdown()
