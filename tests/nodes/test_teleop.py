# SPDX-License-Identifier: Apache-2.0
"""The teleoperation node before the real motion and safety nodes: what is in a person's hand moves the arms."""

from __future__ import annotations

import os
import pty

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool, Trigger

from tests.cell_support import Cell, cell, parameters
from wam_ros.core.errors import ConfigError
from wam_ros.nodes.teleop import TeleopNode
from wam_ros.ros.qos import EVENT, STATE
from wam_ros.ros.status import find_status, read_values
from wam_ros.teleoperation.gamepad import BACK, LB, B

__all__ = ["cell"]


class Hand:
    """A person's devices, and the teleop node that reads them.

    Attributes:
        status: what the node said last; ``message`` its words.
        leader: (J,) where the leader arm is; None: it is silent.
        pressed, axes: of the gamepad, once it is set.
    """

    def __init__(self, cell: Cell, context, **params) -> None:
        self.cell, self.status, self.message = cell, {}, ""
        self.leader: np.ndarray | None = None
        self.names = list(cell.robot.joint_names)
        self.pressed: set[int] | None = None
        self.axes: dict[int, float] = {}
        self._joints = cell.create_publisher(JointState, "leader/joint_states", STATE)
        self._pad = cell.create_publisher(Joy, "joy", STATE)
        cell.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)
        cell._wishes["takeover"] = cell.create_client(SetBool, "takeover")
        self._before, cell._say_joints = cell._say_joints, self._say
        given = {"robot": cell.robot.name, "use_sim_time": True, "rate_hz": 50.0} | params
        self.node = TeleopNode(context=context, parameter_overrides=parameters(given))
        cell.nodes.append(self.node)
        cell.runner.add_node(self.node)

    def _say(self) -> None:
        self._before()
        if self.leader is not None:
            self._joints.publish(JointState(name=self.names, position=self.leader.tolist()))
        if self.pressed is not None:
            buttons, axes = [int(i in self.pressed) for i in range(11)], [self.axes.get(i, 0.0) for i in range(8)]
            self._pad.publish(Joy(axes=axes, buttons=buttons))

    def _on_diagnostics(self, array) -> None:
        status = find_status(array, "wam/teleop")
        if status is not None:
            self.status, self.message = read_values(status), status.message

    def until_it_says(self, **wanted: str) -> None:
        self.cell.until(lambda: wanted.items() <= self.status.items())


@pytest.fixture
def give(cell, ros_context):
    return lambda **params: Hand(cell, ros_context, **params)


def assert_no_seam(cell: Cell) -> None:
    assert (np.abs(cell.speeds()) <= cell.robot.motion_limits()[0] * 1.001).all()
    assert float(cell.motion["seam_step_rad_max"]) <= 1e-6
    assert float(cell.motion["seam_step_rad_s_max"]) <= 1e-6


def test_a_leader_arm_takes_over_by_the_service_when_it_is_near_and_leads(cell, give):
    hand = give(source="leader")
    cell.run(0.5)
    hand.until_it_says(state="SILENT", control="policy")
    assert hand.message.startswith(f"nothing has come from the leader's {hand.names[0]}")
    assert "expected a fresh chunk on teleop/chunk, got none" in cell.call("takeover", True).message
    hand.leader = cell.position + 0.4 * (np.arange(14) == 3)
    cell.until(lambda: f"{hand.names[3]} of the leader is" in cell.call("takeover", True).message)
    cell.until(lambda: hand.status.get("farthest") == hand.names[3] and float(hand.status["apart_rad"]) > 0.3)
    hand.leader = cell.position.copy()
    cell.until(lambda: cell.call("takeover", True).success)
    hand.until_it_says(state="SPEAKING", control="teleop")
    hand.leader[0] += 0.2
    hand.leader[6] = 0.0
    cell.until(lambda: abs(cell.position[0] - hand.leader[0]) < 0.02 and cell.position[6] < 0.05)
    cell.until_rest()
    hand.leader[3] += 0.8
    nearer = f"{hand.names[3]} of the leader is +0.80 rad from the robot's, expected at most 0.5; bring the leader"
    cell.until(lambda: hand.message.startswith(nearer))
    hand.leader[3] -= 0.8
    cell.until(lambda: hand.message == "speaks")
    hand.leader = None
    hand.until_it_says(state="SILENT")
    cell.until_rest()
    assert cell.state == "RUNNING"
    assert_no_seam(cell)


def test_a_leader_that_says_nonsense_moves_nothing_and_is_quoted(cell, give):
    hand = give(source="leader")
    cell.arm()
    for spoil, complaint in ((np.nan, "expected a number, got NaN"), (None, "expected 14, got 5")):
        hand.leader = np.full(14, spoil) if spoil is not None else cell.position[:5]
        cell.until(lambda words=complaint: words in hand.status.get("news", ""))
    hand.names[2], hand.leader = "no_such_joint", cell.position.copy()
    cell.until(lambda: "got no_such_joint; set leader_names" in hand.status["news"])
    assert hand.status["state"] == "SILENT"
    assert hand.status["chunks"] == "0"


def test_a_pedal_takes_over_when_it_is_pressed(cell, give):
    hand = give(source="leader", pedal="foot")
    foot = cell.create_publisher(Bool, "foot", STATE)
    cell.arm()
    hand.leader = cell.position.copy()
    cell.until(lambda: hand.message == "the pedal is released")
    cell.until(lambda: foot.get_subscription_count() == 1)

    def leads() -> bool:
        foot.publish(Bool(data=True))
        return hand.status["control"] == "teleop"

    cell.until(leads)
    assert hand.status["news"] == "takeover: teleop leads"


def test_a_gamepad_takes_over_moves_a_tool_and_hands_back(cell, give):
    hand, before = give(source="gamepad", speed_m_s=0.3), cell.position.copy()
    cell.run(0.3)
    hand.pressed = {LB}
    cell.until(lambda: hand.status.get("control") == "teleop")
    hand.axes = {4: 1.0}
    start = cell.position.copy()
    cell.until(lambda: np.abs(cell.position - start).max() > 0.05)
    hand.axes, hand.pressed = {}, set()
    hand.until_it_says(state="SILENT")
    assert hand.message == "the dead-man is released"
    cell.until_rest()
    assert cell.state == "RUNNING"
    assert np.allclose(cell.position[7:], before[7:]), "the other arm"
    hand.pressed = {B}
    cell.until(lambda: cell.motion["source"] == "policy")
    hand.pressed = {BACK}
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == "OPERATOR"
    assert_no_seam(cell)


def test_keys_of_a_terminal_move_a_tool_and_ask_for_the_rest(cell, give):
    keyboard, terminal = pty.openpty()
    marks, started = [], []
    cell.create_subscription(String, "operator/mark", lambda msg: marks.append(msg.data), EVENT)

    def on_start(_request, response):
        started.append(True)
        response.success, response.message = True, "episode 0: recording"
        return response

    cell.create_service(Trigger, "record/start", on_start)
    hand = give(source="keyboard", terminal=os.ttyname(terminal))
    cell.arm()
    cell.until(lambda: hand.node._requests._services["record/start"].service_is_ready())
    os.write(keyboard, b"1\nn")
    cell.until(lambda: started and marks == ["start", "failure"])
    cell.until(lambda: hand.status.get("news") == "record/start: episode 0: recording")
    start = cell.position.copy()

    def moved() -> bool:
        os.write(keyboard, b"r")
        return np.abs(cell.position - start).max() > 0.05

    cell.until(moved)
    os.write(keyboard, b"h")
    cell.until(lambda: cell.motion["source"] == "policy")
    cell.until_rest()
    assert_no_seam(cell)


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"source": "joystick"}, "teleop: source: expected leader or gamepad or keyboard, got 'joystick'"),
        ({}, "teleop: parameter source: expected a value, got nothing"),
        ({"source": "keyboard", "terminal": "/dev/null"}, "keyboard: terminal: expected a terminal, got '/dev/null'"),
        ({"source": "keyboard", "terminal": "/no/tty"}, "keyboard: terminal: expected a terminal, got '/no/tty'"),
        ({"source": "leader", "leader_names": "a, b"}, "teleop: leader_names: expected 14 names"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start_in_one_sentence(ros_context, robot, params, complaint):
    with pytest.raises(ConfigError, match=complaint):
        TeleopNode(context=ros_context, parameter_overrides=parameters({"robot": robot.name} | params))
