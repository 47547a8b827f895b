# SPDX-License-Identifier: Apache-2.0
"""The safety node among real streams: what stops, and why."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from rclpy.node import Node
from sensor_msgs.msg import JointState

from tests.cell_support import cell
from wam_ros.ros.qos import COMMAND
from wam_ros.ros.status import ERROR, OK

__all__ = ["cell"]


def test_it_arms_with_all_streams_and_runs_with_the_first_chunk(cell):
    cell.run()
    assert [state for state, _ in cell.told] == ["DISARMED", "ARMED", "RUNNING"]
    assert {cause for _, cause in cell.told} == {""}


@pytest.mark.parametrize(
    ("silent", "cause"),
    [("head", "CAMERA_STALE:head"), ("left", "JOINTS_STALE:left"), ("policy", "POLICY_SILENT")],
)
def test_a_stream_that_falls_silent_stops_and_brings_the_arms_to_rest(cell, silent, cause):
    cell.run()
    cell.off = {silent}
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == cause
    cell.until(lambda: cell.motion["phase"] == "silent")
    assert abs(cell.position[0] - cell.robot.ready_position()[0]) < 0.99


@pytest.mark.parametrize("silent", ["right_wrist", "right_gripper", "policy"])
def test_arming_is_refused_without_a_stream_and_says_which(cell, silent):
    cell.off = {silent}
    cell.until(lambda: silent == "policy" or cell.motion != {})
    cell.until(lambda: len(cell.call("arm", True).message.split(", ")) == 1)
    answer = cell.call("arm", True)
    assert not answer.success
    assert (silent in answer.message) or (silent == "policy" and "POLICY_SILENT" in answer.message)


def test_the_operator_stops_and_only_reset_and_arm_lead_out(cell, capfd):
    cell.run()
    assert cell.call("safety_stop").success
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == "OPERATOR"
    cell.until(lambda: cell.motion["phase"] == "silent")  # several heartbeats later
    assert capfd.readouterr().err.count("STOPPED by OPERATOR: somebody asked for it") == 1
    assert not cell.call("arm", True).success
    assert cell.call("safety_reset").success
    cell.until(lambda: cell.motion["phase"] == "silent")
    cell.arm()
    assert [state for state, _ in cell.told] == ["DISARMED", "ARMED", "RUNNING", "STOPPED", "DISARMED", "ARMED"]


@pytest.mark.parametrize(
    ("spoilt", "cause"), [(np.nan, "NOT_FINITE:"), (-52.4, "IMPLAUSIBLE:")], ids=["no number", "degrees"]
)
def test_feedback_that_cannot_be_stops(cell, spoilt, cause):
    cell.run()
    cell.spoilt = spoilt
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause.startswith(cause)
    assert np.isfinite([p for _, p in cell.sent]).all()


@pytest.mark.parametrize(("level", "active", "cause"), [(ERROR, True, "POLICY_FAILED"), (OK, False, "POLICY_INACTIVE")])
def test_a_policy_that_cannot_infer_stops_and_blocks_arming(cell, level, active, cause):
    cell.run()
    cell.policy_level, cell.policy_active = level, active
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == cause
    assert not cell.call("safety_reset").success
    cell.policy_level, cell.policy_active = OK, True
    cell.until(lambda: cell.call("safety_reset").success)


def test_motion_that_dies_is_named(cell):
    cell.run()
    cell.runner.remove_node(cell.nodes[0])
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == "MOTION_SILENT"


def test_somebody_else_on_a_command_topic_blocks_arming_and_stops(cell, ros_context):
    topic = cell.robot.arms[1].command.topic
    intruder = Node("teleop", context=ros_context)
    rogue = intruder.create_publisher(JointState, topic, COMMAND)
    cell.until(lambda: cell.motion.get("cause") == f"FOREIGN_PUBLISHER:{topic}")
    cell.until(lambda: f"FOREIGN_PUBLISHER:{topic}" in cell.call("arm", True).message)
    intruder.destroy_publisher(rogue)
    cell.run()
    intruder.create_publisher(JointState, topic, COMMAND)
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == f"FOREIGN_PUBLISHER:{topic}"
    intruder.destroy_node()
