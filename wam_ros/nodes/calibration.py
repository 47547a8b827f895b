# SPDX-License-Identifier: Apache-2.0
"""Takes a calibration on a running robot: looks when the arms rest, proposes poses, solves, verifies, saves.

It stands in the graph where a policy would: to drive, it says chunks on ``policy/chunk`` and reports as ``wam/policy``, so
motion joins and limits them, safety watches it, and a person may take over at any time. Whoever moves the arms, it looks.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from wam_ros.calibration.captures import Captures
from wam_ros.calibration.conductor import Conductor
from wam_ros.calibration.errands import Errand, Manner
from wam_ros.core.safety import POLICY, Answer, State
from wam_ros.core.serials import serials_of
from wam_ros.core.types import NS_PER_S, Observation
from wam_ros.files.assets import load_robot, load_task
from wam_ros.files.board import parse_board
from wam_ros.kinematics.routes import Routes
from wam_ros.kinematics.workspace import Workspace
from wam_ros.ros.convert import chunk_to_msg
from wam_ros.ros.decoding import DecodeThread
from wam_ros.ros.lockstep import Member, Token
from wam_ros.ros.main import run_node
from wam_ros.ros.observe import ObservationSource
from wam_ros.ros.optics import OpticsEar
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import COMMAND, LATCHED
from wam_ros.ros.stance import Stance
from wam_ros.ros.status import OK, WARN, StatusReporter, Value
from wam_ros.ros.tf import StaticBroadcaster
from wam_ros.ros.timebase import steady_clock, timebase_of

_PACE_NS = 100_000_000


@dataclass(frozen=True, kw_only=True)
class CalibrationParams:
    """Parameters of the calibration node."""

    robot: str = parameter(description="name or YAML path of the robot")
    task: str = parameter(description="name or YAML path of the task whose workspace the tools keep to")
    board: str = parameter(
        "", description="as in {columns: 11, rows: 8, square_m: 0.02, marker_m: 0.015}; empty: that one"
    )
    drive: bool = parameter(
        False, description="go to the proposed poses; else only look when the arms have come to rest"
    )
    auto: bool = parameter(True, description="look at every new rest; else when calibrate/capture is called")
    poses: int = parameter(15, description="of each camera that an arm carries", lower=4, upper=100)
    seed: int = parameter(0, description="of the poses that are drawn", lower=0, upper=2**31 - 1)
    speed_share: float = parameter(0.15, description="of the robot's limits, when driving", lower=0.01, upper=1.0)
    rest_s: float = parameter(0.4, description="rest of the arms before it looks", unit="s", lower=0.1, upper=5.0)
    serials: str = parameter("", description="of the cameras that are plugged in, as in left_wrist=0815,head=0816")
    out: str = parameter("", description="file that calibrate/save writes; empty: calibration-ROBOT.yaml")
    lockstep_after: str = parameter("", description="whose token to wait for; empty: realtime")


class CalibrationNode(Node):
    """Ports of a conductor."""

    _conductor: Conductor | None = None

    def __init__(self, **node_args: Any) -> None:
        super().__init__("calibration", **node_args)
        self._params = declare(self, CalibrationParams)
        self._robot, task = load_robot(self._params.robot), load_task(self._params.task)
        self._board, self._serials = parse_board(self._params.board), serials_of(self._robot, self._params.serials)
        self._routes = Routes(self._robot, Workspace(self._robot, task.workspace).holds)
        self._time, self._acted_ns, self._chunk_ns = timebase_of(self), 0, 0
        self._safety, self._leader, self._told = State.DISARMED, POLICY, 0
        self._optics, self._stance = OpticsEar(self, self._robot), Stance(self, self._robot, self._time)
        self._frames, self._thread = StaticBroadcaster(self), DecodeThread(self)
        self._source = ObservationSource(
            self, self._robot, on_observation=self._on_observation, on_arrival=self._check_ring
        )
        self._publisher = self.create_publisher(JointTrajectory, "policy/chunk", COMMAND)
        self.create_subscription(DiagnosticStatus, "safety/state", self._on_safety, LATCHED)
        self.create_subscription(String, "control/source", self._on_control, LATCHED)
        for name in ("capture", "solve", "verify", "save", "discard"):
            self.create_service(Trigger, f"calibrate/{name}", partial(self._on_request, name))
        self._ring: Member | None = None
        if after := self._params.lockstep_after:
            self._ring = Member(self, self.get_name(), after, ready=self._ready, act=self._on_token)
        self.create_timer(_PACE_NS / NS_PER_S, self._on_timer, clock=steady_clock())
        self._reporters = [StatusReporter(self, self._read), StatusReporter(self, self._read_leading, name="policy")]

    def destroy_node(self) -> None:
        """End the thread, then the node."""
        self._source.close()
        self._thread.close()
        super().destroy_node()

    # -- what is heard ---------------------------------------------------------------------

    def _on_safety(self, status: DiagnosticStatus) -> None:
        self._safety = State(status.message)

    def _on_control(self, msg: String) -> None:
        self._leader = msg.data

    def _on_observation(self, observation: Observation) -> None:
        if self._conductor is not None:
            self._conductor.still.see(observation)

    def _on_timer(self) -> None:
        if self._conductor is None and not self._optics.lack:
            self._conductor = self._begin()
        if self._ring is None:
            self._act(self._time.now_ns())

    def _check_ring(self) -> None:
        if self._ring is not None:
            self._ring.check()

    def _ready(self, token: Token) -> bool:
        """Lockstep: all data of this tick are here, and nothing is being thought about."""
        thinking = self._conductor is not None and self._conductor.thinking
        return not thinking and self._source.holds(token.time_ns, token.needed_ns)

    def _on_token(self, token: Token) -> int:
        self._act(token.time_ns)
        return self._chunk_ns

    # -- what it does ----------------------------------------------------------------------

    def _act(self, now_ns: int) -> None:
        joints = self._source.latest_joints()
        if self._conductor is None or joints is None or now_ns < self._acted_ns + _PACE_NS:
            return
        self._acted_ns, conductor = now_ns, self._conductor
        conductor.still.feel(joints.stamp_ns, joints.position)
        conductor.lead(self._stance.position(now_ns) if self._safety.live and self._leader == POLICY else None)
        if errand := conductor.step(now_ns):
            self._thread.submit(errand.work, partial(self._on_done, errand), lambda _: None)
        chunk = conductor.drive.chunk(now_ns, self._time.to_stamp(now_ns))
        if chunk is not None:
            self._publisher.publish(chunk_to_msg(chunk))
            self._chunk_ns = chunk.stamp_ns
        if conductor.told != self._told:
            self._tell(conductor)

    def _on_done(self, errand: Errand, found: Any) -> None:
        errand.done(found)
        self._check_ring()

    def _begin(self) -> Conductor:
        how = self._params
        optics = {camera.name: self._optics.optics[camera.name] for camera in self._robot.cameras}
        fresh = partial(Captures, self._robot, self._board, optics, self._serials)
        manner = Manner(how.drive, how.auto, how.speed_share, how.rest_s)
        return Conductor(self._robot, fresh, self._routes, manner, how.poses, how.seed)

    def _tell(self, conductor: Conductor) -> None:
        self._told = conductor.told
        self.get_logger().info(conductor.news)
        if conductor.result is not None:
            self._frames.publish(conductor.content().frames(), self._time.to_stamp(self._time.now_ns()))

    def _on_request(self, name: str, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._answer(name)
        self.get_logger().info(response.message)
        return response

    def _answer(self, name: str) -> Answer:
        if self._conductor is None:
            return Answer(False, f"{name} refused: {self._optics.lack or 'it has only just begun to see; ask again'}")
        if name == "save":
            return self._conductor.save(Path(self._params.out or f"calibration-{self._robot.name}.yaml"))
        return Answer(*getattr(self._conductor, name)())

    # -- what is said ----------------------------------------------------------------------

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        if self._conductor is None:
            return WARN, self._optics.lack, {"state": "BLIND", "news": self._optics.lack}
        values = {**self._conductor.figures(), **self._source.statistics()}
        return OK, str(values["lacks"] or values["news"]), values

    def _read_leading(self) -> tuple[bytes, str, dict[str, Value]]:
        """What the one who leads must say of himself."""
        return OK, "calibration leads", {"state": self._safety.value, "active": True}


def main() -> None:
    """Run the node."""
    # The thread that listens gets its turn from the one that solves within half a millisecond instead of five.
    sys.setswitchinterval(0.0005)
    sys.exit(run_node(CalibrationNode))
