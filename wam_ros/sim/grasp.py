# SPDX-License-Identifier: Apache-2.0
"""How hands hold cloth: closing jaws pin the points that lie between them.

A stand-in for friction: jaws that come from above cannot get below a flat cloth of this thickness. Both ends go
through the command and the measured gap, so a policy has to earn the grasp; in a wrong place nothing is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.sim.scene import GRASP_SLOTS

CLOSING_BELOW = 0.12  # commanded opening below which a hand wants to hold
HOLD_BELOW = 0.14  # measured opening below which closing jaws grip
LET_GO_ABOVE = 0.10  # measured opening above which opening jaws have let go
# The volume between the pads, in the tool frame (x approach, y jaw motion, z across): half a cell of the cloth across,
# so that the hand holds one row of points and does not curl the edge; the full sweep of the closing jaws along y.
PAD_CENTRE_M = np.array([-0.006, 0.0, 0.0])
PAD_HALF_M = np.array([0.022, 0.026, 0.013])


class Hands(Protocol):
    """Who holds what: points of cloth that are pinned (:class:`Grasps`), or bodies between fingers (``pinch.py``).

    Attributes:
        held: arm name to the indices of what its hand holds.
    """

    held: dict[str, list[int]]

    def reset(self) -> None:
        """Hold nothing."""
        ...

    def lose(self, arm: str) -> None:
        """Let what a hand holds slip out; it holds nothing before it has opened and closed again."""
        ...

    def update(self, points: FloatArray, commanded: Mapping[str, float], measured: Mapping[str, float]) -> None:
        """Grip or let go, as the openings of the hands say; called before each step."""
        ...


class Grasps:
    """Who holds which points of the workpiece.

    Attributes:
        held: arm name to the indices of the points that its hand holds.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, robot: Robot, bodies: NDArray[np.int32]) -> None:
        """Bodies are the ids of the workpiece's points, in the order in which their positions are given."""
        self._model, self._data = model, data
        self._bodies = bodies
        self._tools = {arm.name: model.body(arm.tool_frame).id for arm in robot.arms}
        self._slots = {
            arm.name: [model.equality(f"{arm.name}_grasp{k}").id for k in range(GRASP_SLOTS)] for arm in robot.arms
        }
        self._idle = {"object": model.eq_obj2id.copy(), "data": model.eq_data.copy()}
        self.held: dict[str, list[int]] = {arm.name: [] for arm in robot.arms}
        self._slipped: set[str] = set()

    def reset(self) -> None:
        """Hold nothing, and leave no trace of earlier grasps in the model."""
        self._model.eq_obj2id[:] = self._idle["object"]
        self._model.eq_data[:] = self._idle["data"]
        self.held = {arm: [] for arm in self.held}
        self._slipped.clear()

    def lose(self, arm: str) -> None:
        """Let what a hand holds slip out; it holds nothing before it has opened and closed again."""
        self._data.eq_active[self._slots[arm]] = 0
        self.held[arm] = []
        self._slipped.add(arm)

    def update(self, points: FloatArray, commanded: Mapping[str, float], measured: Mapping[str, float]) -> None:
        """Grip or let go.

        Args:
            points: (N, 3) world positions of the workpiece's points.
            commanded: arm name to the opening that the servos aim at, 0 closed to 1 open.
            measured: arm name to the opening of the fingers.
        """
        for arm, held in self.held.items():
            closing = commanded[arm] < CLOSING_BELOW
            if not closing:
                self._slipped.discard(arm)
            if closing and not held and measured[arm] < HOLD_BELOW and arm not in self._slipped:
                self._grip(arm, points)
            elif not closing and held and measured[arm] > LET_GO_ABOVE:
                self._data.eq_active[self._slots[arm]] = 0
                self.held[arm] = []

    def _grip(self, arm: str, points: FloatArray) -> None:
        tool = self._tools[arm]
        local = (points - self._data.xpos[tool]) @ self._data.xmat[tool].reshape(3, 3)
        offset = np.abs(local - PAD_CENTRE_M)
        between = np.flatnonzero((offset < PAD_HALF_M).all(axis=1))
        nearest = between[np.argsort(np.hypot(offset[between, 1], offset[between, 2]))][:GRASP_SLOTS]
        for slot, point in zip(self._slots[arm], nearest, strict=False):
            self._model.eq_obj2id[slot] = self._bodies[point]
            self._model.eq_data[slot, :3] = local[point]
            self._model.eq_data[slot, 3:6] = 0
            self._data.eq_active[slot] = 1
        self.held[arm] = [int(point) for point in nearest]
