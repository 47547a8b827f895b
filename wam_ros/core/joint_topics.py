# SPDX-License-Identifier: Apache-2.0
"""Which driver topic carries which joints, and in which unit: the way between driver and robot order.

A gripper may have its own topics or be the last value of its arm's; nothing else needs to know which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.robot import Arm, Gripper, Robot, Stream
from wam_ros.core.types import FloatArray


@dataclass(frozen=True)
class JointTopic:
    """A driver's topic and the n joints it carries.

    Attributes:
        name: the arm's name; the gripper's joint for a gripper with its own topic.
        stream: topic, kind and rate.
        joints: (n,) in the driver's order, which is the robot's.
        columns: where they lie in the robot order.
        gripper: the gripper that is the last of them, None when there is none.
    """

    name: str
    stream: Stream
    joints: tuple[str, ...]
    columns: slice
    gripper: Gripper | None = None

    def from_native(self, values: Sequence[float], names: Sequence[str] = ()) -> FloatArray:
        """Return (n,) positions, grippers normalised, of a driver's values.

        Values are taken by name where the driver names our joints. Drivers that send placeholders for
        names are taken by place, and may append values that belong to nobody here.

        Raises:
            ShapeError: fewer values than joints, or only some of our joints named.
        """
        out = np.array(self._ours(values, names), dtype=np.float64)
        if len(out) < len(self.joints):
            what = f"values on {self.stream.topic}"
            raise ShapeError(mismatch(what, f"at least {len(self.joints)}", len(out), "check the driver"))
        if self.gripper is not None:
            out[-1] = self.gripper.from_native(out[-1])
        return out

    def _ours(self, values: Sequence[float], names: Sequence[str]) -> Sequence[float]:
        named = dict(zip(names, values, strict=False))
        if named.keys().isdisjoint(self.joints):
            return values[: len(self.joints)]
        missing = [joint for joint in self.joints if joint not in named]
        if missing:
            what = f"names on {self.stream.topic}"
            raise ShapeError(mismatch(what, "all our joints or none", f"none of {missing}", "check the robot file"))
        return [named[joint] for joint in self.joints]

    def to_native(self, positions: FloatArray) -> FloatArray:
        """Return (..., n) driver values of (..., J) positions in robot order."""
        out = np.array(positions[..., self.columns])
        if self.gripper is not None:
            out[..., -1] = self.gripper.closed_native + self._span * out[..., -1]
        return out

    def to_native_rate(self, rates: FloatArray) -> FloatArray:
        """Return (..., n) driver values of (..., J) velocities or accelerations in robot order."""
        out = np.array(rates[..., self.columns])
        if self.gripper is not None:
            out[..., -1] *= self._span
        return out

    @property
    def _span(self) -> float:
        return self.gripper.to_native(1.0) - self.gripper.to_native(0.0) if self.gripper is not None else 1.0


def feedback_topics(robot: Robot) -> tuple[JointTopic, ...]:
    """Return the topics that carry joint feedback, arm by arm."""
    return tuple(t for start, arm in _starts(robot) for t in _topics(arm, start, arm.state, arm.gripper_state))


def command_topics(robot: Robot) -> tuple[JointTopic, ...]:
    """Return the topics that move the joints, arm by arm."""
    return tuple(t for start, arm in _starts(robot) for t in _topics(arm, start, arm.command, arm.gripper_command))


def _starts(robot: Robot) -> Iterator[tuple[int, Arm]]:
    start = 0
    for arm in robot.arms:
        yield start, arm
        start += len(arm.joints) + 1


def _topics(arm: Arm, start: int, arm_stream: Stream, gripper_stream: Stream) -> Iterator[JointTopic]:
    end = start + len(arm.joints)
    grip = arm.gripper
    if gripper_stream.topic == arm_stream.topic:
        yield JointTopic(arm.name, arm_stream, (*arm.joints, grip.joint), slice(start, end + 1), grip)
    else:
        yield JointTopic(arm.name, arm_stream, arm.joints, slice(start, end))
        yield JointTopic(grip.joint, gripper_stream, (grip.joint,), slice(end, end + 1), grip)
