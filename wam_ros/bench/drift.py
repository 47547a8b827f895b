# SPDX-License-Identifier: Apache-2.0
"""The drift monitor beside attempts of the scripted demonstrator: silent while every camera is where it is said to be, and
how soon it names one that is 10 mm and 2 degrees elsewhere, in directions that are drawn.

One attempt is watched by many monitors at once; each but the first believes one camera displaced.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from wam_ros.core.drift import Displacement, DriftMonitor
from wam_ros.core.overlap import Gaze
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.transforms import exp
from wam_ros.core.types import Chunk, FloatArray, Observation, seconds
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.kinematics.forward import Kinematics
from wam_ros.motion.splicer import Splicer
from wam_ros.policies.base import Backend, Request
from wam_ros.policies.registry import create_backend
from wam_ros.sim.rollout import Pace, attempt
from wam_ros.sim.world import World

TASKS = ("towel_fold", "earphone_pack")
EXPERT = "expert"
MOVED_M, TURNED_RAD = 0.01, float(np.radians(2.0))
NOISE_PER_M = 0.003
"""Of simulated depth: its standard deviation is this times the distance squared."""
_NOTHING = np.zeros((1, 1, 3), np.uint8)


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this bench takes."""
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help=f"names (default: {' '.join(TASKS)})")
    parser.add_argument("--attempts", type=int, default=3, help="of each task (default: 3)")
    parser.add_argument("--displacements", type=int, default=10, help="of each camera in each attempt (default: 10)")


def run(options: Namespace) -> dict[str, float | str]:
    """Return shares of monitors that warned, and after how many seconds of an attempt; the task after ``__``."""
    figures: dict[str, float | str] = {}
    for task in options.tasks:
        with stage(task) as made:
            watched = [made.watch(seed, options.displacements) for seed in range(options.attempts)]
        figures |= {f"{key}__{task}": value for key, value in summed([w for watch in watched for w in watch]).items()}
    return figures


@dataclass
class Watch:
    """One monitor, what it is misled by, and what it said.

    Attributes:
        camera: the one that is believed elsewhere; empty where none is.
        twist: (6,) by which.
        warning: the first, and ``after_s`` since the attempt's start.
        worst_m: largest displacement it saw, before any warning.
        spent_s: of computing; ``moments`` in so many calls that computed.
    """

    monitor: DriftMonitor
    camera: str = ""
    twist: FloatArray = field(default_factory=lambda: np.zeros(6))
    warning: Displacement | None = None
    after_s: float = float("inf")
    worst_m: float = 0.0
    spent_s: float = 0.0
    calls: int = 0

    def see(self, stamp_ns: int, gazes: dict[str, Gaze]) -> None:
        """Show it what it believes it sees."""
        if self.warning is not None:
            return
        if self.camera in gazes:
            true = gazes[self.camera]
            gazes = {**gazes, self.camera: Gaze(true.depth_m, true.matrix, true.T_base_camera @ exp(self.twist))}
        begin_s = perf_counter()
        self.monitor.see(stamp_ns, gazes)
        self.warning = self.monitor.suspect()
        self.spent_s, self.calls = self.spent_s + perf_counter() - begin_s, self.calls + 1
        self.worst_m = max([self.worst_m, *(d.shift_m for d in self.monitor.displacements())])
        if self.warning is not None:
            self.after_s = seconds(stamp_ns)


def summed(watched: list[Watch]) -> dict[str, float]:
    """Return the figures of many watches."""
    clean, moved = ([w for w in watched if bool(w.camera) is there] for there in (False, True))
    named = [w for w in moved if w.warning is not None]
    after = [w.after_s for w in named]
    return {
        "clean": float(len(clean)),
        "clean_warned": float(np.mean([w.warning is not None for w in clean])),
        "clean_worst_mm": 1e3 * max(w.worst_m for w in clean),
        "displaced": float(len(moved)),
        "warned": len(named) / max(len(moved), 1),
        "named_rightly": float(np.mean([w.warning.camera == w.camera for w in named if w.warning])) if named else 0.0,
        "after_s_p50": float(np.median(after)) if after else float("inf"),
        "after_s_max": max(after, default=float("inf")),
        "ms_per_picture": 1e3 * sum(w.spent_s for w in clean) / sum(w.calls for w in clean),
    }


@dataclass(frozen=True)
class Stage:
    """A task, its twin and the demonstrator."""

    robot: Robot
    task: Task
    policy: Policy
    world: World
    backend: Backend

    def watch(self, seed: int, displacements: int) -> list[Watch]:
        """Return what monitors make of the attempt of a seed."""
        names = [camera.name for camera in self.robot.cameras]
        rng, kinematics = np.random.default_rng((seed, 3)), Kinematics(self.robot)
        watched = [Watch(DriftMonitor(names))]
        watched += [Watch(DriftMonitor(names), name, drawn(rng)) for name in names for _ in range(displacements)]
        for seen in self.observations(seed):
            gazes = self._gazes(seen, kinematics, rng)
            for watch in watched:
                watch.see(seen.stamp_ns, gazes)
        return watched

    def observations(self, seed: int) -> Iterator[Observation]:
        """Play the attempt of a seed."""
        self.backend.reset()
        pace = Pace(self.policy.rate_hz, self.policy.execute_rows, linger_s=0.0)
        for moment in attempt(self.world, self._act, seed, pace, Splicer.for_robot(self.robot)):
            yield moment.observation

    def _act(self, seen: Observation) -> Chunk:
        return self.backend.infer(Request(seen, _NOTHING, self.task.instruction))

    def _gazes(self, seen: Observation, kinematics: Kinematics, rng: np.random.Generator) -> dict[str, Gaze]:
        gazes = {}
        for camera in self.robot.cameras:
            depth_m = seen.views[camera.name].depth_m
            assert depth_m is not None
            noisy = depth_m + NOISE_PER_M * depth_m**2 * rng.standard_normal(depth_m.shape, dtype=np.float32)
            pose = kinematics.pose(seen.joints.position, camera.frame)
            gazes[camera.name] = Gaze(noisy, self.world.intrinsics(camera.name), pose)
        return gazes


def drawn(rng: np.random.Generator) -> FloatArray:
    """(6,) twist of the bench's length in any direction."""
    move, turn = rng.normal(size=(2, 3))
    return np.r_[MOVED_M * move / np.linalg.norm(move), TURNED_RAD * turn / np.linalg.norm(turn)]


@contextmanager
def stage(task_name: str) -> Iterator[Stage]:
    """Build everything; it is closed at the end."""
    task, policy = load_task(task_name), load_policy(EXPERT)
    robot, backend = load_robot(task.default_robot), create_backend(policy.backend)
    backend.load(policy, robot, task)
    world = World(robot, task)
    try:
        yield Stage(robot, task, policy, world, backend)
    finally:
        world.close()
        backend.close()
