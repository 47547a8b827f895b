# SPDX-License-Identifier: Apache-2.0
"""What a laboratory does to a policy: the workpiece is pushed on the way, a hand loses what it has just gripped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wam_ros.core.types import NS_PER_S, FloatArray
from wam_ros.sim.grasp import Hands

_STREAM = 2  # of the random numbers of a seed


@dataclass(frozen=True)
class Disturbance:
    """What happens in an attempt; when and where is drawn from its seed.

    Attributes:
        nudge_m, nudge_rad: how far the workpiece is pushed and turned at most, while nobody holds it.
        nudge_s: between these times of the attempt.
        slips: grips that are lost, one hand's each.
        slip_s: how long after gripping, at most.
    """

    nudge_m: float = 0.02
    nudge_rad: float = 0.1
    nudge_s: tuple[float, float] = (0.3, 1.0)
    slips: int = 1
    slip_s: float = 0.3


QUIET = Disturbance(0.0, 0.0, slips=0)


class Disturber:
    """The course of one attempt's disturbances.

    Args:
        how: what may happen.
        seed: of the attempt.
        arms: names of those whose hands may slip.
    """

    def __init__(self, how: Disturbance, seed: int, arms: tuple[str, ...]) -> None:
        rng = np.random.default_rng((seed, _STREAM))
        self._nudged = how.nudge_m == how.nudge_rad == 0
        self._nudge_ns = rng.uniform(*how.nudge_s) * NS_PER_S
        angle, share = rng.uniform(-np.pi, np.pi), np.sqrt(rng.uniform())
        shift = how.nudge_m * share * np.array([np.cos(angle), np.sin(angle)])
        self._push = np.array([*shift, how.nudge_rad * rng.uniform(-1, 1)])
        self._slips = [(arms[rng.integers(len(arms))], how.slip_s * rng.uniform() * NS_PER_S) for _ in range(how.slips)]
        self._gripped_ns: int | None = None

    def act(self, now_ns: int, grasps: Hands, push: Callable[[FloatArray], None]) -> None:
        """Do what is due; called before each step.

        Args:
            now_ns: time of the attempt.
            grasps: of the world.
            push: moves the workpiece by (3,) x [m], y [m], yaw [rad].
        """
        if not self._nudged and now_ns >= self._nudge_ns and not any(grasps.held.values()):
            push(self._push)
            self._nudged = True
        if not self._slips:
            return
        arm, after_ns = self._slips[0]
        if not grasps.held[arm]:
            self._gripped_ns = None
        elif self._gripped_ns is None:
            self._gripped_ns = now_ns
        elif now_ns - self._gripped_ns >= after_ns:
            grasps.lose(arm)
            self._slips.pop(0)
            self._gripped_ns = None
