# SPDX-License-Identifier: Apache-2.0
"""Commands to the robot's driver: one adapter for each ``kind`` of command stream.

Everything is encoded and checked before anything is published: a NaN never leaves half a command, and
all arms of one tick carry one stamp. Commands are reliable, because some drivers ask for it and the
others do not mind.

=============================  ==============================================================================
kind                           what is published
=============================  ==============================================================================
joint_state                    JointState with the positions, at each tick
joint_state_with_speed_cap     JointState with the positions and, as ``velocity``, each joint's speed limit
joint_arrays                   the vendor's message with the positions, at each tick, as its leader arm would
joint_trajectory               JointTrajectory with what is committed, at each change: a controller follows
                               it, and rests at its end even if nothing more comes
=============================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.errors import ConfigError, UnsafeCommandError, mismatch
from wam_ros.core.joint_topics import JointTopic, command_topics
from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray, Trajectory
from wam_ros.ros.convert import trajectory_to_msg
from wam_ros.ros.dialects import Dialect, Spoken, dialect_of
from wam_ros.ros.qos import COMMAND

#: Bounds hold to rounding.
_ROUNDING = 1e-6


class Part(NamedTuple):
    """A command topic and the speed limits of its joints in the driver's unit, all positive."""

    topic: JointTopic
    speed_cap: tuple[float, ...]


class _Streamed(NamedTuple):
    part: Part
    dialect: Dialect
    publisher: Publisher


# -- one encoder for each kind ---------------------------------------------------------------


def _positions(part: Part, position: FloatArray, stamp_ns: int) -> Spoken:
    return Spoken(stamp_ns, part.topic.joints, part.topic.to_native(position).tolist(), ())


def _positions_and_speed_caps(part: Part, position: FloatArray, stamp_ns: int) -> Spoken:
    return _positions(part, position, stamp_ns)._replace(velocities=part.speed_cap)


def _joint_trajectory(part: Part, trajectory: Trajectory) -> JointTrajectory:
    return trajectory_to_msg(
        Trajectory(
            part.topic.joints,
            trajectory.times_ns,
            part.topic.to_native(trajectory.positions),
            part.topic.to_native_rate(trajectory.velocities),
            part.topic.to_native_rate(trajectory.accelerations),
        )
    )


STREAMED: Mapping[str, Callable[[Part, FloatArray, int], Spoken]] = {
    "joint_state": _positions,
    "joint_state_with_speed_cap": _positions_and_speed_caps,
    "joint_arrays": _positions,
}
COMMITTED: Mapping[str, Callable[[Part, Trajectory], JointTrajectory]] = {"joint_trajectory": _joint_trajectory}


class CommandSink:
    """The only way from this package to a robot's motors.

    Args:
        node: publishes on the driver's absolute topics.
        robot: whose ``command`` and ``gripper_command`` streams are spoken.

    Raises:
        ConfigError: a stream's kind that nobody speaks, or two streams on one topic.
        MissingDependencyError: the vendor's message type is not installed.
    """

    def __init__(self, node: Node, robot: Robot) -> None:
        self._node = node
        lower, upper = robot.bounds()
        margin = np.array(
            [m for arm in robot.arms for m in (*(arm.limits.feedback_margin_rad,) * len(arm.joints), 0.0)]
        )
        # An arm at rest may lie outside the bounds of targets, and is then commanded to where it is.
        self._lower, self._upper = lower - margin - _ROUNDING, upper + margin + _ROUNDING
        self._streamed: list[_Streamed] = []
        self._idle = frozenset(robot.idle_publishers)
        self._committed: list[tuple[Part, Publisher]] = []
        speed = robot.motion_limits()[0]
        for topic in command_topics(robot):
            self._add(node, Part(topic, tuple(np.abs(topic.to_native_rate(speed)).tolist())))

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics commanded here."""
        parts = [streamed.part for streamed in self._streamed] + [part for part, _ in self._committed]
        return tuple(part.topic.stream.topic for part in parts)

    def intruder(self, idle: Collection[str]) -> str:
        """Return a command topic on which another node publishes, empty if there is none.

        Args:
            idle: names of nodes that own such a publisher and are known never to use it, beside those of the robot file.
        """
        for topic in self.topics:
            names = [info.node_name for info in self._node.get_publishers_info_by_topic(topic)]
            if len([name for name in names if name not in idle and name not in self._idle]) > 1:
                return topic
        return ""

    def stream(self, position: FloatArray, stamp_ns: int) -> None:
        """Send (J,) positions to the drivers that want targets at each tick.

        Raises:
            UnsafeCommandError: not finite, not of the robot's size, or out of bounds; nothing was published.
        """
        self._check(position)
        send = [
            (publisher, dialect.write(STREAMED[part.topic.stream.kind](part, position, stamp_ns)))
            for part, dialect, publisher in self._streamed
        ]
        for publisher, message in send:
            publisher.publish(message)

    def commit(self, trajectory: Trajectory) -> None:
        """Send what is committed, timed in stamps, to the controllers that interpolate by themselves.

        Raises:
            UnsafeCommandError: as for :meth:`stream`; nothing was published.
        """
        if not self._committed or not trajectory.times_ns:
            return
        self._check(trajectory.positions)
        if not (np.isfinite(trajectory.velocities).all() and np.isfinite(trajectory.accelerations).all()):
            raise UnsafeCommandError("committed trajectory holds NaN or infinite rates; nothing was sent")
        send = [(pub, COMMITTED[part.topic.stream.kind](part, trajectory)) for part, pub in self._committed]
        for publisher, message in send:
            publisher.publish(message)

    def _add(self, node: Node, part: Part) -> None:
        stream = part.topic.stream
        if stream.topic in self.topics:
            raise ConfigError(f"command topic {stream.topic} is used twice; give each arm and gripper its own topic")
        if stream.kind in STREAMED:
            dialect = dialect_of(part.topic)
            publisher = node.create_publisher(dialect.message, stream.topic, COMMAND)
            self._streamed.append(_Streamed(part, dialect, publisher))
        elif stream.kind in COMMITTED:
            self._committed.append((part, node.create_publisher(JointTrajectory, stream.topic, COMMAND)))
        else:
            known = ", ".join((*STREAMED, *COMMITTED))
            raise ConfigError(mismatch(f"command kind of {stream.topic}", known, stream.kind, "correct the robot file"))

    def _check(self, positions: FloatArray) -> None:
        """Refuse (..., J) positions that no robot may get."""
        if positions.shape[-1] != len(self._lower):
            raise UnsafeCommandError(
                mismatch("command", f"{len(self._lower)} joints", positions.shape[-1], "use the robot's order")
            )
        if not np.isfinite(positions).all():
            raise UnsafeCommandError("command holds NaN or infinite positions; nothing was sent")
        if (positions < self._lower).any() or (positions > self._upper).any():
            raise UnsafeCommandError(
                "command leaves the joint bounds by more than the feedback margin; nothing was sent"
            )
