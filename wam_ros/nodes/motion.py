# SPDX-License-Identifier: Apache-2.0
"""The motion node: the only one that commands the robot (motion/stage.py decides what).

Chunks in, commands out at the robot's rate, what is committed back to the policy. It imports no torch:
its period must not feel a model.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.errors import WamError
from wam_ros.core.safety import State
from wam_ros.core.schedule import COMMITTED_PACE_S
from wam_ros.core.types import NS_PER_S, nanoseconds
from wam_ros.files.assets import load_robot, load_task
from wam_ros.kinematics.workspace import Workspace
from wam_ros.motion.splicer import Splicer
from wam_ros.motion.stage import MotionStage, StageBounds
from wam_ros.ros.act import CommandSink
from wam_ros.ros.control import ControlPorts
from wam_ros.ros.convert import trajectory_to_msg
from wam_ros.ros.feedback import JointFeedback
from wam_ros.ros.lockstep import Member, Token
from wam_ros.ros.mail import ChunkMail
from wam_ros.ros.main import run_node
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import COMMAND, LATCHED
from wam_ros.ros.status import ERROR, OK, StatusReporter, Value
from wam_ros.ros.timebase import PeriodMeter, reader, steady_clock, timebase_of

_LAST_NS = 1_500_000_000  # the arms' time to rest when the process is asked to end
_LOOK_AROUND_S = 0.4  # pace at which other publishers of our topics are looked for


@dataclass(frozen=True, kw_only=True)
class MotionParams(StageBounds):
    """Parameters of the motion node; the bounds are declared in motion/stage.py."""

    robot: str = parameter(description="name or YAML path of the robot")
    task: str = parameter(description="name or YAML path of the task, which says how chunks are joined")
    lockstep_after: str = parameter("", description="whose token to wait for; empty: realtime")
    idle_publishers: tuple[str, ...] = parameter((), description="nodes that own a publisher to the arms but rest")


class MotionNode(Node):
    """Ports of the motion stage."""

    def __init__(self, **node_args: Any) -> None:
        super().__init__("motion", **node_args)
        params = declare(self, MotionParams)
        robot, task = load_robot(params.robot), load_task(params.task)
        self._idle = params.idle_publishers
        self._time, self._steady_ns = timebase_of(self), reader(steady_clock())
        splicer = Splicer.for_robot(robot, method=task.method, free=Workspace(robot, task.workspace).holds)
        self._stage = MotionStage(splicer, robot, params)
        self._sink = CommandSink(self, robot)
        self._feedback = JointFeedback(self, robot, self._time.now_ns, self._check_ring)
        self._meter = PeriodMeter(round(NS_PER_S / robot.command_rate_hz))
        self._mail = ChunkMail(self, self._time.from_stamp, self._on_bad_chunk, self._on_mail)
        self._control = ControlPorts(self, self._stage, self._time.now_ns, self._report_news)
        self._shared_ns = self._ticked_ns = 0
        self._intruder, self._news = "", ""
        self._publisher = self.create_publisher(JointTrajectory, "motion/committed", COMMAND)
        self._ring: Member | None = None
        self._reporter = StatusReporter(self, self._read)
        self._pace(params.lockstep_after, 1.0 / robot.command_rate_hz)
        self.create_subscription(DiagnosticStatus, "safety/state", self._on_safety, LATCHED)

    def destroy_node(self) -> None:
        """Come to rest, then end."""
        if self.context.ok():
            self._come_to_rest()
        super().destroy_node()

    def _pace(self, lockstep_after: str, period_s: float) -> None:
        clock = steady_clock()
        self.create_timer(_LOOK_AROUND_S, self._on_look_around, clock=clock)
        if lockstep_after:
            self._ring = Member(self, self.get_name(), lockstep_after, ready=self._ready, act=self._on_token)
        else:
            self.create_timer(period_s, self._on_timer, clock=clock)

    # -- what is heard ---------------------------------------------------------------------

    def _on_safety(self, status: DiagnosticStatus) -> None:
        self._stage.on_safety(State(status.message), self._time.now_ns())
        self._report_news()

    def _on_bad_chunk(self, error: WamError) -> None:
        self._stage.on_bad_chunk(error)
        self.get_logger().warning(f"chunk refused: {error}")

    def _on_mail(self) -> None:
        if self._ring is None:
            self._open_mail(self._time.now_ns())
        self._check_ring()

    def _open_mail(self, now_ns: int) -> None:
        self._feel()
        for source, chunk in self._mail.take():
            self._stage.on_chunk(chunk, now_ns, source)
        self._report_news()

    def _on_look_around(self) -> None:
        topic = self._sink.intruder(self._idle) or self._control.rival()
        self._intruder = f"FOREIGN_PUBLISHER:{topic}" if topic else ""
        self._report_news()

    # -- when it acts ----------------------------------------------------------------------

    def _on_timer(self) -> None:
        self._meter.tick(self._steady_ns())
        now_ns = self._time.now_ns()
        if now_ns != self._ticked_ns:  # simulated time may rest
            self._tick(now_ns)

    def _check_ring(self) -> None:
        if self._ring is not None:
            self._ring.check()

    def _ready(self, token: Token) -> bool:
        return self._feedback.stamp_ns >= token.time_ns and self._mail.policy_stamp_ns >= token.needed_ns

    def _on_token(self, token: Token) -> int:
        self._stage.safety_lives(token.time_ns)  # it has passed the last round on
        self._open_mail(token.time_ns)
        return token.time_ns if self._tick(token.time_ns) else 0

    def _tick(self, now_ns: int) -> bool:
        """Send what is due; False when that is nothing."""
        self._ticked_ns = now_ns
        self._feel()
        setpoint = self._stage.tick(now_ns)
        if setpoint is not None:
            self._sink.stream(setpoint.position, self._time.to_stamp(now_ns))
        if self._stage.renewed or now_ns - self._shared_ns >= nanoseconds(COMMITTED_PACE_S):
            self._share(now_ns)
        self._report_news()
        return setpoint is not None

    def _feel(self) -> None:
        self._stage.on_joints(self._feedback.position, *self._feedback.slowest)

    def _share(self, now_ns: int) -> None:
        """Tell controllers and the policy what is committed."""
        self._shared_ns = now_ns
        trajectory = self._stage.committed(now_ns)
        if trajectory is not None:
            stamped = replace(trajectory, times_ns=tuple(map(self._time.to_stamp, trajectory.times_ns)))
            self._sink.commit(stamped)
            self._publisher.publish(trajectory_to_msg(stamped))

    def _come_to_rest(self) -> None:
        end_ns = self._steady_ns() + _LAST_NS
        self._stage.brake(self._time.now_ns())
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(self)
        while self._stage.moving(self._time.now_ns()) and self._steady_ns() < end_ns:
            executor.spin_once(timeout_sec=0.02)
        executor.shutdown()

    # -- what is said ----------------------------------------------------------------------

    @property
    def _cause(self) -> str:
        return self._stage.fault or self._intruder

    def _report_news(self) -> None:
        """Report at once what safety acts on."""
        news = f"{self._stage.view} {self._stage.phase} {self._stage.executing} {self._cause} {self._control.source}"
        if news != self._news:
            if self._cause and self._cause not in self._news:
                self.get_logger().error(self._cause)
            self._news = news
            self._reporter.report()

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        values = self._stage.account() | {
            "cause": self._cause,
            "sees_chunk_stamp": self._time.to_stamp(self._stage.sees_ns),
            "period_ms_p99": self._meter.percentile_ms(99),
            "missed_ticks": self._meter.missed,
            "clock_jumps": self._time.jumps,
        }
        return ERROR if self._cause else OK, str(values["state"]), values


def main() -> None:
    """Run the node."""
    sys.exit(run_node(MotionNode))
