# SPDX-License-Identifier: Apache-2.0
"""Diagnostics: what is written can be read, and every node reports at a steady pace."""

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from tests.ros_support import spinning, wait_until
from wam_ros.ros.qos import EVENT
from wam_ros.ros.status import OK, WARN, StatusReporter, find_status, make_status, read_values


def test_values_are_written_so_that_they_can_be_read():
    status = make_status("wam/x", WARN, "late", {"n": 3, "share": 0.123456789, "on": True, "who": "head"})
    assert (status.level, status.message) == (WARN, "late")
    assert read_values(status) == {"n": "3", "share": "0.123457", "on": "1", "who": "head"}


def test_a_status_is_found_by_its_name():
    array = DiagnosticArray(status=[make_status("wam/a", OK, "", {}), make_status("wam/b", OK, "b", {})])
    assert find_status(array, "wam/b").message == "b"
    assert find_status(array, "wam/c") is None


def test_a_node_reports_again_and_again_what_holds_now(ros_context):
    reporter, listener = Node("reporter", context=ros_context), Node("listener", context=ros_context)
    heard = []
    with spinning(ros_context, reporter, listener) as executor:
        listener.create_subscription(DiagnosticArray, "diagnostics", heard.append, EVENT)
        StatusReporter(reporter, lambda: (OK, "fine", {"heard": len(heard)}), rate_hz=50.0)
        wait_until(executor, lambda: len(heard) >= 3)
    first, last = (find_status(array, "wam/reporter") for array in (heard[0], heard[-1]))
    assert first.message == "fine"
    assert int(read_values(last)["heard"]) > int(read_values(first)["heard"])
    assert heard[-1].header.stamp.sec > 0
