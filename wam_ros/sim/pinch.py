# SPDX-License-Identifier: Apache-2.0
"""How hands hold rigid parts: by friction alone. What is held is what both fingers of a hand touch."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.sim.grasp import CLOSING_BELOW

SLIPPERY = 0.02  # friction of fingers that have just lost something
LETS_GO_AFTER = 20  # steps without touch on both sides; a contact that trembles is no loss


class Pinches:
    """Who holds which bodies of the workpiece.

    Attributes:
        held: arm name to the indices of the bodies between its fingers.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, robot: Robot, bodies: NDArray[np.int32]) -> None:
        """Bodies are the ids of those that can be held; what hangs on them belongs to them."""
        self._model, self._data = model, data
        owners = _owners(model, bodies)
        self._owner = owners[model.geom_bodyid]
        self._fingers = {arm.name: [_shapes(model, joint) for joint in arm.gripper.fingers] for arm in robot.arms}
        self.held: dict[str, list[int]] = {arm.name: [] for arm in robot.arms}
        self._since: dict[str, dict[int, int]] = {arm.name: {} for arm in robot.arms}
        self._friction: dict[str, FloatArray] = {}

    def reset(self) -> None:
        """Hold nothing; the model's friction is drawn for each attempt and not touched here."""
        self.held = {arm: [] for arm in self.held}
        self._since = {arm: {} for arm in self.held}
        for arm in self._friction:
            self._model.geom_priority[np.concatenate(self._fingers[arm])] = 0
        self._friction.clear()

    def lose(self, arm: str) -> None:
        """Let what a hand holds slip out; its fingers are slippery until it opens."""
        if arm not in self._friction:
            shapes = np.concatenate(self._fingers[arm])
            self._friction[arm] = self._model.geom_friction[shapes].copy()
            self._model.geom_friction[shapes] = SLIPPERY
            self._model.geom_priority[shapes] = 1  # else the rougher of the two counts

    def update(self, points: FloatArray, commanded: Mapping[str, float], measured: Mapping[str, float]) -> None:
        """Look what the fingers touch.

        Args:
            points: not needed: contacts say it.
            commanded: arm name to the opening that the servos aim at, 0 closed to 1 open.
            measured: not needed.
        """
        for arm in [arm for arm in self._friction if commanded[arm] >= CLOSING_BELOW]:
            shapes = np.concatenate(self._fingers[arm])
            self._model.geom_friction[shapes] = self._friction.pop(arm)
            self._model.geom_priority[shapes] = 0
        pairs = self._data.contact.geom
        pairs = np.concatenate([pairs, pairs[:, ::-1]])
        body = self._owner[pairs[:, 1]]
        for arm, fingers in self._fingers.items():
            touched = [set(body[np.isin(pairs[:, 0], finger)].tolist()) for finger in fingers]
            since = {body: steps + 1 for body, steps in self._since[arm].items() if steps < LETS_GO_AFTER}
            self._since[arm] = since | dict.fromkeys(set.intersection(*touched) - {-1}, 0)
            self.held[arm] = sorted(self._since[arm])


def _owners(model: mujoco.MjModel, bodies: NDArray[np.int32]) -> NDArray[np.int64]:
    """(bodies of the model,) index of the given body that each is or hangs on, -1 for none."""
    owners = np.full(model.nbody, -1)
    owners[bodies] = np.arange(len(bodies))
    for body, parent in enumerate(model.body_parentid):  # parents come first
        owners[body] = max(owners[body], owners[parent])
    return owners


def _shapes(model: mujoco.MjModel, joint: str) -> NDArray[np.int64]:
    return np.flatnonzero(model.geom_bodyid == model.joint(joint).bodyid[0])
