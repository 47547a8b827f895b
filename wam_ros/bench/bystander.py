# SPDX-License-Identifier: Apache-2.0
"""How a bench plays a graph: programs of its own beside the real nodes, and somebody who arms the robot and waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from wam_ros.core.errors import RunError
from wam_ros.core.types import NS_PER_S
from wam_ros.environment import additions
from wam_ros.graph import NodeSpec
from wam_ros.ros.arming import Arming
from wam_ros.ros.orphan import RUNNER_PID
from wam_ros.ros.qos import EVENT, LATCHED
from wam_ros.ros.status import read_values
from wam_ros.ros.wait import Patience, Waiter
from wam_ros.runner import Runner, params_yaml

# A busy machine is to be measured, not stopped.
PATIENT = (
    *(("safety", key, 3.0) for key in ("joints_s", "policy_s", "motion_s", "stall_s")),
    ("safety", "camera_periods", 45.0),
    *(("motion", key, 3.0) for key in ("heartbeat_s", "feedback_s", "stall_s")),
    ("policy", "measured", False),
)
# Discovery and the first chunks are not measured.
SETTLE_S = 2.0
END_S = 10.0


def set_environment() -> None:
    """Give this process, and those that it starts, the shipped transport and a domain of their own."""
    os.environ.update(additions(os.environ, simulated=True))
    os.environ.setdefault("ROS_DOMAIN_ID", str(90 + os.getpid() % 10))  # nobody else's robot


@contextmanager
def program(module: str, spec: NodeSpec, folder: Path) -> Iterator[None]:
    """Run a program of a bench as the runner runs a node; its first argument is the file for its log."""
    params = folder / f"{spec.name}.params.yaml"
    params.write_text(params_yaml(spec))
    command = [
        sys.executable,
        "-m",
        module,
        str(folder / f"{spec.name}.json"),
        "--ros-args",
        "--params-file",
        str(params),
    ]
    environment = {**os.environ, RUNNER_PID: str(os.getpid())}
    with (folder / f"{spec.name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(END_S)


class Bystander:
    """Arms the robot, then waits; hears diagnostics and safety only."""

    def __init__(self, node: Node, executor: SingleThreadedExecutor, runner: Runner) -> None:
        self.state = self._cause = ""
        self._reports: dict[str, Said] = {}
        self._waiter = Waiter(executor, runner.check)
        node.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)
        node.create_subscription(DiagnosticStatus, "safety/state", self._on_safety, LATCHED)
        self.arming = Arming(node, self._waiter, self, lambda _: None, Patience())

    def report(self, node: str) -> Said:
        """Return what a node said last."""
        return self._reports.get(f"wam/{node}", Said(DiagnosticStatus(), 0))

    def missing(self) -> list[str]:
        """Safety refuses to arm while anything is missing; that is enough here."""
        return []

    def armed_for(self, seconds: float) -> tuple[int, int]:
        """Arm the robot and let a while pass; return its begin and its end [ns], steady clock.

        Raises:
            RunError: it did not stay armed.
        """
        self.arming.get_ready()
        self.arming.arm()
        self.wait(SETTLE_S)
        begin_ns = monotonic_ns()
        self.wait(seconds)
        return begin_ns, monotonic_ns()

    def wait(self, seconds: float) -> None:
        """Let time pass while the robot stays armed.

        Raises:
            RunError: it did not.
        """
        end_ns = monotonic_ns() + round(seconds * NS_PER_S)
        self._waiter.until(lambda: monotonic_ns() > end_ns or self.state == "STOPPED", seconds + END_S, lambda: "")
        if self.state == "STOPPED":
            raise RunError(f"safety stopped the graph: {self._cause}; run it on an idle machine")

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            before = self._reports.get(status.name)
            self._reports[status.name] = Said(status, 1 + (before.count if before else 0))

    def _on_safety(self, status: DiagnosticStatus) -> None:
        self.state, self._cause = status.message, read_values(status).get("cause", "")


@dataclass(frozen=True)
class Said:
    """What a node said last on ``diagnostics``, and how often it spoke."""

    status: DiagnosticStatus
    count: int

    @property
    def message(self) -> str:
        """One word or sentence."""
        return str(self.status.message)

    @property
    def values(self) -> Mapping[str, str]:
        """Keys and values."""
        return read_values(self.status)


@contextmanager
def bystander_of(runner: Runner) -> Iterator[Bystander]:
    """Stand beside the graph that a runner plays."""
    context = rclpy.Context()
    rclpy.init(context=context, args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = Node("bystander", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield Bystander(node, executor, runner)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
