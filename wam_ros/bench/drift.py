# SPDX-License-Identifier: Apache-2.0
"""The drift monitor beside attempts of the scripted demonstrator: silent while every camera and arm is where it is said to be,
and how soon it names one that is 10 mm and 2 degrees elsewhere, in directions that are drawn.

One attempt is watched by many monitors at once; each but the first believes one camera, or the base of one arm, displaced.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from wam_ros.core.drift import Body, Displacement, DriftMonitor
from wam_ros.core.hand import Hand
from wam_ros.core.overlap import Gaze
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.transforms import exp, invert
from wam_ros.core.types import Chunk, FloatArray, Observation, seconds
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.hands import Hands
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
    parser.add_argument(
        "--displacements", type=int, default=10, help="of each camera and arm in each attempt (default: 10)"
    )
    parser.add_argument("--depth", nargs="+", default=[], help="cameras that measure depth (default: all)")


def run(options: Namespace) -> dict[str, float | str]:
    """Return shares of monitors that warned, and after how many seconds of an attempt; the task after ``__``."""
    figures: dict[str, float | str] = {}
    for task in options.tasks:
        with stage(task, options.depth) as made:
            watched = [made.watch(seed, options.displacements) for seed in range(options.attempts)]
        figures |= {f"{key}__{task}": value for key, value in summed([w for watch in watched for w in watch]).items()}
    return figures


@dataclass
class Watch:
    """One monitor, what it is misled by, and what it said.

    Attributes:
        moved: the camera or arm that is believed elsewhere; None where none is.
        twist: (6,) by which; of an arm, that of its base.
        warning: the first, and ``after_s`` since the attempt's start.
        worst_m: largest displacement it saw, before any warning.
        spent_s: of computing; ``moments`` in so many calls that computed.
    """

    monitor: DriftMonitor
    moved: Body | None = None
    twist: FloatArray = field(default_factory=lambda: np.zeros(6))
    warning: Displacement | None = None
    after_s: float = float("inf")
    worst_m: float = 0.0
    spent_s: float = 0.0
    calls: int = 0

    def see(self, stamp_ns: int, gazes: dict[str, Gaze], hands: dict[str, Hand]) -> None:
        """Show it what it believes it sees."""
        if self.warning is not None:
            return
        begin_s = perf_counter()
        self.monitor.see(stamp_ns, *self._misled(gazes, hands))
        self.warning = self.monitor.suspect()
        self.spent_s, self.calls = self.spent_s + perf_counter() - begin_s, self.calls + 1
        self.worst_m = max(
            [
                self.worst_m,
                *(d.shift_m for d in self.monitor.displacements() if d.moments >= self.monitor.limits.moments),
            ]
        )
        if self.warning is not None:
            self.after_s = seconds(stamp_ns)

    def _misled(self, gazes: dict[str, Gaze], hands: dict[str, Hand]) -> tuple[dict[str, Gaze], dict[str, Hand]]:
        kind, name = self.moved or ("", "")
        if kind == "camera":
            true = gazes[name]
            return {**gazes, name: replace(true, T_base_camera=true.T_base_camera @ exp(self.twist))}, hands
        if kind == "arm":
            T_base_arm = hands[name].T_base_arm @ exp(self.twist)
            shift = T_base_arm @ invert(hands[name].T_base_arm)
            carried = {camera for camera, arm in self.monitor.carriers.items() if arm == name}
            moved = {c: replace(g, T_base_camera=shift @ g.T_base_camera) for c, g in gazes.items() if c in carried}
            return {**gazes, **moved}, {**hands, name: replace(hands[name], T_base_arm=T_base_arm)}
        return gazes, hands


def summed(watched: list[Watch]) -> dict[str, float]:
    """Return the figures of many watches."""
    clean, moved = ([w for w in watched if (w.moved is not None) is there] for there in (False, True))
    named = [w for w in moved if w.warning is not None]
    after = [w.after_s for w in named]
    return {
        "clean": float(len(clean)),
        "clean_warned": float(np.mean([w.warning is not None for w in clean])),
        "clean_worst_mm": 1e3 * max(w.worst_m for w in clean),
        "displaced": float(len(moved)),
        "warned": len(named) / max(len(moved), 1),
        "named_rightly": float(np.mean([w.warning.body == w.moved for w in named if w.warning])) if named else 0.0,
        "named_among": float(np.mean([w.moved in (w.warning.body, *w.warning.rivals) for w in named if w.warning]))
        if named
        else 0.0,
        "after_s_p50": float(np.median(after)) if after else float("inf"),
        "after_s_max": max(after, default=float("inf")),
        "ms_per_picture": 1e3 * sum(w.spent_s for w in clean) / sum(w.calls for w in clean),
    }


@dataclass(frozen=True)
class Stage:
    """A task, its twin and the demonstrator; ``deep`` are the cameras with depth, all where none is named."""

    robot: Robot
    task: Task
    policy: Policy
    world: World
    backend: Backend
    deep: tuple[str, ...] = ()

    def watch(self, seed: int, displacements: int) -> list[Watch]:
        """Return what monitors make of the attempt of a seed."""
        carriers = {
            camera.name: camera.arm for camera in self.robot.cameras if not self.deep or camera.name in self.deep
        }
        rng, kinematics, hands = np.random.default_rng((seed, 3)), Kinematics(self.robot), Hands(self.robot)
        watched = [Watch(DriftMonitor(carriers))]
        moved = [body for body in watched[0].monitor.bodies for _ in range(displacements)]
        watched += [Watch(DriftMonitor(carriers), body, drawn(rng)) for body in moved]
        for seen in self.observations(seed):
            gazes = {name: self._gaze(seen, name, kinematics, rng) for name in carriers}
            for watch in watched:
                watch.see(seen.stamp_ns, gazes, hands.at(seen.joints.position))
        return watched

    def observations(self, seed: int) -> Iterator[Observation]:
        """Play the attempt of a seed."""
        self.backend.reset()
        pace = Pace(self.policy.rate_hz, self.policy.execute_rows, linger_s=0.0)
        for moment in attempt(self.world, self._act, seed, pace, Splicer.for_robot(self.robot)):
            yield moment.observation

    def _act(self, seen: Observation) -> Chunk:
        return self.backend.infer(Request(seen, _NOTHING, self.task.instruction))

    def _gaze(self, seen: Observation, camera: str, kinematics: Kinematics, rng: np.random.Generator) -> Gaze:
        depth_m = seen.views[camera].depth_m
        assert depth_m is not None
        noisy = depth_m + NOISE_PER_M * depth_m**2 * rng.standard_normal(depth_m.shape, dtype=np.float32)
        pose = kinematics.pose(seen.joints.position, self.robot.camera(camera).frame)
        return Gaze(noisy, self.world.intrinsics(camera), pose)


def drawn(rng: np.random.Generator) -> FloatArray:
    """(6,) twist of the bench's length in any direction."""
    move, turn = rng.normal(size=(2, 3))
    return np.r_[MOVED_M * move / np.linalg.norm(move), TURNED_RAD * turn / np.linalg.norm(turn)]


@contextmanager
def stage(task_name: str, deep: Sequence[str] = ()) -> Iterator[Stage]:
    """Build everything; it is closed at the end."""
    task, policy = load_task(task_name), load_policy(EXPERT)
    robot, backend = load_robot(task.default_robot), create_backend(policy.backend)
    backend.load(policy, robot, task)
    world = World(robot, task)
    try:
        yield Stage(robot, task, policy, world, backend, tuple(deep))
    finally:
        world.close()
        backend.close()
