# SPDX-License-Identifier: Apache-2.0
"""Talks a person through a live calibration in the terminal: what was seen, what is missing, what to do next.

It asks the calibration node for everything through its services, as anybody may, and moves nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rich.console import Console
from std_srvs.srv import SetBool, Trigger

from wam_ros.calibration.survey import camera_lines
from wam_ros.core.errors import CalibrationError, RunError
from wam_ros.core.robot import Robot
from wam_ros.core.safety import TELEOP
from wam_ros.report.witness import Witness
from wam_ros.ros.arming import Arming
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.listen import SideListener
from wam_ros.ros.main import node_of_its_own
from wam_ros.ros.terminal import Terminal
from wam_ros.ros.wait import Patience, Waiter

#: Keys of the terminal: what they ask for, and its explanation.
KEYS = {"c": "capture", "d": "discard"}
HELP = "keys: c look now · s solve, verify and save · d forget all and begin anew · q leave"
LED_HELP = " · t take over, or hand back · a arm again"
#: A solution of many cameras on a slow computer [s].
SOLVING_S = 300.0


def lead_through(robot: Robot, move: str, console: Console, *, check: Callable[[], None], by_keys: bool) -> None:
    """Lead through a calibration on a graph that has been started, until its file is saved.

    Args:
        robot: of the graph.
        move: how its arms get about: hand, teleop or drive.
        console: of the person.
        check: raises a WamError when a needed process has ended.
        by_keys: a person sits at a terminal, and decides when it is enough.

    Raises:
        CalibrationError: no calibration that can be believed; nothing is saved.
        RunError: something never came.
        ConfigError: there is no terminal.
    """
    with node_of_its_own(Wizard, robot, move, console, check) as wizard:
        wizard.get_ready()
        with ExitStack() as whatever_happens:
            whatever_happens.callback(wizard.arming.let_go)
            wizard.capture(by_keys)
            while not wizard.save(final=not by_keys):
                wizard.capture(by_keys)
            whatever_happens.pop_all()
        if move != "hand":
            wizard.arming.disarm()


class Wizard(Node):
    """A person's ears and mouth in the graph.

    Attributes:
        arming: readies and arms the graph.
    """

    def __init__(self, robot: Robot, move: str, console: Console, check: Callable[[], None], **node_args: Any) -> None:
        clock = Parameter("use_sim_time", value=robot.simulated)
        super().__init__("wizard", parameter_overrides=[clock], **node_args)
        self._robot, self._move, self._console, self._patience = robot, move, console, Patience()
        self._spinner = LeanExecutor(context=self.context)
        self._spinner.add_node(self)
        self._waiter = Waiter(self._spinner, check)
        self._witness = Witness(robot, lambda: int(self.get_clock().now().nanoseconds))
        SideListener(self, robot, self._witness, [])
        self.arming = Arming(self, self._waiter, self._witness, self._wait_for, self._patience)
        names = ("capture", "solve", "verify", "save", "discard")
        self._asked = {name: self.create_client(Trigger, f"calibrate/{name}") for name in names}
        self._play, self._takeover = (self.create_client(SetBool, name) for name in ("sim/play", "takeover"))
        self._told, self._news = 0, {"cause": "", "far": "", "advice": ""}

    def destroy_node(self) -> None:
        """Leave the graph."""
        self._spinner.shutdown()
        super().destroy_node()

    # -- the way through -------------------------------------------------------------------

    def get_ready(self) -> None:
        """Wait until the calibration can see; arm where the arms are to be commanded."""
        for name in ("calibration", "motion", "safety"):
            self.arming.await_report(name)
        self._wait_for("camera_info of every camera")
        self._waiter.until(
            lambda: self._figures().get("state", "BLIND") != "BLIND", self._patience.arm_s, lambda: self._figure("news")
        )
        if self._move != "hand":
            self.arming.arm()
        if self._robot.simulated:
            self._waiter.call(self._play, SetBool.Request(data=True))

    def capture(self, by_keys: bool) -> None:
        """Tell what happens until it is enough."""
        terminal = Terminal() if by_keys else None
        self._say((HELP + LED_HELP * (self._move == "teleop")) * by_keys)
        try:
            while not self._enough(terminal):
                self._tell()
                self._waiter.gulp()
        finally:
            self._tell()
            if terminal is not None:
                terminal.close()

    def save(self, *, final: bool) -> bool:
        """Solve, verify and save; what cannot be believed is final, or is said and False is returned."""
        if self._figure("verified") != "1":
            self._ask("solve")
        self._waiter.until(self._solved, SOLVING_S, lambda: "the calibration was never solved; look at its node's log")
        # The outcome comes from who was asked: the status that tells it as news may be later than the file.
        for name in ("verify", "save"):
            answer = self._waiter.call(self._asked[name], Trigger.Request())
            if final and not answer.success:
                raise CalibrationError(answer.message)
            self._console.print(answer.message, highlight=False, markup=False, soft_wrap=True)
            if not answer.success:
                return False
        return True

    def _enough(self, terminal: Terminal | None) -> bool:
        self._mind_stops(terminal)
        for key in terminal.read() if terminal is not None else "":
            if key == "q":
                raise KeyboardInterrupt
            if key == "s":
                return True
            self._say(self._heed(key))
        if self._move == "drive":
            return self._figure("finished") == "1" and self._figure("state") == "WAITING"
        return terminal is None and self._figures().get("lacks") == ""

    def _mind_stops(self, terminal: Terminal | None) -> None:
        """A stop is the end, unless somebody is there who can arm again."""
        cause = self._witness.cause if self._move != "hand" and self._witness.state == "STOPPED" else ""
        if cause and (self._move == "drive" or terminal is None):
            raise RunError(f"safety has stopped the arms: {cause}; nothing is saved")
        self._once("cause", cause, f"safety has stopped the arms: {cause}; cure it, press a, lead on; no pose is lost")
        far = self._witness.report("motion").values.get("too_far", "")
        self._once("far", far.partition(" ")[0], f"not followed: {far}")

    def _heed(self, key: str) -> str:
        """Do what a key asks for, and return the answer."""
        if key in KEYS:
            return self._ask(KEYS[key])
        if key == "t" and self._move == "teleop":
            wish = self._witness.report("motion").values.get("source") != TELEOP
            return str(self._waiter.call(self._takeover, SetBool.Request(data=wish)).message)
        return self.arming.ask() if key == "a" and self._move == "teleop" else ""

    def _solved(self) -> bool:
        answer = self._waiter.call(self._asked["verify"], Trigger.Request())
        return answer.success or not answer.message.startswith("still")

    def _ask(self, name: str) -> str:
        return str(self._waiter.call(self._asked[name], Trigger.Request()).message)

    # -- what is said ----------------------------------------------------------------------

    def _figures(self) -> dict[str, str]:
        return dict(self._witness.report("calibration").values)

    def _figure(self, name: str) -> str:
        return self._figures().get(name, "")

    def _wait_for(self, what: str) -> None:
        self._say(f"waiting for {what}")

    def _say(self, text: str, style: str = "dim") -> None:
        if text:
            self._console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def _once(self, what: str, key: str, text: str, style: str = "dim") -> None:
        """Say a text when its key has changed; a key that is empty has nothing to say."""
        changed, self._news[what] = key != self._news[what], key
        self._say(text if key and changed else "", style)

    def _tell(self) -> None:
        if (told := int(self._figure("told") or 0)) != self._told:
            self._told = told
            cameras = camera_lines(self._figures(), [camera.name for camera in self._robot.cameras])
            lines = [self._figure("news"), *(f"  {line}" for line in cameras)]
            self._console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
            if self._figure("lacks"):
                self._say(f"  still: {self._figure('lacks')}")
        self._once("advice", self._figure("advice"), f"next: {self._figure('advice')}", "bold")
