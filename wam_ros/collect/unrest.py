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
_CLOSED = 0.3  # opening; narrower ones grip
_STEADY_S, _SETTLE_S = 0.3, 0.5  # before a hand grips: no more sway; and over which it fades, and comes back


@dataclass(frozen=True)
class Unrest:
    """How the executed motion strays.

    Attributes:
        noise_rad: standard deviation of each joint of the arms, all along.
        memory_s: after which the noise has forgotten itself.
        sway_rad: the same, but of each arm only while its own hand is empty and not about to grip. So it may be wider
            than what a hand may be off where it grips.
        sway_memory_s: longer, as a policy's own errors last.
        miss_rad: by how much one arm's first joint is off until it has gripped beside the workpiece; 0: no miss.
        miss_arm: index of that arm.
    """

    noise_rad: float = 0.01
    memory_s: float = 0.4
    sway_rad: float = 0.0
    sway_memory_s: float = 0.7
    miss_rad: float = 0.0
    miss_arm: int = 0


class _Miss(Enum):
    COMING, CLOSED, OVER = range(3)


class _Drift:
    """Ornstein-Uhlenbeck noise between knots, straight lines from one to the next.

    Args:
        scale: (J,) standard deviation.
        memory_s: after which it has forgotten itself.
        rng: draws it.
    """

    def __init__(self, scale: FloatArray, memory_s: float, rng: np.random.Generator) -> None:
        self._scale, self._rng = scale, rng
        self._keep = np.exp(-_KNOT_NS / NS_PER_S / memory_s)

    def start(self, now_ns: int) -> None:
        """Begin anew."""
        self._next_ns = now_ns
        self._before = self._after = self._fresh()

    def at(self, now_ns: int) -> FloatArray:
        """Return (J,) noise; times must not fall."""
        while now_ns >= self._next_ns:
            spread = np.sqrt(1 - self._keep**2)
            self._before, self._after = self._after, self._keep * self._after + spread * self._fresh()
            self._next_ns += _KNOT_NS
        share = 1 - (self._next_ns - now_ns) / _KNOT_NS
        return np.asarray(self._before + share * (self._after - self._before))

    def _fresh(self) -> FloatArray:
        return np.asarray(self._scale * self._rng.normal(size=len(self._scale)))


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
        self._how, self._grips = how, np.flatnonzero(gripper_mask)
        arms = np.where(gripper_mask, 0.0, 1.0)
        self._noise = _Drift(how.noise_rad * arms, how.memory_s, np.random.default_rng((seed, 3)))
        self._sway = _Drift(how.sway_rad * arms, how.sway_memory_s, np.random.default_rng((seed, 5)))
        #: Index of the arm that each joint belongs to; an arm ends with its gripper.
        self._arm_of = np.searchsorted(self._grips, np.arange(len(gripper_mask)))
        self._aim = np.zeros(len(gripper_mask))
        self._aim[int(np.argmax(self._arm_of == how.miss_arm))] = how.miss_rad
        self._miss = _Miss.COMING if how.miss_rad else _Miss.OVER
        self._share, self._closed_ns = 0.0, 0

    @property
    def missing(self) -> bool:
        """True while a hand is closed where it was never meant to be: what is intended then is no example."""
        return self._miss is _Miss.CLOSED

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at a position."""
        self._begun_ns = self._last_ns = now_ns
        self._grips_ns = np.full(len(self._grips), np.inf)
        self._freedom = np.zeros(len(self._grips))
        self._noise.start(now_ns)
        self._sway.start(now_ns)
        self.splicer.start(position, now_ns)

    def offer(self, chunk: Chunk, now_ns: int) -> None:
        """Take a chunk that has just landed."""
        closed = chunk.positions[:, self._grips] < _CLOSED
        first_ns = chunk.stamp_ns - self._begun_ns + np.asarray(chunk.offsets_ns)[closed.argmax(axis=0)]
        self._grips_ns = np.where(closed.any(axis=0), first_ns, np.inf)
        self.splicer.offer(chunk, now_ns)

    def sample(self, now_ns: int) -> Setpoint:
        """Return what is commanded: what is intended, and the unrest."""
        intended = self.splicer.sample(now_ns)
        passed_s = (now_ns - self._last_ns) / NS_PER_S
        self._last_ns = now_ns
        self._follow(float(intended.position[self._grips[self._how.miss_arm]]), now_ns, passed_s)
        self._freedom = np.minimum(self._freedom + passed_s / _SETTLE_S, self._free(now_ns))
        strays = self._noise.at(now_ns) + self._freedom[self._arm_of] * self._sway.at(now_ns)
        position = intended.position + strays + self._share * self._aim
        return Setpoint(position, intended.velocity, intended.acceleration)

    def _free(self, now_ns: int) -> FloatArray:
        """Return (arms,) the share of the sway that is allowed: 1 on the way, 0 where the hand has gripped or is about to."""
        left_s = (self._grips_ns - (now_ns - self._begun_ns)) / NS_PER_S
        return np.asarray(np.clip((left_s - _STEADY_S) / _SETTLE_S, 0, 1))

    def _follow(self, opening: float, now_ns: int, passed_s: float) -> None:
        """Aim wrong until the hand has closed and is asked to open again."""
        if self._miss is _Miss.COMING and opening < _CLOSED:
            self._miss, self._closed_ns = _Miss.CLOSED, now_ns
        elif self._miss is _Miss.CLOSED and (opening > _CLOSED or now_ns - self._closed_ns > _AWAY_S * NS_PER_S):
            self._miss = _Miss.OVER
        wrong = self._miss is not _Miss.OVER and now_ns - self._begun_ns > _APPROACH_S * NS_PER_S
        step = passed_s / _EASE_S
        self._share = float(np.clip(self._share + (step if wrong else -step), 0, 1))
