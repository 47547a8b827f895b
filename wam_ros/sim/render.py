# SPDX-License-Identifier: Apache-2.0
"""Colour and metric depth of cameras, one pass each, without a display.

The OpenGL context belongs to the thread that makes the renderer.
"""

from __future__ import annotations

import mujoco
import numpy as np

from wam_ros.core.errors import MissingDependencyError
from wam_ros.core.types import ByteImage, DepthImage, FloatArray, frozen
from wam_ros.sim.graphics import REMEDY, require_backend

MAX_GEOMS = 1000


class Renderer:
    """Draws the cameras of one model. Shadows are off: they cost five times the rest on a CPU."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Open a context large enough for every camera.

        Raises:
            MissingDependencyError: without an OpenGL library or a driver that draws without a display.
        """
        require_backend()
        self._model = model
        width, height = model.vis.global_.offwidth, model.vis.global_.offheight
        try:
            self._gl = mujoco.GLContext(width, height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        except (ImportError, RuntimeError, AttributeError, mujoco.FatalError) as error:
            raise MissingDependencyError(f"the OpenGL context could not be made ({error}); {REMEDY}") from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR.value
        self._scene = mujoco.MjvScene(model, MAX_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._option = mujoco.MjvOption()
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED.value

    def draw(self, data: mujoco.MjData, camera: str, width: int, height: int) -> tuple[ByteImage, DepthImage]:
        """Return what a camera sees.

        Returns:
            (H, W, 3) uint8 RGB and (H, W) float32 distance along the optical axis [m], 0 where nothing is hit.
        """
        area = self._draw(data, camera, width, height)
        color = np.empty((height, width, 3), np.uint8)
        inverse_depth = np.empty((height, width), np.float32)
        mujoco.mjr_readPixels(color, inverse_depth, area, self._context)
        return np.ascontiguousarray(color[::-1]), self._metres(inverse_depth[::-1])

    def draw_color(self, data: mujoco.MjData, camera: str, width: int, height: int) -> ByteImage:
        """Return the (H, W, 3) uint8 RGB that a camera sees."""
        area = self._draw(data, camera, width, height)
        color = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(color, None, area, self._context)
        return np.ascontiguousarray(color[::-1])

    def close(self) -> None:
        """Free the context; must run before the interpreter ends, in the thread that made it."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._context = None
            self._gl.free()

    def _draw(self, data: mujoco.MjData, camera: str, width: int, height: int) -> mujoco.MjrRect:
        self._view.fixedcamid = self._model.camera(camera).id
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, data, self._option, None, self._view, everything, self._scene)
        area = mujoco.MjrRect(0, 0, width, height)
        self._gl.make_current()
        mujoco.mjr_render(area, self._scene, self._context)
        return area

    def _metres(self, reversed_z: DepthImage) -> DepthImage:
        """Undo the projection with far plane at 0 and near plane at 1."""
        extent = self._model.stat.extent
        near, far = self._model.vis.map.znear * extent, self._model.vis.map.zfar * extent
        z = reversed_z.astype(np.float64)
        depth = near * far / (near + z * (far - near))
        return np.where(z > 0, depth, 0).astype(np.float32)


def intrinsics(model: mujoco.MjModel, camera: str, width: int, height: int) -> FloatArray:
    """(3, 3) camera matrix for pixel centres at whole numbers, as OpenCV and ROS count them."""
    focal = height / 2 / np.tan(np.radians(model.camera(camera).fovy[0]) / 2)
    return frozen([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
