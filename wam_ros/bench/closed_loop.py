# SPDX-License-Identifier: Apache-2.0
"""The closed-loop part of ``wam bench seams``: the towel folded without ROS, chunks joined in different ways.

Every method gets the same towels, the same policy and the same declared latency. Two chunks of the scripted demonstrator
agree with each other, which no learned policy's do; so that joining matters, each chunk is off by a constant of each
joint. ``wait`` is not compared here: its robot stands while the demonstrator's plan goes on.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from wam_ros.bench.players import Governed, Player, create_player
from wam_ros.core.errors import BackendError
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.rows import committed_rows, row_times_ns
from wam_ros.core.schedule import schedule
from wam_ros.core.seams import jerk_rms
from wam_ros.core.stitch import stitch
from wam_ros.core.task import Method, Task
from wam_ros.core.types import ByteImage, Chunk, FloatArray, Observation, Trajectory, seconds
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.kinematics.workspace import Workspace
from wam_ros.motion.splicer import Setpoint
from wam_ros.policies.base import Backend, Request
from wam_ros.policies.registry import create_backend
from wam_ros.sim.rollout import Act, Pace, attempt
from wam_ros.sim.world import World
from wam_ros.vision.resize import resize

TASK = "towel_fold"


def run(options: Namespace) -> dict[str, float | str]:
    """Return success, time and jerk of each method at each latency.

    ``success`` is a share of the attempts; ``time_s`` is the mean until success, a failure counts with the task's time
    limit; ``jerk_rms_closed`` is that of the commanded positions of the arms in all attempts, at the command rate.
    """
    figures: dict[str, float | str] = {"episodes_closed": float(options.episodes)}
    with bench_stand(options.policy, options.disagreement_mrad / 1e3) as stand:
        for method in options.methods:
            for latency_ms in options.latencies:
                trials = [stand.fold(method, latency_ms / 1e3, seed) for seed in range(options.episodes)]
                figures |= {f"{key}__{method}__{latency_ms}": x for key, x in stand.cell(trials).items()}
    return figures


@dataclass(frozen=True)
class Trial:
    """One attempt.

    Attributes:
        success: by the task's strict measure.
        progress: 0 to 1, the shares of the stages reached in the end.
        time_s: until success; the task's time limit where there is none.
        commanded: (N, J) what the robot was told at its command rate, robot order.
    """

    success: bool
    progress: float
    time_s: float
    commanded: FloatArray


class Kept:
    """A player whose setpoints are kept."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.commanded: list[FloatArray] = []

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at a position."""
        self.player.start(position, now_ns)

    def offer(self, chunk: Chunk, now_ns: int) -> None:
        """Take a chunk that has just landed."""
        self.player.offer(chunk, now_ns)

    def sample(self, now_ns: int) -> Setpoint:
        """Return what to command now."""
        setpoint = self.player.sample(now_ns)
        self.commanded.append(setpoint.position)
        return setpoint

    def committed(self, now_ns: int) -> Trajectory | None:
        """Return what will be executed from now on; peers do not tell their policies."""
        return self.player.splicer.committed(now_ns) if isinstance(self.player, Governed) else None


@dataclass(frozen=True)
class Stand:
    """A simulated robot, a policy at work on it, and by how much its chunks disagree.

    Attributes:
        offset_rad: standard deviation of each joint's constant error in a chunk.
    """

    robot: Robot
    task: Task
    policy: Policy
    world: World
    backend: Backend
    offset_rad: float

    def fold(self, method: Method, latency_s: float, seed: int) -> Trial:
        """Make the attempt of a seed.

        Raises:
            ConfigError: chunks this short cannot hide this latency.
        """
        self.backend.reset()
        kept = Kept(create_player(method, self.robot, Workspace(self.robot, self.task.workspace).holds))
        act = self._act(kept, latency_s, seed)
        moments = list(attempt(self.world, act, seed, self._pace(method, latency_s), kept))
        judged = moments[-1].judgement
        time_s = seconds(moments[-1].observation.stamp_ns) if judged.success else self.task.timeout_s
        return Trial(judged.success, judged.progress, time_s, np.array(kept.commanded))

    def cell(self, trials: Sequence[Trial]) -> dict[str, float]:
        """Return the figures of one method and latency."""
        arms, step_s = ~np.array(self.robot.gripper_mask), 1 / self.robot.command_rate_hz
        jerks = [jerk_rms(trial.commanded[:, arms], step_s) for trial in trials]
        return {
            "success": float(np.mean([trial.success for trial in trials])),
            "jerk_rms_closed": float(np.sqrt(np.mean(np.square(jerks)))),
            "time_s": float(np.mean([trial.time_s for trial in trials])),
        }

    def _pace(self, method: Method, latency_s: float) -> Pace:
        """Return the rhythm of inference; ensembling infers as often as it can."""
        policy = self.policy
        stride_rows = 1 if method == "ensemble" else policy.execute_rows
        rhythm = schedule(latency_s, policy.rate_hz, policy.horizon, stride_rows)
        return Pace(
            rate_hz=policy.rate_hz,
            execute_rows=rhythm.stride_rows,
            latency_s=latency_s,
            command_rate_hz=self.robot.command_rate_hz,
            linger_s=0.0,
            draw=not policy.needs_truth,
        )

    def _act(self, kept: Kept, latency_s: float, seed: int) -> Act:
        rate_hz, horizon, sentence = self.policy.rate_hz, self.policy.horizon, self.task.instruction

        def act(seen: Observation) -> Chunk | None:
            committed = kept.committed(seen.stamp_ns)
            prefix = committed and committed_rows(committed, row_times_ns(seen.stamp_ns, rate_hz, horizon))
            request = Request(seen, self._mosaic(seen), sentence, prefix, latency_s)
            try:
                chunk = self.backend.infer(request)
            except BackendError:  # nothing is published then, as in the policy node
                return None
            return self.disagreeing(chunk, seed)

        return act

    def _mosaic(self, seen: Observation) -> ByteImage:
        mosaic = self.policy.mosaic
        if self.policy.needs_truth:
            return np.zeros((mosaic.height, mosaic.width, 3), np.uint8)
        return stitch(mosaic, {name: view.color for name, view in seen.views.items()}, resize)

    def disagreeing(self, chunk: Chunk, seed: int) -> Chunk:
        """Return the chunk with its own constant error of each joint of the arms; the same seed, the same errors."""
        error = np.random.default_rng((seed, chunk.stamp_ns)).normal(0.0, self.offset_rad, len(chunk.names))
        moved = np.clip(chunk.positions + error, *self.robot.bounds())
        return replace(chunk, positions=np.where(self.robot.gripper_mask, chunk.positions, moved))


@contextmanager
def bench_stand(policy_name: str, offset_rad: float, task_name: str = TASK, *, checkpoint: str = "") -> Iterator[Stand]:
    """Build everything; it is closed at the end.

    Args:
        policy_name: name or YAML path, the task's own if empty.
        offset_rad: by how much chunks disagree.
        task_name: name or YAML path.
        checkpoint: folder, instead of the policy's own.
    """
    task = load_task(task_name)
    robot, policy = load_robot(task.default_robot), load_policy(policy_name or task.default_policy)
    policy = replace(policy, checkpoint=checkpoint or policy.checkpoint)
    backend = create_backend(policy.backend)
    backend.load(policy, robot, task)
    world = World(robot, task, render=not policy.needs_truth)
    try:
        backend.warm_up()
        yield Stand(robot, task, policy, world, backend, offset_rad)
    finally:
        world.close()
        backend.close()
