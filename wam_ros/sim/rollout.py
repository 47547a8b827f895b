# SPDX-License-Identifier: Apache-2.0
"""An attempt without ROS: observations at camera rate, chunks followed at 100 Hz, a declared latency.

For tests and for collecting demonstrations. What the ROS graph adds (joining chunks smoothly, limits, stops) is not
here: at a seam the newest chunk simply takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from wam_ros.core.types import Chunk, FloatArray, JointState, Observation, View, nanoseconds
from wam_ros.sim.judgement import Judgement
from wam_ros.sim.tracker import Tracker
from wam_ros.sim.twin import Rhythm
from wam_ros.sim.world import World

Act = Callable[[Observation], Chunk]


@dataclass(frozen=True)
class Moment:
    """One picture's time.

    Attributes:
        observation: what was seen then.
        targets: (J,) what the arms were told at that time.
        judgement: how the task stood.
    """

    observation: Observation
    targets: FloatArray
    judgement: Judgement


@dataclass(frozen=True)
class Pace:
    """How chunks are asked for and executed.

    Attributes:
        rate_hz: of observations; the leader camera's.
        execute_rows: observations from one inference to the next.
        latency_s: simulated time from an observation to its chunk.
        command_rate_hz: of the setpoints, linear between a chunk's rows.
        linger_s: how long an attempt goes on after its success.
        draw: False leaves the views out, for policies that do not look.
    """

    rate_hz: float = 15.0
    execute_rows: int = 8
    latency_s: float = 0.0
    command_rate_hz: float = 100.0
    linger_s: float = 0.5
    draw: bool = True


def attempt(world: World, act: Act, seed: int, pace: Pace) -> Iterator[Moment]:
    """Play the attempt of a seed and yield every moment, the last one when it has succeeded or run out of time.

    Args:
        world: is reset.
        act: a policy; gets an observation, returns a chunk whose stamp is the observation's.
    """
    world.reset(seed)
    driver = _Driver(world, pace.latency_s)
    frames, ticks = Rhythm(pace.rate_hz), Rhythm(pace.command_rate_hz)
    count, over_ns = 0, nanoseconds(world.task.timeout_s)
    while world.time_ns <= over_ns:
        if frames.due(world.time_ns):
            moment = Moment(observe(world, pace.draw), driver.targets, world.judge())
            if moment.judgement.success:
                over_ns = min(over_ns, world.time_ns + nanoseconds(pace.linger_s))
            if count % pace.execute_rows == 0:
                driver.expect(act(moment.observation))
            count += 1
            yield moment
        if ticks.due(world.time_ns):
            driver.tick()
        driver.step()


def observe(world: World, draw: bool = True) -> Observation:
    """Return what the robot's sensors and the simulator's truth say now."""
    stamp_ns = world.time_ns
    views = {c.name: View(stamp_ns, *world.render(c.name)) for c in world.robot.cameras} if draw else {}
    return Observation(stamp_ns, views, JointState(stamp_ns, world.joint_names, world.joints()), world.truth())


class _Driver:
    """Follows the newest chunk that has arrived, through the driver's own tracker."""

    def __init__(self, world: World, latency_s: float) -> None:
        self._world = world
        self._latency_ns = nanoseconds(latency_s)
        self._fastest = world.robot.motion_limits()[0]
        self._tracker = Tracker(world.joints())
        self._arriving: list[Chunk] = []
        self._following: Chunk | None = None
        self.targets: FloatArray = world.joints()

    def expect(self, chunk: Chunk) -> None:
        """Take over this chunk when its latency has passed."""
        self._arriving.append(chunk)

    def tick(self) -> None:
        """Send the setpoint of this time."""
        now_ns = self._world.time_ns
        while self._arriving and self._arriving[0].stamp_ns + self._latency_ns <= now_ns:
            self._following = self._arriving.pop(0)
        if self._following is not None:
            after_ns = np.array(self._following.offsets_ns)
            elapsed_ns = now_ns - self._following.stamp_ns
            rows = self._following.positions
            self.targets = np.array([np.interp(elapsed_ns, after_ns, column) for column in rows.T])
        self._tracker.command(slice(None), self.targets, self._fastest, now_ns)

    def step(self) -> None:
        """Advance physics by one step."""
        world = self._world
        world.set_targets(self._tracker.step(world.joints(), world.time_ns, world.step_ns))
        world.step()
