# SPDX-License-Identifier: Apache-2.0
"""A person's hand among the nodes: what he wants goes to motion as short chunks that end at rest (adr/0008).

He leads only after ``takeover``; motion says whether he may. A dead-man that is pressed asks for it. The node says
nothing while the dead-man is released or the leader is silent: the arms then rest at the end of what was said last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, String
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.control import farthest
from wam_ros.core.errors import ConfigError, ShapeError, mismatch
from wam_ros.core.safety import POLICY, TELEOP
from wam_ros.core.types import FloatArray
from wam_ros.files.assets import load_robot
from wam_ros.ros.convert import chunk_to_msg
from wam_ros.ros.main import run_node
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import COMMAND, EVENT, LATCHED, STATE
from wam_ros.ros.requests import Requests
from wam_ros.ros.stance import Stance
from wam_ros.ros.status import OK, WARN, StatusReporter, Value, find_status, read_values
from wam_ros.ros.terminal import Terminal
from wam_ros.ros.timebase import steady_clock, timebase_of
from wam_ros.teleoperation.gamepad import Gamepad
from wam_ros.teleoperation.hand import Hand, JogHand, LeaderHand
from wam_ros.teleoperation.jog import Jog
from wam_ros.teleoperation.keyboard import Keyboard
from wam_ros.teleoperation.lead import Speedometer, ahead
from wam_ros.teleoperation.leader import LeaderArm

SOURCES = ("leader", "gamepad", "keyboard")
#: Chunks before a takeover is asked for: motion must have heard where the person is.
_HEARD = 3


@dataclass(frozen=True, kw_only=True)
class TeleopParams:
    """Parameters of the teleoperation node."""

    robot: str = parameter(description="name or YAML path of the robot")
    source: str = parameter(description="what is in the person's hand: leader, gamepad or keyboard")
    rate_hz: float = parameter(20.0, description="pace of the chunks", unit="Hz", lower=5.0, upper=50.0)
    speed_m_s: float = parameter(0.1, description="of a jogged tool", unit="m/s", lower=0.0, upper=1.0)
    turn_rad_s: float = parameter(0.6, description="of a jogged tool", unit="rad/s", lower=0.0, upper=3.0)
    leader_topics: str = parameter("leader/joint_states", description="of the leader arms, separated by commas")
    leader_names: str = parameter("", description="its joints in robot order, separated by commas; empty: the robot's")
    leader_closed: float = parameter(0.0, description="what the leader says when its grip is closed")
    leader_open: float = parameter(1.0, description="what it says when its grip is open")
    pedal: str = parameter("", description="topic of a pedal (std_msgs/Bool), the leader's dead-man; empty: none")
    terminal: str = parameter("", description="of the keyboard, as the command tty says it; empty: this process's")

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ConfigError(mismatch("teleop: source", " or ".join(SOURCES), repr(self.source), "choose one"))


class TeleopNode(Node):
    """Ports of a hand."""

    _terminal: Terminal | None = None

    def __init__(self, **node_args: Any) -> None:
        super().__init__("teleop", **node_args)
        self._params = declare(self, TeleopParams)
        self._robot = load_robot(self._params.robot)
        self._time, self._ticked_ns = timebase_of(self), 0
        self._asks = self._params.source != "leader" or bool(self._params.pedal)
        self._pressed, self._leads = not self._params.pedal, POLICY
        self._said = self._chunks = self._refused = 0
        self._news, self._too_far, self._apart = "", "", ("", 0.0)
        self._hand = self._make_hand()
        self._speed = Speedometer(self._robot.gripper_mask)
        self._stance = Stance(self, self._robot, self._time)
        self._requests = Requests(self, self._on_answer)
        self._publisher = self.create_publisher(JointTrajectory, f"{TELEOP}/chunk", COMMAND)
        self.create_subscription(String, "control/source", self._on_control, LATCHED)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)
        self.create_timer(1.0 / self._params.rate_hz, self._on_tick, clock=steady_clock())
        self._reporter = StatusReporter(self, self._read)

    def destroy_node(self) -> None:
        """Give the terminal back, then end."""
        if self._terminal is not None:
            self._terminal.close()
        super().destroy_node()

    # -- what is in the hand ---------------------------------------------------------------

    def _make_hand(self) -> Hand:
        given, arms = self._params, len(self._robot.arms)
        if given.source == "leader":
            return self._leader()
        speeds = given.speed_m_s, given.turn_rad_s
        if given.source == "gamepad":
            pad = Gamepad(arms, *speeds)
            self.create_subscription(Joy, "joy", partial(self._heed, pad.take, ("axes", "buttons")), STATE)
            return JogHand(pad, Jog(self._robot))
        self._terminal, self._keyboard = Terminal(given.terminal), Keyboard(arms, *speeds)
        return JogHand(self._keyboard, Jog(self._robot))

    def _leader(self) -> LeaderHand:
        given = self._params
        leader = LeaderArm(self._robot, _words(given.leader_names), given.leader_closed, given.leader_open)
        for topic in _words(given.leader_topics):
            self.create_subscription(JointState, topic, partial(self._heed, leader.take, ("name", "position")), STATE)
        if given.pedal:
            self.create_subscription(Bool, given.pedal, self._on_pedal, STATE)
        return LeaderHand(leader, lambda: self._pressed)

    def _heed(self, take: Callable[..., None], fields: tuple[str, str], msg: Any) -> None:
        try:
            take(*(getattr(msg, field) for field in fields), self._time.now_ns())
        except ShapeError as error:
            self._refused, self._news = self._refused + 1, str(error)
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_pedal(self, msg: Bool) -> None:
        self._pressed = msg.data

    # -- what it does ----------------------------------------------------------------------

    def _on_tick(self) -> None:
        now_ns = self._time.now_ns()
        if now_ns <= self._ticked_ns:
            self._ticked_ns = min(now_ns, self._ticked_ns)  # simulated time rests, or began anew
            return
        self._ticked_ns = now_ns
        if self._terminal is not None:
            self._keyboard.take(self._terminal.read(), now_ns)
        here = self._stance.position(now_ns)
        wanted = self._hand.wanted(now_ns, here)
        if wanted is None:
            self._said = 0
            self._speed.forget()
        else:
            self._say(wanted, now_ns, here)
        for deed in self._hand.deeds():
            self._requests.ask(*deed.value)

    def _say(self, wanted: FloatArray, now_ns: int, here: FloatArray | None) -> None:
        velocity = self._speed.tell(now_ns, wanted)
        chunk = ahead(self._time.to_stamp(now_ns), self._robot.joint_names, wanted, velocity)
        self._publisher.publish(chunk_to_msg(chunk))
        self._chunks, self._said = self._chunks + 1, self._said + 1
        if here is not None:
            self._apart = farthest(self._robot.joint_names, ~np.array(self._robot.gripper_mask), wanted, here)
        if self._asks and self._said == _HEARD and self._leads != TELEOP:
            self._requests.ask("takeover", True)

    # -- what is said ----------------------------------------------------------------------

    def _on_control(self, msg: String) -> None:
        self._leads = msg.data

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        if (motion := find_status(array, "wam/motion")) is not None:
            before, self._too_far = self._too_far, read_values(motion).get("too_far", "")
            if self._too_far and not before:
                self.get_logger().warning(f"not followed: {self._too_far}")

    def _on_answer(self, granted: bool, text: str) -> None:
        self._news = text
        (self.get_logger().info if granted else self.get_logger().warning)(text)

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        speaks = self._said > 0
        message = self._too_far or "speaks" if speaks else self._hand.excuse(self._time.now_ns())
        values: dict[str, Value] = {
            "state": "SPEAKING" if speaks else "SILENT",
            "source": self._params.source,
            "control": self._leads,
            "chunks": self._chunks,
            "refused_messages": self._refused,
            "farthest": self._apart[0],
            "apart_rad": self._apart[1],
            "news": self._news,
        }
        return OK if message == "speaks" or self._leads != TELEOP else WARN, message, values


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def main() -> None:
    """Run the node."""
    sys.exit(run_node(TeleopNode))
