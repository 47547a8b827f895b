# SPDX-License-Identifier: Apache-2.0
"""What stands around the policy node in its tests: a backend that can be watched, and a robot that only speaks."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path

import numpy as np
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.joint_topics import feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.core.types import Chunk, Trajectory
from wam_ros.files.assets import load_policy
from wam_ros.files.load import to_data
from wam_ros.policies.base import Request
from wam_ros.policies.hold import Hold
from wam_ros.ros.convert import image_to_msg, ns_to_stamp, trajectory_to_msg
from wam_ros.ros.qos import COMMAND, EVENT, LATCHED, SENSOR, STATE
from wam_ros.ros.status import OK, find_status, make_status, read_values


class Probe(Hold):
    """Holds the pose; shows what it was asked, and answers when its gate is open."""

    last: Probe

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.resets = 0
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None
        type(self).last = self

    def infer(self, request: Request) -> Chunk:
        if request.observation.stamp_ns == 0:  # the worker rehearses
            return super().infer(request)
        self.requests.append(request)
        assert self.gate.wait(timeout=240)
        if self.failure is not None:
            raise self.failure
        return super().infer(request)

    def reset(self) -> None:
        self.resets += bool(self.requests)

    def close(self) -> None:
        self.gate.set()


def probe_policy(folder: Path, **changes) -> str:
    """Path of a policy YAML whose backend is the probe."""
    data = {**to_data(load_policy("hold")), "backend": "tests.policy_support:Probe", **changes}
    path = folder / "probe.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


class Surroundings(Node):
    """Cameras, joints, safety and motion as the policy hears them; and what it says."""

    def __init__(self, context, robot: Robot) -> None:
        super().__init__("surroundings", context=context)
        self.robot = robot
        self.chunks: list[JointTrajectory] = []
        self.statuses: list[DiagnosticStatus] = []
        self.heard = defaultdict(list)
        self._cameras = {c.name: (c, self.create_publisher(Image, c.color, SENSOR)) for c in robot.cameras}
        self._joints = [(t, self.create_publisher(JointState, t.stream.topic, STATE)) for t in feedback_topics(robot)]
        self._safety = self.create_publisher(DiagnosticStatus, "safety/state", LATCHED)
        self._instruction = self.create_publisher(String, "instruction", LATCHED)
        self._leader = self.create_publisher(String, "control/source", LATCHED)
        self._committed = self.create_publisher(JointTrajectory, "motion/committed", COMMAND)
        self.create_subscription(JointTrajectory, "policy/chunk", self.chunks.append, COMMAND)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        status = find_status(array, "wam/policy")
        if status is not None:
            self.statuses.append(status)

    @property
    def values(self) -> dict[str, str]:
        return read_values(self.statuses[-1]) if self.statuses else {}

    @property
    def connected(self) -> bool:
        publishers = (
            [p for _, p in self._cameras.values()] + [p for _, p in self._joints] + [self._committed, self._safety]
        )
        return all(p.get_subscription_count() > 0 for p in publishers)

    def say_safety(self, state: str) -> None:
        self._safety.publish(make_status("wam/safety", OK, state, {"cause": "", "sequence": 0}))

    def say_instruction(self, text: str) -> None:
        self._instruction.publish(String(data=text))

    def say_leader(self, who: str) -> None:
        self._leader.publish(String(data=who))

    def say_committed(self, trajectory: Trajectory) -> None:
        self._committed.publish(trajectory_to_msg(trajectory))

    def say_sensors(self, stamp_ns: int, without: str = "") -> None:
        """Joints shortly before, at and after the stamp, and one frame of each camera but one."""
        for offset_ns in (-5_000_000, 0, 5_000_000):
            self.say_joints(stamp_ns + offset_ns)
        self.say_pictures(stamp_ns, without)

    def say_joints(self, stamp_ns: int) -> None:
        for topic, publisher in self._joints:
            message = JointState(name=[topic.name], position=topic.to_native(self.robot.ready_position()).tolist())
            message.header.stamp = ns_to_stamp(stamp_ns)
            publisher.publish(message)

    def say_pictures(self, stamp_ns: int, without: str = "") -> None:
        for camera, publisher in self._cameras.values():
            if camera.name != without:
                picture = np.full((camera.height, camera.width, 3), len(camera.name), np.uint8)
                publisher.publish(image_to_msg(picture, "rgb8", stamp_ns, camera.frame))
