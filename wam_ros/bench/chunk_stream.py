# SPDX-License-Identifier: Apache-2.0
"""A demonstration, and a policy that predicts it imperfectly and late: the input of ``wam bench seams``.

The demonstration is a sum of slow sines with closing and opening grippers. A chunk is the
demonstration's future with a constant disagreement per chunk and joint, and noise in each row; when
it lands follows from the latency and its jitter, one inference at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.core.schedule import Schedule
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray

HORIZON, RATE_HZ = 32, 15.0
# Disagreement of two chunks of real policies is 20-70 mrad (almond-bot/axol); noise as in real joints' rows.
OFFSET_RAD, NOISE_RAD = 0.020, 0.0015
SPEED_RMS_RAD_S = 0.35
SETTLED_S = 4.0
# A cold inference took 0.7 s where 0.3 s is usual (huggingface/lerobot#4223).
COLD = 2.3

Jitter = Literal["uniform", "heavy_tail", "warm_up", "lost"]
JITTERS: tuple[Jitter, ...] = get_args(Jitter)


class Demonstration:
    """A smooth motion of all joints of a robot about the middle of their ranges.

    It begins to move after a second and has its full speed from ``SETTLED_S`` on: the first chunk of a
    slow policy must not find the demonstration far from the robot.
    """

    def __init__(self, robot: Robot, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.grippers = np.array(robot.gripper_mask)
        joints = len(self.grippers)
        self._center = np.mean(robot.bounds(), axis=0)
        self._omega = 2 * np.pi * rng.uniform(0.08, 0.5, (6, joints))
        self._phase = rng.uniform(0, 2 * np.pi, (6, joints))
        self._speed = SPEED_RMS_RAD_S * np.sqrt(2 / 6)

    def positions(self, times_s: FloatArray) -> FloatArray:
        """(N,) times to (N, J) positions; grippers are open or closed."""
        angle = self._omega * np.asarray(times_s)[:, None, None] + self._phase
        moved = (self._speed / self._omega * np.sin(angle)).sum(axis=1)
        x = np.clip((np.asarray(times_s) - 1) / (SETTLED_S - 1), 0, 1)[:, None]
        swell = x**3 * (10 - 15 * x + 6 * x**2)
        return np.where(self.grippers, np.sin(angle[:, 0]) > 0, self._center + swell * moved)


@dataclass(frozen=True)
class Arrival:
    """One inference.

    Attributes:
        captured_ns: when its picture was taken.
        clock_s: the time of the demonstration that the picture shows.
        landed_ns: when its chunk lands.
        lost: it never does.
    """

    captured_ns: int
    clock_s: float
    landed_ns: int
    lost: bool = False


@dataclass(frozen=True)
class Stream:
    """All inferences of a run.

    Attributes:
        arrivals: in the order of capture; one inference at a time, so that it is also that of landing.
        pauses: the demonstration stands still from capture to landing.
    """

    arrivals: tuple[Arrival, ...]
    pauses: bool

    def clock_s(self, times_ns: np.ndarray) -> FloatArray:
        """(N,) times of the run to times of the demonstration."""
        if not self.pauses:
            return times_ns / NS_PER_S
        edges = [time for a in self.arrivals for time in (a.captured_ns, a.landed_ns)]
        return np.asarray(np.interp(times_ns, edges, np.repeat([a.clock_s for a in self.arrivals], 2)))


def stream(latency_s: float, jitter: Jitter, rhythm: Schedule, duration_s: float, waits: bool, seed: int = 0) -> Stream:
    """Return the inferences in the rhythm of a schedule; or, when the robot waits, one after each stride at rest."""
    latencies = _latencies(latency_s, jitter, seed)
    stride_ns = round(rhythm.stride_rows * NS_PER_S / rhythm.rate_hz)
    lost = round(duration_s * NS_PER_S / stride_ns / 2) if jitter == "lost" else -1
    found: list[Arrival] = []
    captured, end = 0, round(duration_s * NS_PER_S)
    while captured < end:
        landed = captured + round(next(latencies) * NS_PER_S)
        clock_s = len(found) * stride_ns / NS_PER_S if waits else captured / NS_PER_S
        found.append(Arrival(captured, clock_s, landed, lost=not waits and len(found) == lost))
        captured = landed + stride_ns if waits else rhythm.next_observation_ns(captured, landed)
    return Stream(tuple(found), waits)


def _latencies(latency_s: float, jitter: Jitter, seed: int) -> Iterator[float]:
    """Yield latencies: even by 15 %; or a Pareto tail with one in a hundred 1.9 times as long; or one that is cold."""
    rng = np.random.default_rng(seed)
    number = 0
    while True:
        factor = rng.uniform(0.85, 1.15)
        if jitter == "heavy_tail":
            factor = 0.9 + 0.1 * (1 + rng.pareto(2.0))
        if jitter == "warm_up" and number == 3:
            factor = COLD
        yield latency_s * factor
        number += 1


def predicted(demonstration: Demonstration, robot: Robot, arrival: Arrival, seed: int) -> Chunk:
    """Return the chunk of a picture that shows the demonstration at a time; the same seed, the same errors."""
    rng = np.random.default_rng((seed, arrival.captured_ns))
    rows = demonstration.positions(arrival.clock_s + np.arange(1, HORIZON + 1) / RATE_HZ)
    error = rng.normal(0, OFFSET_RAD, rows.shape[1]) + rng.normal(0, NOISE_RAD, rows.shape)
    lower, upper = robot.bounds()
    rows = np.clip(rows + np.where(demonstration.grippers, 0.0, error), lower, upper)
    return Chunk.at_rate(arrival.captured_ns, robot.joint_names, rows, RATE_HZ)
