# SPDX-License-Identifier: Apache-2.0
"""Vendor types by name, with stand-ins that have the fields of the real ones; the real ones where they are installed."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from std_msgs.msg import Header

from wam_ros.core.errors import ConfigError, MissingDependencyError
from wam_ros.core.joint_topics import command_topics, feedback_topics
from wam_ros.files.assets import load_robot
from wam_ros.ros.convert import ns_to_stamp
from wam_ros.ros.dialects import Spoken, dialect_of

ROBOT = load_robot("ac_one")
PACKAGE, _, NAME = ROBOT.arms[0].state.message.split("/")


class Arrays:
    """The fields that matter, seven values wide as the vendor's."""

    header = joint_pos = joint_vel = None

    def __init__(self) -> None:
        self.header = Header()
        self.joint_pos, self.joint_vel, self.joint_cur = np.zeros(7), np.zeros(7), np.zeros(7)


class Narrow(Arrays):
    """Another vendor's, too small for an arm with a gripper."""

    def __init__(self) -> None:
        super().__init__()
        self.joint_pos = np.zeros(6)


@pytest.fixture
def vendor(monkeypatch):
    """Installs a stand-in for the vendor's package."""

    def install(kind: type) -> None:
        package, messages = ModuleType(PACKAGE), ModuleType(f"{PACKAGE}.msg")
        setattr(messages, NAME, kind)
        monkeypatch.setitem(sys.modules, PACKAGE, package)
        monkeypatch.setitem(sys.modules, f"{PACKAGE}.msg", messages)

    return install


def test_seven_values_travel_in_the_vendors_arrays_gripper_last(vendor):
    vendor(Arrays)
    topic = command_topics(ROBOT)[0]
    dialect = dialect_of(topic)
    assert dialect.message is Arrays
    position = np.array(ROBOT.ready_position())
    message = dialect.write(Spoken(12_000_000_034, topic.joints, topic.to_native(position).tolist(), ()))
    assert message.header.stamp == ns_to_stamp(12_000_000_034)
    assert list(message.joint_pos) == [*ROBOT.arms[0].ready_rad, ROBOT.arms[0].gripper.open_native]
    assert list(message.joint_vel) == [0.0] * 7
    said = dialect.read(message)
    assert said.stamp_ns == 12_000_000_034
    np.testing.assert_allclose(topic.believed(said.positions, said.names), position[:7], atol=1e-12)


@pytest.mark.skipif(find_spec(PACKAGE) is not None, reason=f"{PACKAGE} is installed here")
def test_a_missing_vendor_package_is_named_with_the_line_that_cures_it():
    with pytest.raises(MissingDependencyError, match=rf"{PACKAGE}.*source the vendor's workspace .*setup.bash"):
        dialect_of(feedback_topics(ROBOT)[0])


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed here")
def test_the_real_vendor_type_is_read_and_written():
    topic = command_topics(ROBOT)[0]
    dialect = dialect_of(topic)
    values = [0.1 * i for i in range(7)]
    assert list(dialect.read(dialect.write(Spoken(1, (), values, ()))).positions) == values


def test_a_package_without_the_type_or_the_fields_is_refused(vendor):
    vendor(Narrow)
    with pytest.raises(ConfigError, match=r"joint_pos .* expected at least 7 values, got 6"):
        dialect_of(feedback_topics(ROBOT)[0])
    vendor(Header)
    with pytest.raises(ConfigError, match="expected header, joint_pos, joint_vel"):
        dialect_of(feedback_topics(ROBOT)[0])
    first = feedback_topics(ROBOT)[0]
    other = replace(first, stream=replace(first.stream, message=f"{PACKAGE}/msg/Nothing"))
    with pytest.raises(MissingDependencyError, match="Nothing"):
        dialect_of(other)


@pytest.mark.parametrize(
    ("field", "value", "said"), [("kind", "smoke", "joint_arrays"), ("message", "", "package/msg")]
)
def test_a_stream_that_nobody_speaks_is_one_sentence(field, value, said):
    first = feedback_topics(ROBOT)[0]
    with pytest.raises(ConfigError, match=said):
        dialect_of(replace(first, stream=replace(first.stream, **{field: value})))
