# SPDX-License-Identifier: Apache-2.0
"""What the processes of a bench have that the real ones have not: models made of time or of a sine, and a stopwatch.

``python -m wam_ros.bench.stopwatch FILE --ros-args ...`` is the motion node; when it ends, FILE says when it
accepted each chunk, when it ticked and what CPU time it had taken until then. All times are of the steady clock, which processes of one computer share.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Event
from time import monotonic_ns, process_time_ns
from typing import ClassVar

import numpy as np

from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.safety import POLICY
from wam_ros.core.task import Task
from wam_ros.core.types import NS_PER_S, Chunk
from wam_ros.motion.splicer import Setpoint
from wam_ros.motion.stage import MotionStage
from wam_ros.nodes import motion
from wam_ros.policies.base import Request
from wam_ros.policies.hold import Hold
from wam_ros.ros.main import run_node

# A matrix product of this size takes a few milliseconds of one core, outside the interpreter's lock.
_SIZE = 384
_SWAY_RAD, _SWAY_S = 0.05, 4.0


class TimedHold(Hold):
    """Holds the pose after ``model_s`` of sleep or, with ``compute``, of matrix products.

    Options: ``model_s``; ``compute``; ``log``, the file that says at the end how long each inference took.
    """

    def load(self, policy: Policy, robot: Robot, task: Task) -> None:
        """Remember how to pass the time."""
        super().load(policy, robot, task)
        self._model_ns = round(float(policy.options["model_s"]) * NS_PER_S)
        self._compute = bool(policy.options["compute"])
        self._log = Path(str(policy.options["log"]))
        self._took: dict[int, int] = {}

    def infer(self, request: Request) -> Chunk:
        """Return a chunk that keeps the pose, after the model's time."""
        begun_ns = monotonic_ns()
        if self._compute:
            _compute_until(begun_ns + self._model_ns)
        else:
            Event().wait(self._model_ns / NS_PER_S)
        chunk = super().infer(request)
        self._took[chunk.stamp_ns] = monotonic_ns() - begun_ns
        return chunk

    def close(self) -> None:
        """Write the log."""
        self._log.write_text(json.dumps(self._took))


def _compute_until(end_ns: int) -> None:
    rng = np.random.default_rng(0)
    a = rng.random((_SIZE, _SIZE), np.float32) / _SIZE
    b = a
    while monotonic_ns() < end_ns:
        b = a @ b + a


class Sway(Hold):
    """Sways all arm joints about the ready pose, as far and as quickly as a careful person would."""

    def infer(self, request: Request) -> Chunk:
        """Return a chunk of one sine of time."""
        observation, policy = request.observation, self._policy
        times_s = observation.stamp_ns / NS_PER_S % _SWAY_S + np.arange(1, policy.horizon + 1) / policy.rate_hz
        away = _SWAY_RAD * np.sin(2 * np.pi * times_s / _SWAY_S)[:, None] * np.logical_not(self._robot.gripper_mask)
        rows = np.asarray(self._robot.ready_position()) + away
        return Chunk.at_rate(observation.stamp_ns, observation.joints.names, rows, policy.rate_hz)


class TimedStage(MotionStage):
    """A motion stage that notes when it accepts and when it ticks."""

    accepted: ClassVar[dict[int, int]] = {}
    ticks: ClassVar[list[int]] = []
    cpu: ClassVar[list[int]] = []

    def on_chunk(self, chunk: Chunk, now_ns: int, source: str = POLICY) -> bool:
        """Join a chunk, and note when that was done."""
        accepted = super().on_chunk(chunk, now_ns, source)
        if accepted:
            self.accepted[chunk.stamp_ns] = monotonic_ns()
        return accepted

    def tick(self, now_ns: int) -> Setpoint | None:
        """Tick, and note when."""
        self.ticks.append(monotonic_ns())
        self.cpu.append(process_time_ns())
        return super().tick(now_ns)


def main() -> None:
    """Run motion until it is interrupted, then write down the times."""
    # The node's own stage, with a stopwatch in its hand.
    vars(motion)["MotionStage"] = TimedStage
    code = run_node(motion.MotionNode, sys.argv[1:])
    Path(sys.argv[1]).write_text(json.dumps({name: getattr(TimedStage, name) for name in ("accepted", "ticks", "cpu")}))
    sys.exit(code)


if __name__ == "__main__":
    main()
