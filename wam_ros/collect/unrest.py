# SPDX-License-Identifier: Apache-2.0
"""What makes a demonstration teach recovery: the executed motion strays from the intended one.

The intended motion is what is recorded as action; a policy learns from it what to do where it was not meant to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from wam_ros.core.types import NS_PER_S, Chunk, FloatArray
from wam_ros.motion.splicer import Setpoint, Splicer

_KNOT_NS = 50_000_000
_APPROACH_S = 0.5  # after the start; a hand is then over the table
_EASE_S = 0.5
_AWAY_S = 1.2  # after closing; the hand is then above the workpiece, where it cannot come upon it closed


@dataclass(frozen=True)
class Unrest:
    """How the executed motion strays.

    Attributes:
        noise_rad: standard deviation of each joint of the arms.
        memory_s: after which the noise has forgotten itself.
        miss_rad: by how much one arm's first joint is off until it has gripped beside the workpiece; 0: no miss.
        miss_arm: index of that arm.
    """

    noise_rad: float = 0.01
    memory_s: float = 0.4
    miss_rad: float = 0.0
    miss_arm: int = 0


class _Miss(Enum):
    COMING, CLOSED, OVER = range(3)


class Straying:
    """A player that adds unrest to what the robot's own splicer commands.

    Args:
        splicer: joins the chunks.
        gripper_mask: (J,) True for grippers.
        how: the unrest.
        seed: of the noise.
    """

    def __init__(self, splicer: Splicer, gripper_mask: tuple[bool, ...], how: Unrest, seed: int) -> None:
        self.splicer = splicer
        self._how, self._rng = how, np.random.default_rng((seed, 3))
        self._grips = np.flatnonzero(gripper_mask)
        self._scale = np.where(gripper_mask, 0.0, how.noise_rad)
        begin = 0 if how.miss_arm == 0 else int(self._grips[how.miss_arm - 1]) + 1
        self._aim = np.zeros(len(gripper_mask))
        self._aim[begin] = how.miss_rad
        self._miss = _Miss.COMING if how.miss_rad else _Miss.OVER
        self._share, self._closed_ns = 0.0, 0

    @property
    def missing(self) -> bool:
        """True while a hand is closed where it was never meant to be: what is intended then is no example."""
        return self._miss is _Miss.CLOSED

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at a position."""
        self._begun_ns = self._next_ns = self._last_ns = now_ns
        self._before = self._after = self._scale * self._rng.normal(size=len(self._scale))
        self.splicer.start(position, now_ns)

    def offer(self, chunk: Chunk, now_ns: int) -> None:
        """Take a chunk that has just landed."""
        self.splicer.offer(chunk, now_ns)

    def sample(self, now_ns: int) -> Setpoint:
        """Return what is commanded: what is intended, and the unrest."""
        intended = self.splicer.sample(now_ns)
        self._follow(float(intended.position[self._grips[self._how.miss_arm]]), now_ns)
        position = intended.position + self._noise(now_ns) + self._share * self._aim
        return Setpoint(position, intended.velocity, intended.acceleration)

    def _follow(self, opening: float, now_ns: int) -> None:
        """Aim wrong until the hand has closed and is asked to open again."""
        if self._miss is _Miss.COMING and opening < 0.3:
            self._miss, self._closed_ns = _Miss.CLOSED, now_ns
        elif self._miss is _Miss.CLOSED and (opening > 0.3 or now_ns - self._closed_ns > _AWAY_S * NS_PER_S):
            self._miss = _Miss.OVER
        wrong = self._miss is not _Miss.OVER and now_ns - self._begun_ns > _APPROACH_S * NS_PER_S
        step = (now_ns - self._last_ns) / (_EASE_S * NS_PER_S)
        self._share = float(np.clip(self._share + (step if wrong else -step), 0, 1))
        self._last_ns = now_ns

    def _noise(self, now_ns: int) -> FloatArray:
        """Ornstein-Uhlenbeck between knots, straight lines from one to the next."""
        while now_ns >= self._next_ns:
            keep = np.exp(-_KNOT_NS / NS_PER_S / self._how.memory_s)
            fresh = self._scale * self._rng.normal(size=len(self._scale))
            self._before, self._after = self._after, keep * self._after + np.sqrt(1 - keep**2) * fresh
            self._next_ns += _KNOT_NS
        share = 1 - (self._next_ns - now_ns) / _KNOT_NS
        return np.asarray(self._before + share * (self._after - self._before))
