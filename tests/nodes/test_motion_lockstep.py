# SPDX-License-Identifier: Apache-2.0
"""Motion and safety in the token ring: what happens depends on simulated time alone."""

from __future__ import annotations

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from tests.cell_support import make_motion, make_safety
from tests.ros_support import wait_until
from wam_ros.core.types import Chunk
from wam_ros.ros.convert import chunk_to_msg
from wam_ros.ros.driver import Command, CommandDriver, JointDriver
from wam_ros.ros.pace import TICK_NS, Lockstep
from wam_ros.ros.qos import COMMAND, EVENT, SENSOR
from wam_ros.ros.status import OK, find_status, make_status, read_values

STEP_NS = 5_000_000
LAST_TICK = 150
CHUNKS = {30: 0.5, 70: -0.4}
SILENT_FROM_TICK = 110


class Sim(Node):
    """Driver, cameras and policy on simulated time; the root of the ring."""

    def __init__(self, context, robot) -> None:
        super().__init__("sim_robot", context=context)
        self.robot, self.playing, self.ticks = robot, False, 0
        self.position = np.array(robot.ready_position())
        self.commanded: list[tuple[int, np.ndarray]] = []
        self.motion: dict[str, str] = {}
        self._needed_ns = 0
        self._joints, self._commands = JointDriver(self, robot), CommandDriver(self, robot, self._on_command)
        self._cameras = [self.create_publisher(Image, camera.color, SENSOR) for camera in robot.cameras]
        self._chunks = self.create_publisher(JointTrajectory, "policy/chunk", COMMAND)
        self._status = self.create_publisher(DiagnosticArray, "diagnostics", EVENT)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)
        self.pace = Lockstep(
            self,
            self._step,
            STEP_NS,
            after="safety",
            heard_ns=lambda: self._commands.heard_ns,
            playing=lambda: self.playing,
            repeat=self._repeat,
        )
        self.pace.leap()

    def _on_command(self, command: Command) -> None:
        self.position[command.joints] = command.target
        self.commanded.append((self.pace.now_ns, self.position.copy()))
        self.pace.check()

    def _step(self, now_ns: int) -> int:
        if now_ns % TICK_NS == 0 and self.playing:
            self.ticks += 1
            self.playing = self.ticks < LAST_TICK
            if self.ticks in CHUNKS:
                self._needed_ns = self._send_chunk(now_ns, CHUNKS[self.ticks])
        self._sense(now_ns)
        return self._needed_ns

    def _send_chunk(self, now_ns: int, reach_rad: float) -> int:
        positions = np.tile(self.position, (32, 1))
        positions[:, 0] += reach_rad * np.linspace(0, 1, 32)
        self._chunks.publish(chunk_to_msg(Chunk.at_rate(now_ns - TICK_NS, self.robot.joint_names, positions, 15.0)))
        return now_ns - TICK_NS

    def _sense(self, now_ns: int) -> None:
        if self.ticks < SILENT_FROM_TICK:
            for publisher in self._cameras:
                publisher.publish(Image(height=1, width=1, encoding="mono8", step=1, data=b"\0"))
        self._joints.publish(self.position, np.zeros(len(self.position)), now_ns)

    def _repeat(self) -> None:
        self._sense(self.pace.now_ns)
        self._status.publish(DiagnosticArray(status=[make_status("wam/policy", OK, "active", {})]))

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        status = find_status(array, "wam/motion")
        self.motion = read_values(status) if status is not None else self.motion


def play(robot) -> tuple[list[tuple[int, np.ndarray]], dict[str, str]]:
    """Arm while time stands, play to the last tick; return the commands and motion's last status."""
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = SingleThreadedExecutor(context=context)
    sim = Sim(context, robot)
    motion = make_motion(context, lockstep_after="sim_robot", use_sim_time=True)
    safety = make_safety(context, lockstep_after="motion", use_sim_time=True, camera_periods=3.0)
    for node in (sim, motion, safety):
        executor.add_node(node)
    arm = sim.create_client(SetBool, "arm")
    wait_until(executor, arm.service_is_ready)

    def armed() -> bool:
        future = arm.call_async(SetBool.Request(data=True))
        wait_until(executor, future.done)
        return bool(future.result().success)

    wait_until(executor, armed)
    wait_until(executor, lambda: sim.motion.get("state") == "ARMED")
    sim.playing = True
    sim.pace.play()
    wait_until(executor, lambda: sim.ticks == LAST_TICK and sim.motion.get("state") == "STOPPED")
    executor.shutdown()
    for node in (motion, safety, sim):
        node.destroy_node()
    rclpy.try_shutdown(context=context)
    return sim.commanded, sim.motion


def test_the_same_ring_gives_the_same_commands_and_stops_in_simulated_time(robot):
    (first, motion), (second, _) = play(robot), play(robot)
    assert motion["accepted"] == "2"
    before_stop = [n for n in range(len(first)) if first[n][0] < first[0][0] + SILENT_FROM_TICK * TICK_NS]
    assert len(before_stop) == 4 * SILENT_FROM_TICK
    for n in before_stop:
        assert first[n][0] == second[n][0]
        np.testing.assert_array_equal(first[n][1], second[n][1])
    positions = np.array([position for _, position in first])
    assert np.ptp(positions[:, 0]) > 0.1
