# SPDX-License-Identifier: Apache-2.0
"""Parameters are declared once, as a frozen dataclass; ROS sees types, ranges and descriptions."""

from contextlib import contextmanager
from dataclasses import dataclass

import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")

from rclpy.node import Node
from rclpy.parameter import Parameter

from wam_ros.core.errors import ConfigError
from wam_ros.ros.params import declare, parameter


@dataclass(frozen=True)
class Params:
    robot: str = parameter(description="name of the robot")
    rate_hz: float = parameter(100.0, description="pace", unit="Hz", lower=1.0, upper=500.0)
    depth: int = parameter(3, description="queue", lower=1, upper=5, read_only=False)
    quiet: bool = parameter(False, description="say less")
    names: tuple[str, ...] = parameter((), description="who")
    gains: tuple[float, ...] = parameter((1.0, 2.0), description="how much")


@dataclass(frozen=True)
class Checked(Params):
    def __post_init__(self):
        if self.quiet and self.names:
            raise ConfigError("quiet: expected no names, got some; remove them")


@contextmanager
def node_with(context, **values):
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = Node("tuned", context=context, parameter_overrides=overrides)
    try:
        yield node
    finally:
        node.destroy_node()


def test_defaults_hold_where_nothing_is_given(ros_context):
    with node_with(ros_context, robot="r") as node:
        assert declare(node, Params) == Params("r", 100.0, 3, False, (), (1.0, 2.0))


def test_given_values_win(ros_context):
    given = {"robot": "r", "rate_hz": 50.0, "depth": 5, "quiet": True, "names": ["a", "b"], "gains": [0.5]}
    with node_with(ros_context, **given) as node:
        assert declare(node, Params) == Params("r", 50.0, 5, True, ("a", "b"), (0.5,))


def test_ros_tools_see_description_unit_range_and_what_may_change(ros_context):
    with node_with(ros_context, robot="r") as node:
        declare(node, Params)
        rate, depth = node.describe_parameter("rate_hz"), node.describe_parameter("depth")
    assert rate.description == "pace [Hz]"
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (1.0, 500.0)
    assert (rate.read_only, depth.read_only) == (True, False)
    assert (depth.integer_range[0].from_value, depth.integer_range[0].to_value) == (1, 5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "tuned: parameter robot: expected a value, got nothing; give robot: name of the robot"),
        ({"robot": 7}, "parameter robot: expected str, got 7"),
        ({"robot": "r", "rate_hz": 100}, "expected float within 1.0..500.0, got 100; write 100.0"),
        ({"robot": "r", "rate_hz": 501.0}, "expected float within 1.0..500.0, got 501.0"),
        ({"robot": "r", "depth": 0}, "expected int within 1..5, got 0"),
        ({"robot": "r", "names": [1, 2]}, r"expected a list of str, got \[1, 2\]"),
        ({"robot": "r", "quiet": True, "names": ["a"]}, "quiet: expected no names"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(ros_context, given, message):
    with node_with(ros_context, **given) as node, pytest.raises(ConfigError, match=message):
        declare(node, Checked)


def test_a_read_only_parameter_cannot_be_set_later(ros_context):
    with node_with(ros_context, robot="r") as node:
        declare(node, Params)
        results = node.set_parameters([Parameter("rate_hz", value=9.0), Parameter("depth", value=4)])
        assert [result.successful for result in results] == [False, True]
