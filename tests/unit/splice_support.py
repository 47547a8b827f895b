"""A small two-armed robot for the splicing tests, and streams of chunks for it, tame and wild."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from wam_ros.core.limits import Limits
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray
from wam_ros.motion.splicer import Outcome, Splicer

NAMES = ("left_1", "left_2", "left_3", "left_gripper", "right_1", "right_2", "right_3", "right_gripper")
GRIPPERS = np.array([False, False, False, True] * 2)
ARMS = ~GRIPPERS
LOWER = np.where(GRIPPERS, 0.0, [-2.0, -1.0, -3.0, 0, -2.0, 0.0, -0.5, 0])
UPPER = np.where(GRIPPERS, 1.0, [2.0, 2.0, 0.0, 1, 2.0, 3.0, 0.5, 1])
SPEED = np.where(GRIPPERS, 4.0, [3, 3, 3, 4, 3, 5, 5, 4])
ACCELERATION = np.where(GRIPPERS, 40.0, [10, 10, 10, 0, 10, 15, 4, 0])
JERK = np.where(GRIPPERS, 800.0, [120, 120, 120, 0, 120, 200, 40, 0])
LIMITS = Limits(*(bound[ARMS] for bound in (LOWER, UPPER, SPEED, ACCELERATION, JERK)))
HOME = np.where(GRIPPERS, 1.0, (LOWER + UPPER) / 2)
TICK_NS = 5_000_000
STEP_S = TICK_NS / NS_PER_S
SECOND = NS_PER_S


def make_splicer(**changes: object) -> Splicer:
    """A splicer at HOME at time 0; ``method``, ``tuning`` and so on may be changed."""
    splicer = Splicer(NAMES, (SPEED, ACCELERATION, JERK), (LOWER, UPPER), GRIPPERS.tolist(), **changes)
    splicer.start(HOME, 0)
    return splicer


def rows(count: int, *, sway: float = 0.2, hz: float = 0.3, row_s: float = 1 / 15, start_s: float = 0.0) -> FloatArray:
    """(count, J) a gentle sway about HOME that starts at rest, grippers open."""
    t = start_s + np.arange(1, count + 1)[:, None] * row_s
    return np.where(GRIPPERS, 1.0, HOME + sway * (1 - np.cos(2 * np.pi * hz * t)) / 2)


def make_chunk(captured_ns: int = 0, positions: FloatArray | None = None, rate_hz: float = 15.0) -> Chunk:
    return Chunk.at_rate(captured_ns, NAMES, rows(32) if positions is None else positions, rate_hz)


def played(splicer: Splicer, begin_ns: int, end_ns: int) -> FloatArray:
    """(N, J) positions every 5 ms, the end excluded."""
    return splicer.trajectory(np.arange(begin_ns, end_ns, TICK_NS)).positions


@dataclass(frozen=True)
class Event:
    """Some time passes, then a chunk lands, or the robot is stopped and started again."""

    pause_ms: int
    count: int
    row_ms: int
    age_ms: int
    jump: float
    speed: float
    noise: float
    stop: bool
    seed: int

    def chunk(self, now_ns: int, here: FloatArray) -> Chunk:
        rng = np.random.default_rng(self.seed)
        t = np.cumsum(rng.uniform(0.3, 1.7, self.count)) * self.row_ms / 1000
        drift = self.speed * rng.uniform(-1, 1, len(NAMES)) * t[:, None]
        jump = self.jump * rng.uniform(-1, 1, len(NAMES))
        positions = here + jump + drift + rng.normal(0, self.noise, (self.count, len(NAMES)))
        return Chunk(now_ns - self.age_ms * 1_000_000, NAMES, positions, tuple((t * NS_PER_S).astype(int)))


def streams(wild: bool = True) -> st.SearchStrategy[list[Event]]:
    """Streams of up to a dozen events; wild ones ask for jumps, speeds and noise far beyond the limits."""
    return st.lists(
        st.builds(
            Event,
            pause_ms=st.integers(0, 1200),
            count=st.integers(1, 40),
            row_ms=st.integers(10, 120),
            age_ms=st.integers(0, 900),
            jump=st.floats(0, 0.6 if wild else 0.05),
            speed=st.floats(0, 8.0 if wild else 0.3),
            noise=st.floats(0, 0.3 if wild else 0.002),
            stop=st.booleans() if wild else st.just(False),
            seed=st.integers(0, 2**31),
        ),
        min_size=1,
        max_size=12,
    )


@dataclass
class Replay:
    """What was commanded during a stream, and what became of each chunk."""

    positions: FloatArray
    outcomes: list[Outcome]
    end_ns: int


def replay(splicer: Splicer, stream: list[Event]) -> Replay:
    """Play a stream, then wait until everything is at rest."""
    now, parts, outcomes = 0, [], []
    for event in stream:
        until = now + event.pause_ms * 1_000_000 // TICK_NS * TICK_NS
        parts.append(played(splicer, now, until))
        now = until
        here = splicer.sample(now).position
        if event.stop:
            splicer.stop(now)
            until = (splicer.at_rest_ns // TICK_NS + 1) * TICK_NS
            parts.append(played(splicer, now, until))
            now = until
            splicer.start(splicer.sample(now).position, now)
        else:
            outcomes.append(splicer.offer(event.chunk(now, here), now))
    end = (max(splicer.at_rest_ns, now) // TICK_NS + 4) * TICK_NS
    parts.append(played(splicer, now, end))
    return Replay(np.concatenate(parts), outcomes, end)
