# SPDX-License-Identifier: Apache-2.0
"""A policy at work on a robot and a task: what it is asked, by whom, and how it goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from wam_ros.core.policy import Policy, check_policy_fits
from wam_ros.core.robot import Robot
from wam_ros.core.rows import committed_rows, row_times_ns
from wam_ros.core.safety import POLICY
from wam_ros.core.schedule import COMMITTED_PACE_S, Schedule, schedule
from wam_ros.core.task import Task
from wam_ros.core.types import ByteImage, Chunk, Observation, Trajectory, nanoseconds, seconds
from wam_ros.policies.base import Request
from wam_ros.policies.cycle import Cycle
from wam_ros.policies.registry import create_backend
from wam_ros.policies.stitcher import Stitcher
from wam_ros.policies.worker import Phase, Worker

_COMMITTED_NS = nanoseconds(COMMITTED_PACE_S)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def bound_threads(count: int) -> None:
    """Let models compute on so many CPU threads, 0 for what the environment says.

    Must come before the first session: their libraries look once, when they are imported.
    """
    if count:
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(count)))


@dataclass(frozen=True)
class Latency:
    """What is said of the time from capture to landing.

    Attributes:
        declared_ns: chunks land no earlier, see :class:`Cycle`; 0 lands them as soon as they are there.
        alone: it alone counts, whatever an inference takes (lockstep); else the measured latency counts too.
    """

    declared_ns: int = 0
    alone: bool = False


class Session:
    """One backend, its worker and its cycle, and what a request is made of besides the observation.

    Args:
        robot, task, policy: checked against each other; the backend begins to load at once.
        latency: that is declared.
        on_change: called in the worker's thread, see :class:`Worker`.
        staged: a simulator tells its truth although the robot is real: it is its double.

    Attributes:
        committed: what motion executes from now on, as far as it has said.
        instruction: the sentence to follow.
        leader: who leads the arms, as far as anybody has said.
        chunks: chunks that have landed.
        landed_ns: capture time of the newest of them; 0 before the first.
        rhythm: how often it infers, from the latency measured after warm-up; None until then, and where the
            task waits for each chunk.

    Raises:
        ConfigError: the three do not fit together, or there is no such backend.
        MissingDependencyError: the backend needs a package that is not installed.
    """

    def __init__(
        self,
        robot: Robot,
        task: Task,
        policy: Policy,
        latency: Latency,
        *,
        on_change: Callable[[], None],
        staged: bool = False,
    ) -> None:
        check_policy_fits(policy, robot, with_truth=robot.simulated or staged)
        self.committed: Trajectory | None = None
        self.instruction = self._usual = task.instruction
        self.chunks = self.landed_ns = self._told_ns = 0
        self.leader = POLICY
        self.rhythm: Schedule | None = None
        self._policy, self._waits = policy, task.method == "wait"
        self._latency = latency
        self._stitcher = Stitcher(policy.mosaic)
        backend = create_backend(policy.backend)
        self.worker = Worker(backend, policy, robot, task, on_change=on_change, approve=self._keep_time)
        self.cycle = Cycle(self.worker, policy, robot.camera(robot.leader_camera).rate_hz, latency.declared_ns)

    @property
    def ready(self) -> bool:
        """True when the backend can infer."""
        return self.worker.phase is Phase.READY

    @property
    def failed(self) -> bool:
        """True when the backend is broken for good."""
        return self.worker.phase is Phase.FAILED

    def announce(self, camera: str, stamp_ns: int, picture: ByteImage) -> None:
        """A picture has come that may become part of the next observation."""
        if self.cycle.expects(stamp_ns):
            self._stitcher.announce(camera, picture)

    def begin(self) -> Request | None:
        """Start an inference if it is time for one, and return what was asked."""
        if self.rhythm is not None:
            self.cycle.stride(self.rhythm.stride_rows)
        return self.cycle.begin(self._request)

    def land(self, now_ns: int) -> Chunk | None:
        """Return the chunk whose time has come; None if its inference failed."""
        chunk = self.cycle.land(now_ns)
        if chunk is not None:
            self.chunks += 1
            self.landed_ns, self._told_ns = chunk.stamp_ns, now_ns
        return chunk

    def knows_committed(self, now_ns: int) -> bool:
        """False while something newer that motion said before this time must still be on its way.

        Motion says what is committed at every pace, and after each chunk in the tick that it landed in.
        """
        if self.committed is None:
            return True
        return self.committed.times_ns[0] >= max(self._told_ns, now_ns - _COMMITTED_NS)

    def told(self, instruction: str) -> None:
        """Follow this sentence from now on; an empty one is the task's own."""
        self.instruction = instruction or self._usual

    def led_by(self, leader: str) -> None:
        """Know who leads the arms; once given back, they rest until a chunk comes: the next one is begun at once."""
        if leader == POLICY != self.leader:
            self.cycle.hurry()
        self.leader = leader

    def reset(self) -> None:
        """Start a new attempt."""
        self.cycle.reset()
        self.committed, self._told_ns = None, 0

    def figures(self) -> dict[str, bool | int | float | str]:
        """Return counts and latencies for diagnostics."""
        worker = self.worker
        return {
            "phase": worker.phase.value,
            "chunks": self.chunks,
            "inferences": worker.inferences,
            "failures": worker.failures,
            "latency_ms": worker.latency_ms,
            "latency_ms_p50": worker.latency_percentile_ms(50),
            "latency_ms_p95": worker.latency_percentile_ms(95),
            "dropped": self.cycle.dropped,
            "stride_rows": self.rhythm.stride_rows if self.rhythm else self._policy.execute_rows,
            "slack_ms": 1e3 * self.rhythm.slack_s if self.rhythm else 0.0,
            **worker.figures(),
        }

    def _keep_time(self, measured_s: float) -> None:
        """Choose the rhythm that hides the latency; in the worker's thread, before the first request.

        Raises:
            ConfigError: no rhythm does, with what would help.
        """
        declared_s = seconds(self._latency.declared_ns)
        latency_s = declared_s if self._latency.alone else max(declared_s, measured_s)
        if not self._waits:
            policy = self._policy
            self.rhythm = schedule(latency_s, policy.rate_hz, policy.horizon, policy.execute_rows)

    def _request(self, observation: Observation) -> Request:
        views = {name: view.color for name, view in observation.views.items()}
        mosaic = self._stitcher.stitch(views)
        return Request(observation, mosaic, self.instruction, self._prefix(observation.stamp_ns), self._delay_s())

    def _prefix(self, stamp_ns: int) -> Trajectory | None:
        if self.committed is None:
            return None
        return committed_rows(self.committed, row_times_ns(stamp_ns, self._policy.rate_hz, self._policy.horizon))

    def _delay_s(self) -> float:
        declared_s = seconds(self._latency.declared_ns)
        return declared_s if self._latency.alone else declared_s or self.worker.latency_percentile_ms(95) / 1e3
