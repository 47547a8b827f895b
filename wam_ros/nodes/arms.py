# SPDX-License-Identifier: Apache-2.0
"""A driver of arms through their vendor's library, on the topics of a robot's description: feedback out, targets in.

It stands where the vendor's own driver would. Each arm stays limp until it is told to go where it stands; it then follows, and
holds the last target for ever. What cannot be a target is not followed, and feedback is published only while the motors speak.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rclpy.node import Node

from wam_ros.arms.sdk_arm import STALE_S, VendorArm, load_library
from wam_ros.core.errors import ConfigError, ShapeError, mismatch
from wam_ros.core.joint_topics import JointTopic, command_topics, feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.core.sdk import Sdk
from wam_ros.core.types import nanoseconds
from wam_ros.files.assets import load_robot
from wam_ros.ros.dialects import Spoken, dialect_of
from wam_ros.ros.main import run_node
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import COMMAND, STATE
from wam_ros.ros.status import ERROR, OK, WARN, StatusReporter, Value
from wam_ros.ros.timebase import steady_clock


@dataclass(frozen=True, kw_only=True)
class ArmsParams:
    """Parameters of the driver."""

    robot: str = parameter(description="name or YAML path of a robot whose description has a vendor's library (sdk)")


class Arms(Node):
    """Ports of the arms of one robot."""

    def __init__(self, **node_args: Any) -> None:
        super().__init__("arms", **node_args)
        robot = load_robot(declare(self, ArmsParams).robot)
        sdk = _sdk_of(robot)
        library, period_s = load_library(sdk), 1.0 / robot.command_rate_hz
        self._refused: Counter[str] = Counter()
        self._said: dict[str, str] = {}
        self._heard_s: dict[str, float] = {}
        self._arms: dict[str, VendorArm] = {}
        for arm, heard, told in zip(robot.arms, feedback_topics(robot), command_topics(robot), strict=True):
            self._arms[arm.name] = VendorArm(library, sdk, arm, period_s)
            self._open(heard, told)
        self._reporter = StatusReporter(self, self._read)

    def destroy_node(self) -> None:
        """Let all arms go limp at once, then close them one by one, and end."""
        for arm in self._arms.values():
            arm.relax()
        self._arms.clear()
        super().destroy_node()

    def _open(self, heard: JointTopic, told: JointTopic) -> None:
        spoken, taken = dialect_of(heard), dialect_of(told)
        publisher = self.create_publisher(spoken.message, heard.stream.topic, STATE)
        tell = partial(self._on_feedback, heard, lambda said: publisher.publish(spoken.write(said)))
        self.create_timer(1.0 / heard.stream.rate_hz, tell, clock=steady_clock())
        take = partial(self._on_target, told)
        self.create_subscription(taken.message, told.stream.topic, lambda m: take(taken.read(m)), COMMAND)

    def _on_feedback(self, topic: JointTopic, publish: Any) -> None:
        reading = self._arms[topic.name].read()
        if reading.age_s > STALE_S or reading.heard_s == self._heard_s.get(topic.name):
            return
        self._heard_s[topic.name] = reading.heard_s
        stamp_ns = int(self.get_clock().now().nanoseconds) - nanoseconds(reading.age_s)
        publish(Spoken(stamp_ns, topic.joints, reading.positions.tolist(), reading.velocities.tolist()))

    def _on_target(self, topic: JointTopic, said: Spoken) -> None:
        why = self._follow(topic, said)
        self._said[topic.name] = why
        if why:
            self._refused[topic.name] += 1
            self.get_logger().warning(f"arm {topic.name} does not follow: {why}", throttle_duration_sec=1.0)

    def _follow(self, topic: JointTopic, said: Spoken) -> str:
        try:
            target = topic.believed(said.positions, said.names)
        except ShapeError as error:
            return str(error)
        if not np.isfinite(target).all():
            return f"the target is not finite: {list(said.positions)}"
        assert topic.gripper is not None
        target[-1] = topic.gripper.to_native(min(max(target[-1], 0.0), 1.0))
        return self._arms[topic.name].follow(target)

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        values: dict[str, Value] = {}
        silent = []
        for name, arm in self._arms.items():
            age_s = arm.read().age_s
            values |= {
                f"stiff_{name}": arm.stiff,
                f"age_ms_{name}": 1000 * age_s,
                f"refused_{name}": self._refused[name],
            }
            silent += [name] if age_s > STALE_S else []
        refusing = [f"{name}: {why}" for name, why in self._said.items() if why]
        if silent:
            return ERROR, f"silent: {', '.join(silent)}; look at their power and CAN, then start this again", values
        return (WARN, "; ".join(refusing), values) if refusing else (OK, "all arms are live", values)


def _sdk_of(robot: Robot) -> Sdk:
    what = f"robot {robot.name}"
    if robot.sdk is None or robot.simulated:
        raise ConfigError(mismatch(what, "sdk, a vendor's library", "none", "start the driver that this robot has"))
    names = {arm.name for arm in robot.arms}
    if robot.sdk.arms.keys() != names:
        raise ConfigError(mismatch(f"{what}: sdk.arms", ", ".join(sorted(names)), list(robot.sdk.arms), "name each"))
    for topic in (*feedback_topics(robot), *command_topics(robot)):
        if topic.gripper is None or len(topic.joints) == 1:
            remedy = "give the gripper its arm's topics"
            raise ConfigError(mismatch(f"{what}: {topic.stream.topic}", "an arm with its gripper", topic.name, remedy))
    return robot.sdk


def main() -> None:
    """Run the node."""
    sys.exit(run_node(Arms))
