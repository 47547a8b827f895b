# SPDX-License-Identifier: Apache-2.0
"""An attempt without ROS: observations at camera rate, chunks followed at 100 Hz, a declared latency.

For tests, for collecting demonstrations, and for comparing ways of joining chunks. A :class:`Player` joins them; unless
told otherwise the newest chunk simply takes over, without limits or stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wam_ros.core.methods import at_times
from wam_ros.core.types import Chunk, FloatArray, JointState, Observation, View, nanoseconds
from wam_ros.motion.splicer import Setpoint
from wam_ros.sim.judgement import Judgement
from wam_ros.sim.tracker import Tracker
from wam_ros.sim.twin import Rhythm
from wam_ros.sim.world import World

Act = Callable[[Observation], Chunk | None]


class Player(Protocol):
    """A way of joining chunks into one motion; the robot's own is :class:`wam_ros.motion.splicer.Splicer`."""

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at (J,) a position."""

    def offer(self, chunk: Chunk, now_ns: int) -> object:
        """Take a chunk that has just landed."""

    def sample(self, now_ns: int) -> Setpoint:
        """Return what to command now."""


class Bare:
    """The newest chunk, linear between its rows; before its first row and after its last it stands there."""

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at (J,) a position."""
        self._chunk: Chunk | None = None
        self._start, self._still = position, np.zeros_like(position)

    def offer(self, chunk: Chunk, now_ns: int) -> None:
        """Follow this chunk from now on."""
        self._chunk = chunk

    def sample(self, now_ns: int) -> Setpoint:
        """Return the position of now; no speed is told with it."""
        position = self._start if self._chunk is None else at_times(self._chunk, (now_ns,))[0][0]
        return Setpoint(position, self._still, self._still)


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


def attempt(world: World, act: Act, seed: int, pace: Pace, player: Player | None = None) -> Iterator[Moment]:
    """Play the attempt of a seed and yield every moment, the last one when it has succeeded or run out of time.

    Args:
        world: is reset.
        act: a policy; gets an observation, returns a chunk whose stamp is the observation's, or none.
        player: joins the chunks; the newest one bare if None.
    """
    world.reset(seed)
    driver = _Driver(world, pace.latency_s, player or Bare())
    frames, ticks = Rhythm(pace.rate_hz), Rhythm(pace.command_rate_hz)
    count, over_ns = 0, nanoseconds(world.task.timeout_s)
    while world.time_ns <= over_ns:
        driver.land()
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
    """Sends a player's setpoints through the driver's own tracker; chunks land when their latency has passed."""

    def __init__(self, world: World, latency_s: float, player: Player) -> None:
        self._world, self._player = world, player
        self._latency_ns = nanoseconds(latency_s)
        self._fastest = world.robot.motion_limits()[0]
        self._tracker = Tracker.for_robot(world.robot, world.joints())
        self._arriving: list[Chunk] = []
        self.targets: FloatArray = world.joints()
        player.start(self.targets, world.time_ns)

    def expect(self, chunk: Chunk | None) -> None:
        """Offer this chunk to the player when its latency has passed."""
        if chunk is not None:
            self._arriving.append(chunk)
            self.land()

    def land(self) -> None:
        """Offer what has arrived by now."""
        while self._arriving and self._arriving[0].stamp_ns + self._latency_ns <= self._world.time_ns:
            self._player.offer(self._arriving.pop(0), self._world.time_ns)

    def tick(self) -> None:
        """Send the setpoint of this time."""
        self.targets = self._player.sample(self._world.time_ns).position
        self._tracker.command(slice(None), self.targets, self._fastest, self._world.time_ns)

    def step(self) -> None:
        """Advance physics by one step."""
        world = self._world
        world.set_targets(self._tracker.step(world.joints(), world.time_ns, world.step_ns))
        world.step()
