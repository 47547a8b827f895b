# SPDX-License-Identifier: Apache-2.0
"""How drivers speak of joints: one dialect for each ``kind`` of stream, in both directions.

==========================  ================================================================================
kind                        message
==========================  ================================================================================
joint_state                 sensor_msgs/JointState: names (perhaps placeholders), positions
joint_state_with_speed_cap  the same; in a command ``velocity`` is each joint's largest speed
joint_arrays                a vendor's type with ``header``, ``joint_pos`` and ``joint_vel``, no names
==========================  ================================================================================

A vendor's package is imported by name when a robot needs it, never before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from sensor_msgs.msg import JointState

from wam_ros.core.errors import ConfigError, MissingDependencyError, mismatch
from wam_ros.core.joint_topics import JointTopic
from wam_ros.core.robot import Stream
from wam_ros.ros.convert import ns_to_stamp, stamp_to_ns

_ARRAYS = ("header", "joint_pos", "joint_vel")


class Spoken(NamedTuple):
    """What a joint message says, in the driver's units and order.

    Attributes:
        stamp_ns: 0 where it says none.
        names: empty, placeholders, or the joints'.
        positions, velocities: as many as the driver sent.
    """

    stamp_ns: int
    names: Sequence[str]
    positions: Sequence[float]
    velocities: Sequence[float]


class Dialect(NamedTuple):
    """The message type of a stream, and how it is read and written.

    Attributes:
        message: its type.
        read: what a message says.
        write: a message that says something.
    """

    message: type
    read: Callable[[Any], Spoken]
    write: Callable[[Spoken], Any]


def dialect_of(topic: JointTopic) -> Dialect:
    """Return how a topic is spoken.

    Raises:
        ConfigError: a kind that nobody speaks, or a vendor's type without the fields of its kind.
        MissingDependencyError: the vendor's package is not there.
    """
    make = _DIALECTS.get(topic.stream.kind)
    if make is None:
        what = f"kind of {topic.stream.topic}"
        raise ConfigError(mismatch(what, ", ".join(_DIALECTS), topic.stream.kind, "correct the robot file"))
    return make(topic)


def vendor_type(stream: Stream) -> type:
    """Import the message type that a stream names as ``package/msg/Name``.

    Raises:
        ConfigError: it names none.
        MissingDependencyError: the package is not there, or does not have it.
    """
    package, _, name = stream.message.replace("/msg/", "/").partition("/")
    if not (package and name):
        what = f"message of {stream.topic}"
        raise ConfigError(mismatch(what, "package/msg/Name", repr(stream.message), "correct the robot file"))
    try:
        found: type = getattr(import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise MissingDependencyError(
            f"{stream.topic} speaks {stream.message}, which is not installed here ({error}); source the vendor's "
            f"workspace in this terminal before you start (. WORKSPACE/install/setup.bash), the one its driver runs in"
        ) from error
    return found


def _joint_state(_: JointTopic) -> Dialect:
    return Dialect(JointState, _read_joint_state, _write_joint_state)


def _read_joint_state(msg: JointState) -> Spoken:
    return Spoken(stamp_to_ns(msg.header.stamp), msg.name, msg.position, msg.velocity)


def _write_joint_state(said: Spoken) -> JointState:
    msg = JointState(name=list(said.names), position=list(said.positions), velocity=list(said.velocities))
    msg.header.stamp = ns_to_stamp(said.stamp_ns)
    return msg


def _joint_arrays(topic: JointTopic) -> Dialect:
    kind, size = vendor_type(topic.stream), len(topic.joints)
    lacking = [name for name in _ARRAYS if not hasattr(kind, name)]
    if lacking:
        what = f"fields of {topic.stream.message}"
        raise ConfigError(mismatch(what, ", ".join(_ARRAYS), f"none of {lacking}", "correct the robot file"))
    width = len(kind().joint_pos)
    if width < size:
        what = f"joint_pos of {topic.stream.message}"
        raise ConfigError(mismatch(what, f"at least {size} values", width, "correct the robot file"))

    def read(msg: Any) -> Spoken:
        return Spoken(stamp_to_ns(msg.header.stamp), (), msg.joint_pos[:size], msg.joint_vel[:size])

    def write(said: Spoken) -> Any:
        msg = kind()
        msg.header.stamp = ns_to_stamp(said.stamp_ns)
        for field, values in (("joint_pos", said.positions), ("joint_vel", said.velocities)):
            setattr(msg, field, [*values, *(0.0,) * (width - len(values))])
        return msg

    return Dialect(kind, read, write)


_DIALECTS: Mapping[str, Callable[[JointTopic], Dialect]] = {
    "joint_state": _joint_state,
    "joint_state_with_speed_cap": _joint_state,
    "joint_arrays": _joint_arrays,
}
