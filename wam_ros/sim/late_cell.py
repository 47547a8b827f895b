# SPDX-License-Identifier: Apache-2.0
"""A robot that wiggles before a board, with devices that are late by known times: for measuring latencies without hardware."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from wam_ros.core.latency import irregular_motion
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import ByteImage, FloatArray, nanoseconds, seconds
from wam_ros.sim.tracker import Tracker
from wam_ros.sim.twin import Rhythm
from wam_ros.sim.world import World

COMMAND_S = 0.01
SWING_RAD, OPENING, OPENING_SWING = 0.08, 0.5, 0.35


@dataclass(frozen=True)
class Lags:
    """What is made late, beside the servos' own lag.

    Attributes:
        command_s: from a command to the tracker that follows it, arms and grippers.
        stamp_s: from exposure to the stamp of a picture.
    """

    command_s: float = 0.0
    stamp_s: float = 0.0


@dataclass(frozen=True)
class Played:
    """What was commanded and measured: (N,) times and (N, J) positions of each."""

    commanded_s: FloatArray
    commanded: FloatArray
    measured_s: FloatArray
    measured: FloatArray


class LateCell:
    """One robot, whose arms swing irregularly about a pose.

    Args:
        robot, task: what is simulated.
        about: (J,) pose to swing about.
        lags: of the devices.
        cameras: that film.
        seed: of the motion.
    """

    def __init__(
        self, robot: Robot, task: Task, about: FloatArray, lags: Lags, cameras: Sequence[str] = (), seed: int = 0
    ) -> None:
        self._world = World(robot, task, render=bool(cameras))
        self._robot, self._lags, self._seed = robot, lags, seed
        self._about = np.where(robot.gripper_mask, OPENING, about)
        self._rhythms = {name: Rhythm(robot.camera(name).rate_hz) for name in cameras}

    def close(self) -> None:
        """Free the renderer."""
        self._world.close()

    def play(self, duration_s: float, on_picture: Callable[[str, float, ByteImage], None]) -> Played:
        """Swing for some seconds; ``on_picture`` gets camera, stamp [s] and picture of every exposure."""
        times_s = np.arange(0.0, duration_s, COMMAND_S)
        wishes = self._wishes(times_s)
        tracker = self._settled(wishes[0])
        late: deque[tuple[int, FloatArray]] = deque()
        measured_s, measured = [], []
        steps = nanoseconds(COMMAND_S) // self._world.step_ns
        for time_s, wish in zip(times_s, wishes, strict=True):
            late.append((nanoseconds(time_s + self._lags.command_s), wish))
            for step in range(steps):
                now_ns = nanoseconds(time_s) + step * self._world.step_ns
                while late and late[0][0] <= now_ns:
                    tracker.command(slice(None), late.popleft()[1], self._robot.motion_limits()[0], now_ns)
                self._advance(tracker, now_ns)
                measured_s.append(seconds(now_ns + self._world.step_ns))
                measured.append(self._world.joints())
                self._film(now_ns + self._world.step_ns, on_picture)
        return Played(times_s, wishes, np.array(measured_s), np.array(measured))

    def _wishes(self, times_s: FloatArray) -> FloatArray:
        """(N, J) within the bounds."""
        swings = np.where(self._robot.gripper_mask, OPENING_SWING, SWING_RAD)
        waves = [irregular_motion(times_s, swing, self._seed + 1000 * j) for j, swing in enumerate(swings)]
        wishes: FloatArray = np.clip(self._about + np.stack(waves, axis=1), *self._robot.bounds())
        return wishes

    def _settled(self, start: FloatArray) -> Tracker:
        """A tracker that holds the arms at the start, where they rest."""
        tracker = Tracker(self._world.joints(), None)
        tracker.command(slice(None), start, self._robot.motion_limits()[0], 0)
        for _ in range(nanoseconds(4.0) // self._world.step_ns):
            self._advance(tracker, 0)
        return tracker

    def _advance(self, tracker: Tracker, now_ns: int) -> None:
        self._world.set_targets(tracker.step(self._world.joints(), now_ns, self._world.step_ns))
        self._world.step()

    def _film(self, now_ns: int, on_picture: Callable[[str, float, ByteImage], None]) -> None:
        for camera, rhythm in self._rhythms.items():
            if rhythm.due(now_ns):
                exposed_s = seconds(now_ns) - self._world.picture_age_s
                on_picture(camera, exposed_s + self._lags.stamp_s, self._world.picture(camera))

    def intrinsics(self, camera: str) -> FloatArray:
        """(3, 3) camera matrix."""
        return self._world.intrinsics(camera)
