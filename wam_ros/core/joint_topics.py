# SPDX-License-Identifier: Apache-2.0
"""Which driver topic carries which joints, and in which unit: the way between driver and robot order.

A gripper may have its own topics or be the last value of its arm's; nothing else needs to know which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wam_ros.core.errors import ImplausibleError, ShapeError, mismatch
from wam_ros.core.robot import Arm, Gripper, Robot, Stream
from wam_ros.core.types import FloatArray

_CHECK_NAMES = "correct the robot file, or let the driver name its joints"


@dataclass(frozen=True, eq=False)
class JointTopic:
    """A driver's topic and the n joints it carries.

    Attributes:
        name: the arm's name; the gripper's joint for a gripper with its own topic.
        stream: topic, kind and rate.
        joints: (n,) in the driver's order, which is the robot's.
        columns: where they lie in the robot order.
        lower, upper: (n,) bounds within which positions are believed, grippers normalised.
        gripper: the gripper that is the last of them, in this topic's unit; None when there is none.
    """

    name: str
    stream: Stream
    joints: tuple[str, ...]
    columns: slice
    lower: FloatArray
    upper: FloatArray
    gripper: Gripper | None = None

    def from_native(self, values: Sequence[float], names: Sequence[str] = ()) -> FloatArray:
        """Return (n,) positions, grippers normalised, of a driver's values.

        Values are taken by name where the driver names joints: ours, or ours without the arm's prefix.
        Drivers that send placeholders (fewer names than values, or one name for all) are taken by place,
        and may append as many values as the robot file says.

        Raises:
            ShapeError: too few or too many values, or names that are not our joints'.
        """
        out = np.array(self._ours(values, names), dtype=np.float64)
        if self.gripper is not None:
            out[-1] = self.gripper.from_native(out[-1])
        return out

    def believed(self, values: Sequence[float], names: Sequence[str] = ()) -> FloatArray:
        """Return :meth:`from_native`, if these are positions that the joints can have; NaN and infinity pass.

        Raises:
            ShapeError: as :meth:`from_native`.
            ImplausibleError: a joint beyond its bounds by more than the margin of feedback.
        """
        out = self.from_native(values, names)
        beyond = np.isfinite(out) & ((out < self.lower) | (out > self.upper))
        if beyond.any():
            raise self._implausible(out, int(beyond.argmax()))
        return out

    def _ours(self, values: Sequence[float], names: Sequence[str]) -> Sequence[float]:
        size = len(self.joints)
        distinct = set(names)
        if len(names) >= len(values) >= size and (len(distinct) > 1 or not distinct.isdisjoint(self.joints)):
            named = dict(zip(names, values, strict=False))
            keys = [next((n for n in (j, *_shorter(j)) if n in named), None) for j in self.joints]
            missing = [joint for joint, key in zip(self.joints, keys, strict=True) if key is None]
            if missing:
                got = f"{list(names)} without {missing}"
                raise ShapeError(mismatch(f"names on {self.stream.topic}", "all our joints", got, _CHECK_NAMES))
            return [named[key] for key in keys if key is not None]
        if not size <= len(values) <= size + self.stream.spare_values:
            expected = f"{size} to {size + self.stream.spare_values}" if self.stream.spare_values else f"{size}"
            raise ShapeError(mismatch(f"values on {self.stream.topic}", expected, len(values), "check the driver"))
        return values[:size]

    def _implausible(self, positions: FloatArray, at: int) -> ImplausibleError:
        joint, value, lower, upper = self.joints[at], positions[at], self.lower[at], self.upper[at]
        if (self.gripper is not None and at == len(positions) - 1) or self.joints == (joint,):
            remedy = "read the driver's value at both ends and correct closed_native and open_native"
        elif lower <= np.radians(value) <= upper and abs(value) > np.pi:
            remedy = "these look like degrees; set the driver to radians"
        else:
            remedy = "bring the joint into its range by hand, or correct its limits in the robot file"
        expected = f"{lower:.2f} to {upper:.2f}"
        return ImplausibleError(joint, mismatch(f"{joint} on {self.stream.topic}", expected, f"{value:.4g}", remedy))

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


def fault_of(topic: JointTopic, values: Sequence[float], names: Sequence[str]) -> tuple[str, str]:
    """Return the cause code of feedback that must not be acted on, and why; both empty when it is well."""
    try:
        positions = topic.believed(values, names)
    except ImplausibleError as error:
        return f"IMPLAUSIBLE:{error.joint}", str(error)
    except ShapeError as error:
        return f"JOINTS_WRONG:{topic.name}", str(error)
    if not np.isfinite(positions).all():
        return f"NOT_FINITE:{topic.name}", f"{topic.stream.topic} says {positions.tolist()}"
    return "", ""


def feedback_topics(robot: Robot) -> tuple[JointTopic, ...]:
    """Return the topics that carry joint feedback, arm by arm."""
    return tuple(
        t for start, arm in _starts(robot) for t in _topics(arm, start, arm.state, arm.gripper_state, arm.gripper)
    )


def command_topics(robot: Robot) -> tuple[JointTopic, ...]:
    """Return the topics that move the joints, arm by arm."""
    return tuple(
        t
        for start, arm in _starts(robot)
        for t in _topics(arm, start, arm.command, arm.gripper_command, _commanded(arm.gripper))
    )


def _commanded(grip: Gripper) -> Gripper:
    """The same gripper in the unit of commands."""
    gain = grip.driver_gain
    return replace(grip, closed_native=grip.closed_native / gain, open_native=grip.open_native / gain)


def _starts(robot: Robot) -> Iterator[tuple[int, Arm]]:
    start = 0
    for arm in robot.arms:
        yield start, arm
        start += len(arm.joints) + 1


def _topics(arm: Arm, start: int, arm_stream: Stream, gripper_stream: Stream, grip: Gripper) -> Iterator[JointTopic]:
    end, limits = start + len(arm.joints), arm.limits
    lower = np.array([*limits.lower_rad, 0.0]) - [*[limits.feedback_margin_rad] * len(arm.joints), grip.feedback_margin]
    upper = np.array([*limits.upper_rad, 1.0]) + [*[limits.feedback_margin_rad] * len(arm.joints), grip.feedback_margin]
    if gripper_stream.topic == arm_stream.topic:
        yield JointTopic(arm.name, arm_stream, (*arm.joints, grip.joint), slice(start, end + 1), lower, upper, grip)
    else:
        yield JointTopic(arm.name, arm_stream, arm.joints, slice(start, end), lower[:-1], upper[:-1])
        yield JointTopic(grip.joint, gripper_stream, (grip.joint,), slice(end, end + 1), lower[-1:], upper[-1:], grip)


def _shorter(joint: str) -> Iterator[str]:
    """Its name without the prefixes that tell one arm's joints from another's: ``left_arm_joint1``, then ``joint1``."""
    while "_" in joint:
        joint = joint.partition("_")[2]
        yield joint
