# SPDX-License-Identifier: Apache-2.0
"""Arms in an empty world: joints that trail their targets, and pictures that show which arm moves.

It stands where :class:`wam_ros.sim.world.World` would for a double that needs no scene: no physics, no OpenGL, one
thousandth of the work.
"""

from __future__ import annotations

import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.core.types import ByteImage, DepthImage, FloatArray, nanoseconds, seconds
from wam_ros.sim.judgement import Judgement

STEP_NS = nanoseconds(0.005)
#: How far a joint trails a moving target [s]; the simulated servos' (sim/embodiment.py).
LAG_S = 0.045
_STRIPES_PX = 40
_DISTANCE_M = 1.0


class BareWorld:
    """The joints of a robot and nothing else.

    Attributes:
        joint_names: (J,) robot order.
        step_ns: time of one :meth:`step`.
        truth_names: labels of :meth:`truth`: none.
    """

    def __init__(self, robot: Robot) -> None:
        self.joint_names, self.step_ns = robot.joint_names, STEP_NS
        self.truth_names: tuple[str, ...] = ()
        self._robot = robot
        self._share = 1 - float(np.exp(-seconds(STEP_NS) / LAG_S))
        starts = np.cumsum([0, *(len(arm.joints) + 1 for arm in robot.arms)])
        self._columns = {arm.name: slice(a, a + len(arm.joints)) for arm, a in zip(robot.arms, starts, strict=False)}
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Put the arms into the ready pose."""
        self._position = np.array(self._robot.ready_position())
        self._target = self._position.copy()

    def set_targets(self, position: FloatArray) -> None:
        """Pull towards (J,) positions from the next step on."""
        self._target = position

    def step(self) -> None:
        """Let ``step_ns`` pass."""
        self._position = self._position + self._share * (self._target - self._position)

    def joints(self) -> FloatArray:
        """(J,) positions."""
        return self._position

    def render(self, camera: str) -> tuple[ByteImage, DepthImage]:
        """Return stripes that pass by as the arm moves that carries the camera, and a wall at one metre."""
        for found in self._robot.cameras:
            if found.name == camera:
                return self._stripes(found.height, found.width, found.arm)
        return self._stripes(_STRIPES_PX, _STRIPES_PX, "")

    def picture(self, camera: str) -> ByteImage:
        """Return the stripes of :meth:`render` alone."""
        return self.render(camera)[0]

    def intrinsics(self, camera: str) -> FloatArray:
        """(3, 3) camera matrix."""
        found = self._robot.camera(camera)
        focal = found.height / (2 * np.tan(found.vertical_fov_rad / 2))
        return np.array([[focal, 0, found.width / 2], [0, focal, found.height / 2], [0, 0, 1]])

    def truth(self) -> FloatArray:
        """There is nothing to know."""
        return np.zeros(0)

    def judge(self) -> Judgement:
        """There is nothing to judge."""
        return Judgement({}, 0.0, False, {})

    def close(self) -> None:
        """There is nothing to free."""

    def _stripes(self, height: int, width: int, arm: str) -> tuple[ByteImage, DepthImage]:
        turned = float(self._position[self._columns[arm]].sum()) if arm else 0.0
        row = np.sin(np.arange(width) * 2 * np.pi / _STRIPES_PX + 4 * turned)
        shades = np.broadcast_to((127.5 + 100 * row)[None, :, None], (height, width, 3))
        return shades.astype(np.uint8), np.full((height, width), _DISTANCE_M, np.float32)
