# SPDX-License-Identifier: Apache-2.0
"""The simulated robot as its driver sees it: commands in, and at each step the sensors that are due."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import floor

import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import NS_PER_S, ByteImage, DepthImage, FloatArray, seconds
from wam_ros.sim.bare import BareWorld
from wam_ros.sim.disturbance import QUIET, Disturbance
from wam_ros.sim.judgement import Judgement
from wam_ros.sim.randomisation import NOMINAL, Randomisation
from wam_ros.sim.scene import SCENE_CAMERA
from wam_ros.sim.tracker import Tracker
from wam_ros.sim.world import World

JUDGE_RATE_HZ = 10.0
# Of a twin whose truth does not come with pictures: half of what an observation's may be away (ros/observe.py).
TRUTH_RATE_HZ = 100.0
# For people; every second frame of a 15 Hz camera, so that both show the same time.
SCENE_RATE_HZ = 7.5


class Rhythm:
    """When something of a steady rate is due, counted from the start of the attempt, so that no rounding adds up.

    Args:
        rate_hz: of it.
        phase: share of a period by which the first is later than the start.
    """

    def __init__(self, rate_hz: float, phase: float = 0.0) -> None:
        self._rate_hz, self._phase = rate_hz, phase
        self._count = 0

    def due(self, elapsed_ns: int) -> bool:
        """True once in each period."""
        count = floor(elapsed_ns * self._rate_hz / NS_PER_S - self._phase + 1e-9) + 1
        due, self._count = count > self._count, count
        return due


@dataclass(frozen=True)
class Sensed:
    """What the sensors say after a step.

    Attributes:
        position, velocity: (J,) in robot order.
        frames: colour (H, W, 3) and depth (H, W) [m] of the cameras that are due; no depth where nobody asks for it.
        truth: the simulator's state, with the frames of the leading camera or at its own pace.
        judgement: how the task stands, if it is due.
        scene: (H, W, 3) picture of robot and workpiece for people, if it is due and somebody watches.
    """

    position: FloatArray
    velocity: FloatArray
    frames: Mapping[str, tuple[ByteImage, DepthImage | None]] = field(default_factory=dict)
    truth: FloatArray | None = None
    judgement: Judgement | None = None
    scene: ByteImage | None = None


@dataclass(frozen=True)
class Variety:
    """How attempts differ from each other, besides the workpiece's pose."""

    randomisation: Randomisation = NOMINAL
    disturbance: Disturbance = QUIET


SAME = Variety()


def _world(robot: Robot, task: Task | None, seed: int, how: Variety, *, coarse: bool) -> World | BareWorld:
    if task is None:
        return BareWorld(robot)
    return World(robot, task, seed=seed, randomisation=how.randomisation, disturbance=how.disturbance, coarse=coarse)


class Twin:
    """A world, the tracker that moves its joints, and the rhythm of its sensors.

    Args:
        robot: is simulated.
        task: whose scene it works in; None: in an empty world.
        seed: of the first attempt.
        variety: between attempts.
        free_running: its cameras expose one after the other, as cameras that nobody synchronises, and truth is told at a pace
            of its own, for listeners to whom a picture's time is that of its arrival. Its pictures are coarse: nobody waits.

    Attributes:
        world: the simulation; lives in the thread that made it.
        elapsed_ns: simulated time of the attempt.
        watched: somebody wants the picture for people.
        wants_depth: says of a camera whether anybody wants its depth; asked when it exposes.

    Raises:
        MissingDependencyError: no way to render here.
    """

    def __init__(
        self, robot: Robot, task: Task | None, seed: int, variety: Variety = SAME, *, free_running: bool = False
    ) -> None:
        self._free_running = free_running
        self.world = _world(robot, task, seed, variety, coarse=free_running)
        self.watched = False
        self.wants_depth: Callable[[str], bool] = lambda _: True
        self._robot = robot
        self._position = self.world.joints()
        self._tracker = Tracker.for_robot(robot, self._position)
        self._begin()

    def restart(self, seed: int) -> None:
        """Begin an attempt; the next sensors are its first."""
        self.world.reset(seed)
        self._position = self.world.joints()
        self._tracker.restart(self._position)
        self._begin()

    def command(self, joints: slice, target: FloatArray, speed: FloatArray, now_ns: int) -> None:
        """Move some joints towards (n,) targets, no faster than (n,) speeds."""
        self._tracker.command(joints, target, speed, now_ns)

    def step(self, now_ns: int) -> None:
        """Advance physics by one step, which ends at ``now_ns`` on the clock of the commands."""
        before = self._position
        self.world.set_targets(self._tracker.step(before, now_ns, self.world.step_ns))
        self.world.step()
        self._position = self.world.joints()
        self._velocity = (self._position - before) / seconds(self.world.step_ns)
        self.elapsed_ns += self.world.step_ns
        self._sensed_ns += self.world.step_ns

    def stand(self) -> None:
        """Let a step's time pass in which nothing moves; the sensors go on."""
        self._velocity = np.zeros_like(self._position)
        self._sensed_ns += self.world.step_ns

    def sense(self) -> Sensed:
        """Return the joints, and what else is due now."""
        frames = {name: self._shot(name) for name, rhythm in self._cameras.items() if rhythm.due(self._sensed_ns)}
        asked = self._truth.due(self._sensed_ns) if self._free_running else self._robot.leader_camera in frames
        truth = self.world.truth() if asked else None
        judgement = self.world.judge() if self._judge.due(self._sensed_ns) else None
        scene = self.world.render(SCENE_CAMERA)[0] if self._scene.due(self._sensed_ns) and self.watched else None
        return Sensed(self._position, self._velocity, frames, truth, judgement, scene)

    def close(self) -> None:
        """Free the renderer."""
        self.world.close()

    def _shot(self, camera: str) -> tuple[ByteImage, DepthImage | None]:
        return self.world.render(camera) if self.wants_depth(camera) else (self.world.picture(camera), None)

    def _begin(self) -> None:
        self.elapsed_ns = self._sensed_ns = 0
        self._velocity = np.zeros_like(self._position)
        share = 1 / len(self._robot.cameras) if self._free_running else 0.0
        self._cameras = {c.name: Rhythm(c.rate_hz, share * k) for k, c in enumerate(self._robot.cameras)}
        self._truth = Rhythm(TRUTH_RATE_HZ)
        self._judge, self._scene = Rhythm(JUDGE_RATE_HZ), Rhythm(SCENE_RATE_HZ)
