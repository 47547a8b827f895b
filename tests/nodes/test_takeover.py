# SPDX-License-Identifier: Apache-2.0
"""Takeover and hand-back among the real motion and safety nodes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from tests.cell_support import Cell, cell
from wam_ros.ros.convert import chunk_to_msg
from wam_ros.ros.qos import COMMAND, LATCHED
from wam_ros.ros.status import OK, make_status
from wam_ros.teleoperation.lead import ahead

__all__ = ["cell"]


class Person:
    """Somebody who leads the cell's arms: chunks and status of a teleop node.

    Attributes:
        wish: (J,) where the arms shall be; None: the dead-man is released.
        gone: the teleop node has died.
        told: who leads, as ``control/source`` says.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell, self.gone = cell, False
        self.wish: np.ndarray | None = None
        self.told: list[str] = []
        self.chunks = cell.create_publisher(JointTrajectory, "teleop/chunk", COMMAND)
        cell.create_subscription(String, "control/source", lambda msg: self.told.append(msg.data), LATCHED)
        cell._wishes["takeover"] = cell.create_client(SetBool, "takeover")
        self._speak, cell._say_pictures = cell._say_pictures, self._say
        cell.until(lambda: self.chunks.get_subscription_count() == 1)

    def _say(self) -> None:
        """Once for each picture, every 65 ms of simulated time."""
        self._speak()
        if self.wish is not None:
            still = np.zeros(len(self.wish))
            self.chunks.publish(chunk_to_msg(ahead(self.cell.now_ns, self.cell.robot.joint_names, self.wish, still)))
        if not self.gone:
            array = self.cell._status.msg_type(status=[make_status("wam/teleop", OK, "", {})])
            self.cell._status.publish(array)

    def take_over(self) -> None:
        self.wish = self.cell.position.copy()
        self.cell.until(lambda: self.cell.call("takeover", True).success)
        self.cell.until(lambda: self.cell.motion["source"] == "teleop" and self.told[-1] == "teleop")


@pytest.fixture
def person(cell):
    return Person(cell)


def assert_no_seam(cell: Cell) -> None:
    assert (np.abs(cell.speeds()) <= cell.robot.motion_limits()[0] * 1.001).all()
    assert float(cell.motion["seam_step_rad_max"]) <= 1e-6
    assert float(cell.motion["seam_step_rad_s_max"]) <= 1e-6


def test_a_person_takes_over_in_the_middle_of_a_motion_and_hands_back(cell, person):
    cell.run(1.0)
    person.take_over()
    cell.chunks.publish(cell.chunk(1.0))
    cell.until(lambda: cell.motion.get("ignored_policy") == "1")
    person.wish[0] += 0.3
    cell.until(lambda: abs(cell.position[0] - person.wish[0]) < 0.02)
    assert cell.call("takeover", False).message == "the policy leads"
    person.wish = None
    cell.until(lambda: cell.motion["source"] == "policy")
    accepted, before = int(cell.motion["accepted"]), cell.position[0]
    cell.chunks.publish(cell.chunk(-0.5))
    cell.until(lambda: int(cell.motion["accepted"]) > accepted and before - cell.position[0] > 0.1)
    assert cell.state == "RUNNING"
    assert person.told == ["policy", "teleop", "policy"]
    assert_no_seam(cell)


def test_led_by_a_person_the_robot_needs_no_policy_and_rests_when_he_lets_go(cell, person):
    person.wish = cell.position.copy()
    cell.until(lambda: cell.call("takeover", True).success)
    cell.off = {"policy"}
    cell.arm()
    cell.until(lambda: cell.state == "RUNNING")
    person.wish[0] += 0.2
    cell.until(lambda: abs(cell.position[0] - person.wish[0]) < 0.01)
    person.wish, since_ns = None, cell.now_ns
    cell.until_rest()
    cell.until(lambda: cell.now_ns - since_ns > 2_500_000_000)
    assert (cell.state, cell.cause) == ("RUNNING", "")
    cell.call("takeover", False)
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == "POLICY_SILENT"
    assert_no_seam(cell)


def test_a_teleop_node_that_dies_stops_the_robot_by_name(cell, person):
    cell.run(0.5)
    person.take_over()
    person.wish, person.gone = None, True
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == "TELEOP_SILENT"
    assert_no_seam(cell)


def test_whoever_is_not_there_or_far_away_does_not_take_over(cell, person):
    cell.arm()
    answer = cell.call("takeover", True)
    assert not answer.success
    assert "expected a fresh chunk on teleop/chunk, got none; start the teleop node" in answer.message
    person.wish = cell.position.copy()
    person.wish[8] -= 0.5

    def said() -> str:
        return cell.call("takeover", True).message

    name = cell.robot.joint_names[8]
    cell.until(lambda: f"{name} of the leader is -0.50 rad from the robot's, expected at most 0.2" in said())
    assert cell.motion["source"] == "policy"


def test_of_two_teleop_nodes_none_takes_over_and_one_that_comes_later_stops(cell, person, ros_context):
    cell.run(0.5)
    person.take_over()
    rival = Node("rival", context=ros_context)
    rival.create_publisher(JointTrajectory, "teleop/chunk", COMMAND)
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == "FOREIGN_PUBLISHER:teleop/chunk"
    cell.call("takeover", False)
    answer = cell.call("takeover", True)
    rival.destroy_node()
    assert answer.message == ("takeover refused: expected one node on teleop/chunk, got cell, rival; end the others")
