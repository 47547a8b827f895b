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
joint_trajectory               JointTrajectory with what is committed, at each change: a controller follows
                               it, and rests at its end even if nothing more comes
=============================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.errors import ConfigError, UnsafeCommandError, mismatch
from wam_ros.core.robot import Arm, Robot, Stream
from wam_ros.core.types import FloatArray, Trajectory
from wam_ros.ros.convert import ns_to_stamp, trajectory_to_msg
from wam_ros.ros.qos import COMMAND

#: Bounds hold to rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Part:
    """The joints of the robot that one command topic moves.

    Attributes:
        names: (n,) joints.
        columns: where they lie in the robot order.
        speed_cap: (n,) [rad/s]; grippers [native/s].
        offset, scale: native value = offset + scale * value of the robot order.
    """

    stream: Stream
    names: tuple[str, ...]
    columns: slice
    speed_cap: tuple[float, ...]
    offset: float = 0.0
    scale: float = 1.0

    def native(self, values: FloatArray) -> FloatArray:
        """Return (..., n) driver values of (..., J) positions in robot order."""
        out: FloatArray = self.offset + self.scale * values[..., self.columns]
        return out

    def native_rate(self, rates: FloatArray) -> FloatArray:
        """Return (..., n) driver values of (..., J) velocities or accelerations in robot order."""
        out: FloatArray = self.scale * rates[..., self.columns]
        return out


def parts_of(robot: Robot) -> tuple[Part, ...]:
    """Return the command topics of a robot and what each moves; arm, gripper, arm, gripper."""
    return tuple(part for start, arm in _starts(robot) for part in _arm_parts(arm, start))


def _starts(robot: Robot) -> Iterator[tuple[int, Arm]]:
    start = 0
    for arm in robot.arms:
        yield start, arm
        start += len(arm.joints) + 1


def _margins(arm: Arm) -> tuple[float, ...]:
    return (arm.limits.feedback_margin_rad,) * len(arm.joints)


def _arm_parts(arm: Arm, start: int) -> tuple[Part, Part]:
    end = start + len(arm.joints)
    grip = arm.gripper
    scale = grip.open_native - grip.closed_native
    cap = abs(scale) * grip.speed_1_s
    return (
        Part(arm.command, arm.joints, slice(start, end), arm.limits.velocity_rad_s),
        Part(arm.gripper_command, (grip.joint,), slice(end, end + 1), (cap,), grip.closed_native, scale),
    )


# -- one encoder for each kind ---------------------------------------------------------------


def _joint_state(part: Part, position: FloatArray, stamp_ns: int) -> JointState:
    msg = JointState(name=list(part.names), position=part.native(position).tolist())
    msg.header.stamp = ns_to_stamp(stamp_ns)
    return msg


def _joint_state_with_speed_cap(part: Part, position: FloatArray, stamp_ns: int) -> JointState:
    msg = _joint_state(part, position, stamp_ns)
    msg.velocity = list(map(float, part.speed_cap))
    return msg


def _joint_trajectory(part: Part, trajectory: Trajectory) -> JointTrajectory:
    return trajectory_to_msg(
        Trajectory(
            part.names,
            trajectory.times_ns,
            part.native(trajectory.positions),
            part.native_rate(trajectory.velocities),
            part.native_rate(trajectory.accelerations),
        )
    )


STREAMED: Mapping[str, Callable[[Part, FloatArray, int], JointState]] = {
    "joint_state": _joint_state,
    "joint_state_with_speed_cap": _joint_state_with_speed_cap,
}
COMMITTED: Mapping[str, Callable[[Part, Trajectory], JointTrajectory]] = {"joint_trajectory": _joint_trajectory}


class CommandSink:
    """The only way from this package to a robot's motors.

    Args:
        node: publishes on the driver's absolute topics.
        robot: whose ``command`` and ``gripper_command`` streams are spoken.

    Raises:
        ConfigError: a stream's kind that nobody speaks, or two streams on one topic.
    """

    def __init__(self, node: Node, robot: Robot) -> None:
        lower, upper = robot.bounds()
        margin = np.array([m for arm in robot.arms for m in (*_margins(arm), 0.0)])
        # An arm at rest may lie outside the bounds of targets, and is then commanded to where it is.
        self._lower, self._upper = lower - margin - _ROUNDING, upper + margin + _ROUNDING
        self._streamed: list[tuple[Part, Publisher]] = []
        self._committed: list[tuple[Part, Publisher]] = []
        for part in parts_of(robot):
            self._add(node, part)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics commanded here."""
        return tuple(part.stream.topic for part, _ in (*self._streamed, *self._committed))

    def stream(self, position: FloatArray, stamp_ns: int) -> None:
        """Send (J,) positions to the drivers that want targets at each tick.

        Raises:
            UnsafeCommandError: not finite, not of the robot's size, or out of bounds; nothing was published.
        """
        self._check(position)
        send = [(pub, STREAMED[part.stream.kind](part, position, stamp_ns)) for part, pub in self._streamed]
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
        send = [(pub, COMMITTED[part.stream.kind](part, trajectory)) for part, pub in self._committed]
        for publisher, message in send:
            publisher.publish(message)

    def _add(self, node: Node, part: Part) -> None:
        stream = part.stream
        if stream.topic in self.topics:
            raise ConfigError(f"command topic {stream.topic} is used twice; give each arm and gripper its own topic")
        if stream.kind in STREAMED:
            self._streamed.append((part, node.create_publisher(JointState, stream.topic, COMMAND)))
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
