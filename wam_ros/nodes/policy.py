# SPDX-License-Identifier: Apache-2.0
"""The policy node: observations in, chunks out; the model runs in a thread of its own (policies/worker.py).

Lifecycle: configure checks the descriptions and begins to load the backend, activate lets it infer; ``autostart`` does both.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.errors import ShapeError
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.safety import State
from wam_ros.core.types import Observation, nanoseconds
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.policies.session import Latency, Session, bound_threads
from wam_ros.ros.convert import chunk_to_msg, trajectory_from_msg
from wam_ros.ros.hearing import subscribe
from wam_ros.ros.imagined import Showing
from wam_ros.ros.lifecycle import SelfStartingNode
from wam_ros.ros.lockstep import Member, Token
from wam_ros.ros.main import run_node
from wam_ros.ros.observe import ObservationSource
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import COMMAND, LATCHED
from wam_ros.ros.status import ERROR, OK, StatusReporter, Value
from wam_ros.ros.timebase import steady_clock


@dataclass(frozen=True, kw_only=True)
class PolicyParams:
    """Parameters of the policy node."""

    robot: str = parameter(description="name or YAML path of the robot")
    task: str = parameter(description="name or YAML path of the task")
    policy: str = parameter(description="name or YAML path of the policy")
    declared_latency_s: float = parameter(0.0, description="from capture to landing", unit="s", lower=0, upper=10)
    staged: bool = parameter(False, description="believe that a simulator tells its truth, as a robot's double does")
    measured: bool = parameter(True, description="refuse to begin where a measured inference is too slow; in realtime")
    lockstep_after: str = parameter("", description="whose token to wait for; empty: realtime")
    autostart: bool = parameter(True, description="configure and activate without a lifecycle manager")
    threads: int = parameter(0, description="CPU threads of the model; 0: as the environment says", lower=0, upper=256)


class PolicyNode(SelfStartingNode):
    """Ports of a session."""

    _session: Session  # from configure on

    def __init__(self, **node_args: Any) -> None:
        super().__init__("policy", **node_args)
        self._params = declare(self, PolicyParams)
        self._source: ObservationSource | None = None
        self._ring: Member | None = None
        self._safety = State.DISARMED
        self._wake = self.create_guard_condition(self._on_worker)
        self._landing = self.create_timer(1.0, self._on_landing, clock=steady_clock())
        self._landing.cancel()
        self._chunk_out = self.create_publisher(JointTrajectory, "policy/chunk", COMMAND)
        self._reporter = StatusReporter(self, self._read)
        if self._params.autostart:
            self.start()

    def destroy_node(self) -> None:
        """Wait for the inference that runs, then end."""
        if self._source is not None:
            self._session.worker.close()
            self._source.close()
        super().destroy_node()

    def configure(self) -> None:
        """Read and check the descriptions; the backend loads and warms up in its thread."""
        given = self._params
        robot, task, policy = load_robot(given.robot), load_task(given.task), load_policy(given.policy)
        bound_threads(given.threads)
        latency = Latency(nanoseconds(given.declared_latency_s), bool(given.lockstep_after) or not given.measured)
        self._session = Session(robot, task, policy, latency, on_change=self._wake.trigger, staged=given.staged)
        if self._source is None:
            self._listen(robot, policy)

    def can_activate(self) -> bool:
        """Only a backend that is loaded and warm may infer."""
        return self._session.ready

    def rest(self) -> None:
        """Infer no more."""
        self._session.reset()

    def release(self) -> bool:
        """Let the backend go."""
        return self._session.worker.close()

    def _listen(self, robot: Robot, policy: Policy) -> None:
        self._showing = Showing(self, robot.joint_names)
        self.create_subscription(DiagnosticStatus, "safety/state", self._on_safety, LATCHED)
        subscribe(self, String, "instruction", lambda said: self._session.told(said.data), LATCHED)
        subscribe(self, String, "control/source", lambda said: self._session.led_by(said.data), LATCHED)
        self.create_subscription(JointTrajectory, "motion/committed", self._on_committed, COMMAND)
        self._source = ObservationSource(
            self,
            robot,
            on_observation=self._on_observation,
            on_picture=lambda *seen: self._session.announce(*seen),
            on_arrival=self._check_ring,
            with_truth=policy.needs_truth,
        )
        if after := self._params.lockstep_after:
            self._ring = Member(self, self.get_name(), after, ready=self._ready, act=self._on_token)

    def _on_safety(self, status: DiagnosticStatus) -> None:
        was_live, self._safety = self._safety.live, State(status.message)
        if was_live and not self._safety.live:
            self._session.reset()
        self._check_ring()

    def _on_committed(self, message: JointTrajectory) -> None:
        if not self._safety.live:
            return  # how the arms come to rest is nothing to plan on from
        try:
            self._session.committed = trajectory_from_msg(message)
        except ShapeError as error:
            self.get_logger().warning(f"motion/committed not believed: {error}", throttle_duration_sec=5.0)
        self._check_ring()

    def _on_observation(self, observation: Observation) -> None:
        if observation.complete:
            self._session.cycle.see(observation)
        if self._ring is None:
            self._begin()

    def _on_worker(self) -> None:
        """The worker has become ready, has finished a request, or has died."""
        error = self._session.worker.error
        if error is not None and self.starting:
            raise error
        if error is not None:
            self.get_logger().error(f"no chunk: {error}")
        elif self.starting:
            self.trigger_activate()
        self._showing.imagined(self._session.worker.imagined.take())
        if self._ring is None:
            self._on_landing()
        self._check_ring()

    def _check_ring(self) -> None:
        if self._ring is not None:
            self._ring.check()

    def _begin(self) -> None:
        self._session.worker.listening = self._showing.wanted
        request = self._session.begin() if self.active and self._safety.live else None
        if request is not None:
            self._showing.given(request.mosaic, request.observation.stamp_ns)

    def _on_landing(self) -> None:
        """Realtime: land the chunk that is there, or come back when it is due."""
        self._landing.cancel()
        now_ns = int(self.get_clock().now().nanoseconds)
        wait_ns = self._session.cycle.wait_ns(now_ns)
        if wait_ns == 0:
            self._land(now_ns)
        elif wait_ns is not None:
            self._landing.timer_period_ns = wait_ns
            self._landing.reset()

    def _ready(self, token: Token) -> bool:
        """Lockstep: all data of this tick are here, and the chunk that is due at it."""
        source, known = self._source, self._session.knows_committed(token.time_ns)
        if source is None or not (known and source.holds(token.time_ns, token.needed_ns)):
            return False
        self._begin()
        return not (self._session.cycle.is_due(token.time_ns) and self._session.worker.at_work)

    def _on_token(self, token: Token) -> int:
        if self._session.cycle.is_due(token.time_ns):
            self._land(token.time_ns)
        return self._session.landed_ns

    def _land(self, now_ns: int) -> None:
        if (chunk := self._session.land(now_ns)) is not None:
            self._chunk_out.publish(chunk_to_msg(chunk))

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        if self._source is None:
            return OK, "UNCONFIGURED", {"state": "UNCONFIGURED"}
        state = self._safety.value if self._session.ready else self._session.worker.phase.value
        values = {"state": state, "active": self.active, **self._session.figures(), **self._source.statistics()}
        return ERROR if self._session.failed else OK, str(self._session.worker.error or state), values


def main() -> None:
    """Run the node."""
    sys.exit(run_node(PolicyNode))
