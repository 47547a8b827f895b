# SPDX-License-Identifier: Apache-2.0
"""The safety node: watches everybody, and says what the robot may do (core/safety.py decides).

The smallest process of the graph. If it dies, motion misses its heartbeat and brakes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.cures import cure_of
from wam_ros.core.joint_topics import JointTopic, fault_of, feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.core.safety import (
    MOTION,
    POLICY,
    TELEOP,
    Answer,
    SafetyBounds,
    SafetyMachine,
    State,
    camera_watch,
    joints_watch,
    watches_for,
)
from wam_ros.files.assets import load_robot
from wam_ros.ros.dialects import Spoken
from wam_ros.ros.hearing import hear_joints
from wam_ros.ros.lockstep import Member, Token
from wam_ros.ros.main import run_node
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import COMMAND, EVENT, LATCHED, SENSOR
from wam_ros.ros.status import ERROR, OK, StatusReporter, find_status, make_status, read_values
from wam_ros.ros.timebase import steady_clock, timebase_of


@dataclass(frozen=True, kw_only=True)
class SafetyParams(SafetyBounds):
    """Parameters of the safety node; the bounds are declared in core/safety.py."""

    robot: str = parameter(description="name or YAML path of the robot")
    lockstep_after: str = parameter("", description="whose token to wait for; empty: realtime")


class SafetyNode(Node):
    """Ports of the safety machine."""

    def __init__(self, **node_args: Any) -> None:
        super().__init__("safety", **node_args)
        params = declare(self, SafetyParams)
        robot = load_robot(params.robot)
        self._time = timebase_of(self)
        self._machine = SafetyMachine(watches_for(robot, params), params)
        self._told = self._logged = -1
        self._publisher = self.create_publisher(DiagnosticStatus, "safety/state", LATCHED)
        self._listen(robot)
        self._serve()
        self._pace(params)
        self._reporter = StatusReporter(self, self._read)
        self._tell()

    def destroy_node(self) -> None:
        """Say that nobody watches any more, then end."""
        if self._machine.state.live:
            self._machine.stop("SAFETY_ENDED")
            self._tell()
        super().destroy_node()

    # -- ports -----------------------------------------------------------------------------

    def _listen(self, robot: Robot) -> None:
        for camera in robot.cameras:
            kind = CompressedImage if camera.transport == "compressed" else Image
            seen = partial(self._on_image, camera_watch(camera.name))
            for topic in camera.color_topics:
                # Raw: a picture is counted, not looked at.
                self.create_subscription(kind, topic, seen, SENSOR, raw=True)
        for joints in feedback_topics(robot):
            hear_joints(self, joints, partial(self._on_joints, joints))
        self.create_subscription(JointTrajectory, "policy/chunk", self._on_chunk, COMMAND)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)

    def _serve(self) -> None:
        self.create_service(Trigger, "safety_stop", lambda _, response: self._answer(self._machine.stop(), response))
        self.create_service(Trigger, "safety_reset", self._on_reset)
        self.create_service(SetBool, "arm", self._on_arm)

    def _pace(self, params: SafetyParams) -> None:
        clock = steady_clock()
        self._in_ring = bool(params.lockstep_after)
        self.create_timer(params.beat_s, self._on_beat, clock=clock)
        if self._in_ring:
            Member(self, self.get_name(), params.lockstep_after, ready=lambda _: True, act=self._on_token)
        else:
            self.create_timer(params.tick_s, self._on_tick, clock=clock)

    # -- what is seen ----------------------------------------------------------------------

    def _on_image(self, watch: str, _image: bytes) -> None:
        self._machine.saw(watch, self._time.now_ns())

    def _on_joints(self, topic: JointTopic, said: Spoken) -> None:
        fault, why = fault_of(topic, said.positions, said.names)
        if why:
            self.get_logger().warning(f"{fault}: {why}", throttle_duration_sec=5.0)
        self._machine.saw(joints_watch(topic.name), self._time.now_ns(), fault)
        self._tell()

    def _on_chunk(self, msg: JointTrajectory) -> None:
        if msg.points:
            stamp_ns = self._time.from_stamp(Time.from_msg(msg.header.stamp).nanoseconds)
            length_ns = Duration.from_msg(msg.points[-1].time_from_start).nanoseconds
            self._machine.chunk(stamp_ns, length_ns, self._time.now_ns())

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        now_ns = self._time.now_ns()
        motion, policy = find_status(array, "wam/motion"), find_status(array, "wam/policy")
        if motion is not None:
            values = read_values(motion)
            self._machine.led_by(values.get("source", POLICY), now_ns)
            self._machine.saw(MOTION, now_ns, values.get("cause", ""))
            if values.get("executing") == "1":
                self._machine.executing(now_ns)
        if policy is not None:
            idle = "POLICY_INACTIVE" if read_values(policy).get("active") == "0" else ""
            self._machine.saw(POLICY, now_ns, "POLICY_FAILED" if policy.level == ERROR else idle)
        if find_status(array, "wam/teleop") is not None:
            self._machine.saw(TELEOP, now_ns)
        self._tell()

    # -- when it is judged -----------------------------------------------------------------

    def _on_tick(self) -> None:
        self._machine.tick(self._time.now_ns())
        self._tell()

    def _on_token(self, token: Token) -> int:
        """Judge at the token's time; that it came round proves who is before us. The simulator needs the command."""
        # A person stands outside the ring, and simulated time says nothing of him.
        for name in (POLICY, MOTION, TELEOP):
            self._machine.saw(name, token.time_ns)
        self._machine.tick(token.time_ns)
        self._tell()
        return token.needed_ns

    def _on_beat(self) -> None:
        if not self._in_ring:
            self._machine.beat(self._time.now_ns())
        self._told = -1
        self._tell()

    # -- what is wished --------------------------------------------------------------------

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(self._machine.reset(self._time.now_ns()), response)

    def _on_arm(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        answer = self._machine.arm(self._time.now_ns()) if request.data else self._machine.disarm()
        return self._answer(answer, response)

    def _answer(self, answer: Answer, response: Any) -> Any:
        response.success, response.message = answer
        self.get_logger().info(answer.text)
        self._tell()
        return response

    # -- what is said ----------------------------------------------------------------------

    def _tell(self) -> None:
        """Publish the state if it is news, or a heartbeat is due."""
        machine = self._machine
        if self._told == machine.sequence:
            return
        level, state, values = self._read()
        self._publisher.publish(make_status("wam/safety", level, state, {**values, "sequence": machine.sequence}))
        if machine.state is State.STOPPED and self._logged != machine.sequence:
            self.get_logger().error(f"STOPPED by {machine.cause}: {cure_of(machine.cause)}")
        self._told = self._logged = machine.sequence

    def _read(self) -> tuple[bytes, str, dict[str, str]]:
        machine = self._machine
        level = ERROR if machine.state is State.STOPPED else OK
        standing = ", ".join(machine.standing(self._time.now_ns()))
        return level, machine.state.value, {"state": machine.state.value, "cause": machine.cause, "standing": standing}


def main() -> None:
    """Run the node."""
    sys.exit(run_node(SafetyNode))
